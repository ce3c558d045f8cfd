"""Probes: copies, names, errors, nothing left behind, and no mixing between threads."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.td_networks import network_of
from viz.capture.probe import Probe, capture, edited, muted, probes_of
from viz.core.record import MAP, VECTOR, match
from viz.errors import ProbeError


class Toy(nn.Module):
    """One gate that changes its value in place after the probe has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Module()
        self.gate.probe_gate = Probe("tdam", VECTOR, "channel_gate", bounds=(0.0, 1.0))
        self.gate.probe_rare = Probe("tdam", MAP, "spatial_gate")

    def forward(self, x: Tensor, rare: bool = False) -> Tensor:
        value = self.gate.probe_gate(x.mean(dim=(2, 3)), 1)
        if rare:
            self.gate.probe_rare(x[:, 0], 1)
        value.mul_(0)
        return value


def test_probes_are_named_by_module_and_label() -> None:
    assert list(probes_of(Toy())) == ["gate.channel_gate", "gate.spatial_gate"]
    names = ["layer3.0.RA_block.spatial_gate", "layer4.0.RA_block.spatial_gate", "layer4.0.RA_block.channel_gate"]
    assert match(names, "spatial_gate") == names[:2]
    assert match(names, names[2]) == [names[2]]
    assert match(names, "layer4.*") == names[1:]
    assert match(names, "gate") == []


def test_a_record_is_a_copy() -> None:
    x = torch.rand(1, 4, 3, 3)
    with capture(Toy()) as sink:
        Toy()(x)  # another instance than the captured one
    assert sink.records() == ()
    toy = Toy()
    with capture(toy) as sink:
        toy(x)
    (record,) = sink.records()
    np.testing.assert_array_equal(record.values, x.mean(dim=(2, 3))[0].numpy())
    assert record.values.dtype == np.float32 and record.name == "gate.channel_gate"
    with pytest.raises(ValueError, match="read-only"):
        record.values[:] = 7


def test_half_and_double_become_single_precision() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        toy = Toy()
        with capture(toy) as sink:
            toy(torch.rand(1, 4, 3, 3, dtype=dtype))
        assert sink.records()[0].values.dtype == np.float32


def test_unknown_patterns_are_named() -> None:
    toy = Toy()
    with pytest.raises(ProbeError, match=r"'sptial_gate'.*channel_gate, spatial_gate"), capture(toy, ["sptial_gate"]):
        pass
    with pytest.raises(ProbeError, match="no probe 'x'"), edited(toy, {"x": lambda v, s: v}):
        pass
    with pytest.raises(ProbeError, match="none"), capture(nn.Linear(2, 2), ["x"]):
        pass


def test_a_probe_that_was_asked_for_must_fire() -> None:
    toy = Toy()
    x = torch.rand(1, 4, 3, 3)
    with pytest.raises(ProbeError, match=r"'gate.spatial_gate'"), capture(toy, ["spatial_gate"]):
        toy(x)
    with capture(toy, ["gate.*"]) as sink:
        toy(x, rare=True)
    assert [r.label for r in sink.records()] == ["channel_gate", "spatial_gate"]
    with capture(toy) as sink:  # nothing in particular was asked for
        toy(x)
    assert len(sink.records()) == 1


def test_an_error_inside_the_block_is_the_one_that_arrives() -> None:
    toy = Toy()
    with pytest.raises(RuntimeError, match="mine"), capture(toy, ["spatial_gate"]):
        raise RuntimeError("mine")
    with capture(toy) as sink:
        toy(torch.rand(1, 4, 3, 3))
    assert len(sink.records()) == 1


def test_muted_passes_are_not_recorded() -> None:
    toy = Toy()
    x = torch.rand(1, 4, 3, 3)
    with capture(toy) as sink:
        with muted():
            toy(x)
        toy(x)
    assert len(sink.records()) == 1


def test_an_inner_capture_does_not_disturb_the_outer() -> None:
    toy = Toy()
    x = torch.rand(1, 4, 3, 3)
    with capture(toy) as outer:
        toy(x)
        with capture(toy) as inner:
            toy(x)
        toy(x)
    assert len(outer.records()) == 2 and len(inner.records()) == 1


def test_nothing_is_left_on_the_model() -> None:
    network = network_of(2)
    before = {name: set(vars(m)) for name, m in network.named_modules()}
    x = torch.randn(1, 3, 48, 48)
    with capture(network) as sink:
        out = network(x)
    kept = sink.records()
    gone = [weakref.ref(x), weakref.ref(out), weakref.ref(sink.batches[0][2])]
    del x, out, sink
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]
    assert kept[0].values.size
    for name, module in network.named_modules():
        assert len(module._forward_hooks) == 0 and len(module._forward_pre_hooks) == 0
        assert len(module._backward_hooks) == 0
        assert set(vars(module)) == before[name]


def test_two_threads_never_see_each_other() -> None:
    network = network_of(2)
    patterns = ["layer4.0.RA_block.spatial_gate", "layer3.*.channel_gate"]
    inputs = [torch.randn(1, 3, 32, 32), torch.randn(1, 3, 48, 64)]
    wanted = []
    for x in inputs:
        with torch.inference_mode(), capture(network, patterns) as sink:
            network(x)
        wanted.append(sink.records())
    rounds, barrier = 25, threading.Barrier(2, timeout=60)
    problems: list[str] = []

    def work(which: int) -> None:
        try:
            for i in range(rounds):
                barrier.wait()
                # One thread also edits, every other round: the other must not notice.
                edits = {"spatial_gate": lambda v, s: v * 0} if which == 0 and i % 2 else {}
                with torch.inference_mode(), edited(network, edits), capture(network, patterns) as sink:
                    network(inputs[which])
                found = sink.records()
                if [r.name for r in found] != [r.name for r in wanted[which]]:
                    problems.append(f"thread {which}: {[r.name for r in found]}")
                for got, expected in zip(found, wanted[which], strict=True):
                    if edits:
                        continue
                    if got.values.shape != expected.values.shape:
                        problems.append(f"thread {which}: shape {got.values.shape}")
                    elif not np.allclose(got.values, expected.values, atol=1e-5):
                        problems.append(f"thread {which}: values of {got.name}")
        except Exception as error:
            problems.append(f"thread {which}: {error!r}")
            barrier.abort()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
