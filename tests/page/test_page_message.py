"""What the page is sent, checked value for value without a browser."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.family_models import family_model
from tests.tiny import as_model, scene, tiny_model, tiny_network, with_logits
from viz.core.card import ModelCard
from viz.core.map_spec import parse
from viz.core.trace import Trace
from viz.geometry import Preprocessing
from viz.page import messages
from viz.page.entries import channel_entry, floats, kernel_entries, map_entry
from viz.page.grid_entries import attribution_message, compare_message, more_message, stale_message
from viz.page.js_types import FILES, JS
from viz.page.payload import (
    DISPLAY_SIDE,
    TOP,
    classes_of,
    display_rgb,
    display_size,
    error_message,
    more_maps_message,
    viewer_message,
)
from viz.picture import open_picture


def values(entry: dict[str, Any]) -> NDArray[np.float32]:
    """The array that a step of an entry carries, as the page reads it."""
    flat = np.frombuffer(base64.b64decode(entry["data"]), "<f4")
    return flat.reshape(entry["h"], entry["w"])


@pytest.fixture(scope="module")
def oblong() -> Trace:
    """A network whose input is twice as wide as high: 3 rows and 6 columns of cells."""
    network = tiny_network(2)
    wide = Preprocessing((96, 192), "resize", resize_to=192, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    card = ModelCard("wide-tdam", "Wide", "tdam", "td_resnet", preprocessing=wide, geometry="squash", steps=2)
    return as_model(network, card).trace(scene())


def test_every_sent_map_has_its_own_rows_columns_and_values(oblong: Trace) -> None:
    message = json.loads(viewer_message(oblong))
    assert oblong.features[0].shape[1:] == (3, 6)
    sent = {m["name"]: m for m in message["maps"] if m["kind"] != "cam"}
    assert {"layer4.0.RA_block.spatial_gate", "layer4.0.RA_block.spatial_score"} <= set(sent)
    for entry in message["maps"]:
        for step in entry["steps"]:
            if entry["kind"] == "cam":
                wanted = oblong.class_map(step["step"], entry["class_index"]).native
            elif entry["kind"] == "spatial":
                wanted = oblong.heatmap(entry["name"], step["step"]).native
            else:
                continue
            np.testing.assert_array_equal(values(step), wanted)
    picture = message["picture"]
    assert (picture["height"], picture["width"]) == oblong.picture.size == tuple(picture["full"])


def test_classes_of_every_step_are_sent_best_first(oblong: Trace) -> None:
    logits = oblong.logits.copy()
    logits[0, [11, 12, 13, 14, 15]] += [1005, 1004, 1003, 1002, 1001]
    logits[1, [21, 11, 23, 24, 25]] += [1005, 1004, 1003, 1002, 1001]
    changed = with_logits(oblong, logits)
    assert TOP == 5 and classes_of(changed) == [11, 21, 12, 13, 23, 14, 24, 15, 25]
    message = json.loads(viewer_message(changed))
    assert [m["class_index"] for m in message["maps"] if m["kind"] == "cam"] == classes_of(changed)
    assert next(f["top"][0]["class_index"] for f in message["frames"] if f["step"] == 1) == 11


def test_a_kernel_is_called_the_same_only_where_it_is() -> None:
    trace = family_model("vista").trace(scene(240, 320))
    name = next(r.name for r in trace.records if r.kind == "kernel")
    before = next(r for r in trace.records if r.name == name and r.step == 1)
    moved = np.array(before.values)
    moved[0, 0, 0] += 1
    records = tuple(replace(r, values=moved) if r.name == name and r.step == 2 else r for r in trace.records)
    entry = next(e for e in kernel_entries(replace(trace, records=records)) if e["name"] == name)
    first, second, third = entry["steps"]
    assert "same" not in first and "same" not in second and "same" not in third
    sent = np.frombuffer(base64.b64decode(second["data"]), "<f4").reshape(9, second["h"], second["w"])
    np.testing.assert_array_equal(sent, moved)
    unchanged = next(e for e in kernel_entries(trace) if e["name"] == name)
    assert [s.get("same", False) for s in unchanged["steps"]] == [False, True, True]


def test_bounds_without_an_end_are_null_and_numbers_survive() -> None:
    trace = tiny_model().trace(scene())
    gate = trace.heatmap("spatial_gate", 2)
    entry = map_entry([gate, trace.class_map(1)], "spatial", "t", "g")
    assert entry["bounds"] == (0.0, 1.0) and [s["step"] for s in entry["steps"]] == [2, 1]
    assert map_entry([trace.class_map(1)], "cam", "t", "g")["bounds"] == (None, None)
    numbers = np.array([[1e-30, -0.0], [3.25, -1e30]], np.float32)
    np.testing.assert_array_equal(values({"data": floats(numbers), "h": 2, "w": 2}), numbers)


def test_the_display_copy_is_never_enlarged_and_keeps_the_aspect() -> None:
    small, large = open_picture(scene(40, 60)), open_picture(scene(1000, 2000))
    assert display_size(small) == (40, 60) and display_rgb(small) is small.rgb
    assert display_size(large) == (DISPLAY_SIDE // 2, DISPLAY_SIDE) and display_rgb(large).shape == (640, 1280, 3)


# ---------------------------------------------------------------- shapes


def checked(shape: Any, text: str) -> dict[str, Any]:
    """A message that has all entries of a shape and no other."""
    # In a list, because pydantic takes no configuration beside a shape itself.
    TypeAdapter(list[shape], config=ConfigDict(extra="forbid", strict=True)).validate_json(f"[{text}]")
    return dict(json.loads(text))


def named(entries: Any) -> None:
    """Every map and kernel goes by a specification."""
    for entry in entries:
        assert str(parse(entry["name"])) == entry["name"]


@pytest.mark.parametrize("family", ["psa", "ema", "vista", "paka"])
def test_messages_of_the_viewer_have_their_shape(family: str) -> None:
    trace = family_model(family).trace(scene(240, 320))
    message = checked(messages.ViewerMessage, viewer_message(trace))
    named([*message["maps"], *message["kernels"]])
    probe = next(r.name for r in trace.records if r.tap.is_maps)
    entry = channel_entry(trace, probe, 0)
    assert entry is not None
    more = checked(messages.MoreMaps, more_maps_message(trace, [entry], show=entry["name"]))
    named(more["maps"])
    more["maps"][0]["steps"][0]["more"] = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        checked(messages.MoreMaps, json.dumps(more))


def test_messages_of_the_grid_have_their_shape() -> None:
    model = tiny_model()
    trace = model.trace(scene())
    best = trace.top()[0]
    for step in range(1, trace.steps + 1):
        trace = model.attribute(trace, "gradcam", class_index=best.class_index, step=step)
    both = compare_message([trace, trace], ["one", "two"], ["gradcam"])
    one = attribution_message(trace, best.class_index, ["gradcam"])
    for text in (both, one, compare_message([trace, trace], ["one", "two"])):
        for column in checked(messages.GridMessage, text)["models"]:
            named(column["maps"])
    more = checked(messages.MoreAttributions, more_message({"one": trace}, best.label, ["gradcam"]))
    assert [entry["name"] for entry in more["add"]["one"]] == ["gradcam"]
    checked(messages.StaleMessage, stale_message("Old."))


def test_errors_have_their_shape_and_others_are_seen() -> None:
    assert checked(messages.ErrorMessage, error_message("No.", "folder/a.jpg"))["refused"] == "folder/a.jpg"
    said = checked(messages.ErrorMessage, error_message("No."))
    for wrong in (said | {"more": 1}, {"error": "No."}, said | {"message_version": 0}, said | {"error": None}):
        with pytest.raises(ValidationError):
            checked(messages.ErrorMessage, json.dumps(wrong))


@pytest.mark.parametrize("name", FILES)
def test_what_javascript_takes_from_python_is_written_anew(name: str) -> None:
    assert (JS / name).read_text(encoding="utf-8") == FILES[name](), "run python -m viz.page.js_types"
