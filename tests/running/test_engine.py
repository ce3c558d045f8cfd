"""Loading by name and path, and the engine's two caches, also with many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import viz
from tests.tiny import scene, tiny_model
from viz.errors import CheckpointError, ModelError, ProbeError, VizError
from viz.geometry import Preprocessing
from viz.picture import Picture, open_picture
from viz.run.engine import Engine, Model, load, pick_device, versions


class Loads:
    """Stands in for `load`: hands out tiny models and counts."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.forwards = 0
        self.failing: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, name: str, *_: Any, **__: Any) -> Model:
        self.names.append(name)
        self.gate.wait(20)
        if name in self.failing:
            raise ModelError(f"There is no model {name!r}.")
        model = tiny_model(2, seed=len(name))
        original = model.network.forward_steps

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.forwards += 1
            return original(*args, **kwargs)

        model.network.forward_steps = counted  # type: ignore[method-assign]
        small = replace(model.card, preprocessing=Preprocessing((64, 64)), name=name)
        return replace(model, card=small)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    stub = Loads()
    monkeypatch.setattr("viz.run.engine.load", stub)
    return stub


def picture(seed: int = 0) -> Picture:
    return open_picture(scene(40, 60, seed), name=f"p{seed}")


# --- loading -----------------------------------------------------------------------------------------------------


def test_load_a_bundled_model() -> None:
    model = load("lite0", "cpu")
    assert model.card.name == "lite0"
    assert model.geometry == "center_crop"
    assert not model.network.training
    assert not any(p.requires_grad for p in model.network.parameters())
    assert not model.class_weights.flags.writeable
    assert model.labels[0] == "tench"
    trace = model.trace(scene())
    assert trace.logits.shape == (1, 1000)
    assert trace.features[0].shape == (1280, 7, 7)
    assert trace.class_map().native.mean() + model.network.get_submodule("_fc").bias[  # type: ignore[index,union-attr]
        trace.top()[0].class_index
    ].item() == pytest.approx(trace.logits.max(), abs=1e-4)
    assert viz.load is load


