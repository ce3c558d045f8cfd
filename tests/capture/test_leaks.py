"""Nothing is left behind by traces: no hook, no tensor, no memory."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from pathlib import Path

import pytest
import torch

from tests.hooks import hooks
from tests.tiny import as_model, scene, tiny_model, tiny_network
from viz.capture.probe import _EDITS, _SINK
from viz.errors import ProbeError
from viz.picture import open_picture

RUNS = 200


def live_tensors() -> int:
    gc.collect()
    return sum(1 for o in gc.get_objects() if issubclass(type(o), torch.Tensor))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_two_hundred_traces_leave_nothing() -> None:
    model = as_model(tiny_network(2), size=(64, 64))
    pictures = [open_picture(scene(96, 120, seed)) for seed in range(4)]
    keys = list(model.network.state_dict())
    for picture in pictures * 8:  # allocators settle
        model.trace(picture).class_map().values.sum()
    tensors, memory = live_tensors(), resident()
    for i in range(RUNS):
        model.trace(pictures[i % 4]).class_map().values.sum()
    gc.collect()
    assert live_tensors() == tensors
    assert resident() <= memory * 1.05
    assert hooks(model.network) == 0
    assert list(model.network.state_dict()) == keys
    assert all(p.grad is None for p in model.network.parameters())
    assert _SINK.get() is None
    assert _EDITS.get() is None


def test_a_trace_is_freed_with_its_arrays() -> None:
    model = tiny_model(2)
    trace = model.trace(scene())
    used = [trace.stages, trace.predictions, trace.class_map().values, trace._repr_html_()]
    arrays = [trace.logits, *trace.features, *(r.values for r in trace.records)]
    watched = [weakref.ref(trace), *(weakref.ref(a) for a in arrays)]
    assert len(watched) > 10
    del trace, arrays, used
    gc.collect()
    assert not [w for w in watched if w() is not None]


def test_a_kept_map_does_not_keep_the_features() -> None:
    trace = tiny_model(2).trace(scene())
    heatmap = trace.class_map()
    features = weakref.ref(trace.features[-1])
    del trace
    gc.collect()
    assert features() is None
    assert heatmap.values.shape == (120, 180)


def test_failed_traces_leave_nothing() -> None:
    model = tiny_model(2)
    for probes in (["ghost"], ["layer4.0.RA_block.spatial_gate"]):
        with pytest.raises(ProbeError):
            model.trace(scene(), probes=probes, steps=1)
    assert _SINK.get() is None
    assert hooks(model.network) == 0
    before = live_tensors()
    for _ in range(5):
        with pytest.raises(ProbeError):
            model.trace(scene(), probes=["ghost"])
    assert live_tensors() == before


def test_the_counters_would_notice() -> None:
    """A leak test is worth something only if it sees a leak."""
    model = tiny_model(1)
    before = live_tensors()
    kept = torch.zeros(3)
    assert live_tensors() == before + 1
    handle = model.network.register_forward_hook(lambda *_: None)
    assert hooks(model.network) == 1
    handle.remove()
    assert hooks(model.network) == 0
    assert kept.shape == (3,)
