"""What a caller has set in torch or Python changes no result, and results travel to other processes."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import viz
from tests.tiny import NARROW, as_model, tiny_network
from viz.environment import plain_torch
from viz.measures.faithfulness.report import Options

PICTURE = Path(viz.__file__).parent.parent / "assets" / "panda.jpg"
MODELS = ("lite0-tdam", "lite0-psa", "lite0-vista", "lite0-paka")


@contextlib.contextmanager
def _default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def _default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def _no_gradients() -> Iterator[None]:
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SURROUNDINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "gradients off": _no_gradients,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": _default_dtype,
    "default device": _default_device,
    "device block": lambda: torch.device("meta"),
    "deterministic": _deterministic,
    "warnings": _warnings_are_errors,
    "numpy": lambda: np.errstate(all="raise"),
}


def _numbers(name: str) -> dict[str, Any]:
    """What one model gives on one picture: logits, records and two attributions."""
    model = viz.load(name, "cpu")
    trace = model.trace(PICTURE)
    for method in ("gradcam", "integrated_gradients"):
        trace = model.attribute(trace, method, options=viz.AttributionOptions(n_steps=4))
    return {
        "precision": trace.precision,
        "logits": trace.logits,
        "features": trace.features[-1],
        **{f"{r.name}:{r.step}": r.values for r in trace.records},
        **{a.method: a.values for a in trace.attributions},
    }


# Those that can hold at once: what one of them changed would show among the others, too.
TOGETHER = {
    "inference": ("inference_mode", "autocast", "float64", "default device", "deterministic", "warnings", "numpy"),
    "gradients off": ("gradients off", "device block", "autocast"),
    "no_grad": ("no_grad",),
}


@contextlib.contextmanager
def _all(names: Sequence[str]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(SURROUNDINGS[name]())
        yield


@pytest.fixture(scope="module")
def plain() -> dict[str, dict[str, Any]]:
    return {name: _numbers(name) for name in MODELS}


def _same(got: Any, wanted: Any) -> None:
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert np.array_equal(got[key], value), key


@pytest.mark.parametrize("around", SURROUNDINGS)
def test_traces_and_attributions_do_not_depend_on_the_surroundings(
    plain: dict[str, dict[str, Any]], around: str
) -> None:
    with SURROUNDINGS[around]():
        _same(_numbers("lite0-psa"), plain["lite0-psa"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("around", TOGETHER)
def test_no_model_depends_on_the_surroundings(plain: dict[str, dict[str, Any]], around: str, name: str) -> None:
    with _all(TOGETHER[around]):
        _same(_numbers(name), plain[name])


def test_a_model_loaded_under_inference_mode_is_like_any_other(plain: dict[str, dict[str, Any]]) -> None:
    with torch.inference_mode():
        model = viz.load("lite0-psa", "cpu")
        trace = model.trace(PICTURE)
    assert not any(p.is_inference() for p in model.network.parameters())
    made = model.attribute(trace, "gradcam")
    assert np.array_equal(made.attributions[-1].values, plain["lite0-psa"]["gradcam"])


FEW = Options(points=2, seeds=1, sigmas=(4.0,), draws=2, samples=2)


@pytest.fixture(scope="module")
def narrow() -> viz.Model:
    return as_model(tiny_network(2, widths=NARROW))


@pytest.fixture(scope="module")
def report(narrow: viz.Model) -> dict[str, Any]:
    return viz.faithful(narrow, PICTURE, options=FEW).to_json()


@pytest.mark.parametrize("around", TOGETHER)
def test_faithfulness_does_not_depend_on_the_surroundings(
    narrow: viz.Model, report: dict[str, Any], around: str
) -> None:
    with _all(TOGETHER[around]):
        assert viz.faithful(narrow, PICTURE, options=FEW).to_json() == report


def _compared() -> tuple[str, bytes]:
    comparison = viz.compare(PICTURE, ["lite0", "lite0-psa"], ["class_map", "gradcam"], engine=viz.Engine("cpu"))
    return comparison.to_csv(), viz.figure(comparison.columns[1].trace, ["picture", "class_map"]).to_bytes("pdf")


@pytest.fixture(scope="module")
def compared() -> tuple[str, bytes]:
    return _compared()


@pytest.mark.parametrize("around", TOGETHER)
def test_comparisons_and_figures_do_not_depend_on_the_surroundings(compared: tuple[str, bytes], around: str) -> None:
    with _all(TOGETHER[around]):
        assert _compared() == compared


def test_the_callers_settings_are_the_callers_again() -> None:
    with _default_dtype(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        with contextlib.suppress(ValueError), plain_torch():
            assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
            raise ValueError
        assert torch.get_default_dtype() == torch.float64 and torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")


# --- other processes


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    engine = viz.Engine("cpu")
    model = engine.model("lite0-psa")
    trace = model.attribute(model.trace(PICTURE), "gradcam")
    kernel = engine.trace(viz.open_picture(PICTURE), "lite0-paka")
    comparison = viz.compare(PICTURE, ["lite0", "lite0-psa"], engine=engine)
    return {
        "picture": trace.picture,
        "trace": trace,
        "kernel trace": kernel,
        "stages": kernel.stages,
        "record": trace.records[0],
        "heatmap": trace.class_map(),
        "boxes": viz.boxes(trace.class_map()),
        "figure": viz.figure(trace),
        "comparison": comparison,
        "comparison figure": comparison.to_figure(),
        "report": viz.faithful(model, PICTURE, parts=("reliance",), options=FEW),
        "model": model,
        "engine": engine,
        "error": viz.PictureError("This is a sentence."),
    }


_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "picture": lambda p: (p.rgb.tobytes(), p.sha256, p.name, p.notes),
    "trace": lambda t: (t.logits.tobytes(), t.attribution("gradcam").native.tobytes(), t.top(), t.card),
    "kernel trace": lambda t: (
        t.kernel(cell=(3, 3)),
        [r.tap for r in t.records],
        [r.values.tobytes() for r in t.records],
    ),
    "stages": lambda f: [x.caption for x in f],
    "record": lambda r: (r.name, r.values.tobytes()),
    "heatmap": lambda h: (h.native.tobytes(), h.title),
    "boxes": lambda b: b,
    "figure": lambda f: f.to_bytes("pdf"),
    "comparison": lambda c: c.to_csv(),
    "comparison figure": lambda f: f.to_bytes("pdf"),
    "report": lambda r: r.to_json(),
    "model": lambda m: m.attribute(m.trace(PICTURE), "gradcam").attribution("gradcam").native.tobytes(),
    "engine": lambda e: e.trace(viz.open_picture(PICTURE), "lite0").logits.tobytes(),
    "error": str,
}


@pytest.fixture(scope="module")
def numbers(results: dict[str, Any]) -> dict[str, Any]:
    return {kind: made(results[kind]) for kind, made in _NUMBERS.items()}


@pytest.mark.parametrize("kind", _NUMBERS)
@pytest.mark.parametrize("send", [lambda v: pickle.loads(pickle.dumps(v)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_results_can_be_sent_and_copied(
    results: dict[str, Any], numbers: dict[str, Any], kind: str, send: Callable[[Any], Any]
) -> None:
    sent = send(results[kind])
    assert type(sent) is type(results[kind])
    assert _NUMBERS[kind](sent) == numbers[kind]


def test_what_is_sent_stays_read_only(results: dict[str, Any]) -> None:
    trace = pickle.loads(pickle.dumps(results["trace"]))
    arrays = (trace.logits, trace.class_weights, trace.features[0], trace.records[0].values, trace.picture.rgb)
    for array in (*arrays, trace.attributions[0].values):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def _answer(model: viz.Model, connection: Connection) -> None:
    connection.send_bytes(model.trace(PICTURE).logits.tobytes())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_model_works_in_a_child(results: dict[str, Any], method: str) -> None:
    """Also in one that is forked after the parent computed with several threads, which are not there in the child."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    model, before = results["model"], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = model.trace(PICTURE).logits
        context = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        child = context.Process(target=_answer, args=(model, theirs), daemon=True)
        child.start()
        try:
            assert ours.poll(120), "the child does not answer"
            answer = np.frombuffer(ours.recv_bytes(), expected.dtype).reshape(expected.shape)
        finally:
            child.kill()
            child.join()
    finally:
        torch.set_num_threads(before)
    # Sums are taken in another order with one thread.
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