def test_geometry_and_precision_of_a_load() -> None:
    model = viz.load("lite0", "cpu", "letterbox", precision="bfloat16")
    assert model.geometry == "letterbox"
    trace = model.trace(scene())
    assert trace.geometry.mode == "letterbox"
    assert trace.precision == "bfloat16"
    full = viz.load("lite0", "cpu", "letterbox").trace(scene())
    assert np.abs(trace.logits - full.logits).max() < 0.05 * np.ptp(full.logits)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"model": "no-such-net"}, ModelError, "lite0"),
        ({"model": "weights/none.pth"}, CheckpointError, r"^The file none\.pth does not exist\.$"),
        ({"model": Path("/nowhere/secret/none.pth")}, CheckpointError, r"^The file none\.pth does not exist\.$"),
        ({"model": ""}, ModelError, "Unknown model"),
        ({"model": "lite0", "device": "cuda:99"}, ModelError, "no device 'cuda:99'"),
        ({"model": "lite0", "device": "toaster"}, ModelError, "no device 'toaster'"),
        ({"model": "lite0", "device": "meta"}, ModelError, "no device 'meta'"),
        ({"model": "lite0", "geometry": "stretch"}, ModelError, "letterbox"),
        ({"model": "lite0", "precision": "int8"}, ModelError, "bfloat16"),
        ({"model": "lite0", "models": "/nowhere/at/all"}, ModelError, "does not exist"),
    ],
)
def test_load_errors_are_sentences(arguments: dict[str, Any], error: type[VizError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        load(**arguments)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_path_that_holds_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "words.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(VizError) as caught:
        load(tmp_path / "words.pth")
    assert str(tmp_path) not in str(caught.value)


def test_auto_device() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")


def test_versions_name_what_computes() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["searchlight-viz"] == viz.__version__
    assert all(found.values())


# --- the cache of traces -----------------------------------------------------------------------------------------


def test_the_same_again_costs_no_forward(loads: Loads) -> None:
    engine = Engine("cpu")
    first = engine.trace(picture(), "a")
    assert engine.trace(picture(), "a") is first
    assert engine.trace(picture(), "a", "center_crop") is first
    assert (engine.forwards, loads.forwards, loads.names) == (1, 1, ["a"])
    other = [engine.trace(picture(1), "a"), engine.trace(picture(), "b"), engine.trace(picture(), "a", "squash")]
    assert engine.forwards == loads.forwards == 4
    assert len({id(t) for t in (first, *other)}) == 4
    assert loads.names == ["a", "b"]


def test_the_same_file_under_another_name_shows_its_own_name(loads: Loads) -> None:
    engine = Engine("cpu")
    mine, theirs = open_picture(scene(40, 60), name="mine.png"), open_picture(scene(40, 60), name="theirs.png")
    first, second = engine.trace(mine, "a"), engine.trace(theirs, "a")
    assert engine.forwards == 1
    assert (first.picture.name, second.picture.name) == ("mine.png", "theirs.png")
    assert first.features[0] is second.features[0]


def test_bounded_in_number_oldest_first(loads: Loads) -> None:
    engine = Engine("cpu", max_traces=2)
    for seed in (0, 1):
        engine.trace(picture(seed), "a")
    engine.trace(picture(0), "a")  # 0 is now newer than 1
    engine.trace(picture(2), "a")
    assert engine.forwards == 3
    engine.trace(picture(0), "a")
    assert engine.forwards == 3
    engine.trace(picture(1), "a")
    assert engine.forwards == 4


def test_bounded_in_bytes(loads: Loads) -> None:
    engine = Engine("cpu")
    trace = engine.trace(picture(), "a")
    one = engine.held_bytes
    arrays = [trace.logits, *trace.features, *(r.values for r in trace.records), trace.picture.rgb]
    assert one == sum(a.nbytes for a in arrays)
    engine = Engine("cpu", max_bytes=2 * one + 10)
    for seed in range(5):
        engine.trace(picture(seed), "a")
        assert engine.held_bytes <= 2 * one + 10
    assert engine.held_bytes == 2 * one
    tight = Engine("cpu", max_bytes=1)
    tight.trace(picture(), "a")
    tight.trace(picture(1), "a")
    assert tight.held_bytes == one  # the newest always stays


def test_a_trace_kept_twice_is_counted_once(loads: Loads) -> None:
    engine = Engine("cpu")
    trace = engine.trace(picture(), "a")
    held = engine.held_bytes
    engine._keep((picture().sha256, "a", "center_crop"), trace)
    assert engine.held_bytes == held > 0


def test_models_are_bounded(loads: Loads) -> None:
    engine = Engine("cpu", max_models=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        engine.model(name)
    assert loads.names == ["a", "b", "c", "b"]


def test_errors_are_not_cached(loads: Loads) -> None:
    engine = Engine("cpu")
    loads.failing = {"bad"}
    for _ in range(2):
        with pytest.raises(ModelError):
            engine.model("bad")
    assert loads.names == ["bad", "bad"]
    loads.failing = set()
    assert engine.model("bad").card.name == "bad"
    wrong: Any = "stretch"
    for _ in range(2):
        with pytest.raises(ModelError):
            engine.trace(picture(), "bad", wrong)
    assert engine.forwards == 0
    assert engine.held_bytes == 0
    assert not engine._making


# --- threads -----------------------------------------------------------------------------------------------------


def test_eight_threads_load_a_model_once(loads: Loads) -> None:
    engine = Engine("cpu")
    loads.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(engine.model, "a") for _ in range(8)]
        loads.gate.set()
        models = [a.result(30) for a in asked]
    assert loads.names == ["a"]
    assert len({id(m) for m in models}) == 1
    assert not engine._making


def test_one_picture_from_eight_threads_costs_one_forward(loads: Loads) -> None:
    engine = Engine("cpu")
    start = threading.Barrier(8)

    def ask(_: int) -> Any:
        start.wait(20)
        return engine.trace(picture(), "a")

    with ThreadPoolExecutor(8) as pool:
        traces = list(pool.map(ask, range(8)))
    assert engine.forwards == loads.forwards == 1
    assert all(t.features[0] is traces[0].features[0] for t in traces)
    assert not engine._making


def test_threads_never_see_each_others_records(loads: Loads) -> None:
    engine = Engine("cpu")
    alone = [engine.trace(picture(seed), "a") for seed in range(6)]
    crowd = Engine("cpu", max_traces=3)
    start = threading.Barrier(6)

    def ask(seed: int) -> list[Any]:
        start.wait(20)
        return [crowd.trace(picture(s), "a") for s in (seed, (seed + 1) % 6, seed)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    for seed, traces in enumerate(answers):
        for trace, s in zip(traces, (seed, (seed + 1) % 6, seed), strict=True):
            assert trace.picture.sha256 == alone[s].picture.sha256
            np.testing.assert_allclose(trace.logits, alone[s].logits, atol=1e-5)
            assert [(r.name, r.step) for r in trace.records] == [(r.name, r.step) for r in alone[s].records]
            for got, want in zip(trace.records, alone[s].records, strict=True):
                np.testing.assert_allclose(got.values, want.values, atol=1e-5)
    assert crowd.held_bytes == sum(
        sum(a.nbytes for a in (t.logits, *t.features, *(r.values for r in t.records), t.picture.rgb))
        for t in crowd._traces.values()
    )


def test_one_model_two_threads_without_the_lock() -> None:
    """The sink of the probes belongs to the thread: even the bare network keeps two captures apart."""
    model = tiny_model(2)
    free = replace(model)
    object.__setattr__(free, "_lock", threading.Lock())
    want = [model.trace(scene(seed=s)) for s in (0, 1)]
    start = threading.Barrier(2)

    def ask(job: tuple[Model, int]) -> Any:
        start.wait(20)
        return [job[0].trace(scene(seed=job[1])) for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(ask, [(model, 0), (free, 1)]))
    for seed in (0, 1):
        for trace in got[seed]:
            assert len(trace.records) == len(want[seed].records)
            for a, b in zip(trace.records, want[seed].records, strict=True):
                np.testing.assert_allclose(a.values, b.values, atol=1e-5)


def test_a_failing_probe_leaves_the_model_usable() -> None:
    model = tiny_model(2)
    with pytest.raises(ProbeError):
        model.trace(scene(), probes=["ghost"])
    assert model.trace(scene()).records
