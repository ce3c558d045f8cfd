"""What a network answers, as types, and what is asked of an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.dense import LABELS, card_of
from viz.core.output import Found, Share, output_of, output_types
from viz.core.outputs.class_scores import ClassScores
from viz.core.outputs.dense_classes import DenseClasses
from viz.core.outputs.dense_values import DenseValues
from viz.core.outputs.detections import Detections
from viz.core.target import CandidateTarget, CellsTarget, ClassTarget
from viz.errors import ModelError
from viz.geometry import Geometry

CARD = card_of("tiny-depth")
# A picture of 60 x 80 pixels fills the middle rows of an input of 80 x 80.
LETTERBOX = Geometry("letterbox", (60, 80), (80, 80), (0.0, 0.0, 80.0, 60.0), (0.0, 10.0, 80.0, 70.0))
WHOLE = Geometry("squash", (60, 80), (80, 80), (0.0, 0.0, 80.0, 60.0), (0.0, 0.0, 80.0, 80.0))


def floats(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(kind: Any, *answers: NDArray[np.float32], geometry: Geometry = WHOLE) -> Any:
    return output_of(kind, answers, geometry, () if kind == "dense_values" else LABELS, CARD)


CANDIDATES = np.array(
    # x0, y0, x1, y1, sky, road, car
    [[0, 0, 20, 20, 0.9, 0.1, 0.0], [1, 1, 21, 21, 0.8, 0.0, 0.1], [1, 1, 21, 21, 0.0, 0.7, 0.0],
     [50, 50, 70, 70, 0.6, 0.0, 0.0], [60, 10, 70, 20, 0.1, 0.2, 0.24]],
    dtype=np.float32,
)  # fmt: skip
ANSWERS: dict[str, NDArray[np.float32]] = {
    "class_scores": floats(3), "dense_classes": floats(3, 8, 10), "dense_values": floats(8, 10),
    "detections": CANDIDATES,
}  # fmt: skip


@pytest.mark.parametrize("kind", output_types())
def test_every_kind_says_its_answer_and_keeps_its_values(kind: Any) -> None:
    output = made(kind, ANSWERS[kind], ANSWERS[kind])
    assert output_types()[kind] is type(output) and output.steps == 2 and output.says(1) and "\n" not in output.says(2)
    assert output.entry(2)["step"] == 2 and output.arrays()
    for values in output.arrays().values():
        assert np.isfinite(values).all()
    assert (output.best(1) is None) == (kind == "dense_values")
    with pytest.raises(ValueError, match="read-only"):
        arrays = {"detections": lambda: output.objects[0].boxes}.get(kind, lambda: next(iter(output.arrays().values())))
        arrays()[...] = 0


@pytest.mark.parametrize("kind", output_types())
def test_an_answer_of_another_shape_is_refused(kind: Any) -> None:
    with pytest.raises(ModelError, match="axes"):
        made(kind, ANSWERS[kind][None])
    if kind != "dense_values":
        with pytest.raises(ModelError, match="lists 2"):
            output_of(kind, [ANSWERS[kind]], WHOLE, LABELS[:2], CARD)


def test_class_scores() -> None:
    logits = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    output: ClassScores = made("class_scores", logits)
    p = np.exp(logits) / np.exp(logits).sum()
    assert [r.class_index for r in output.ranking[0]] == [1, 2, 0] and output.best(1) == 1
    assert output.number_of(1, 2) == pytest.approx(float(p[2]), rel=1e-6)
    assert output.says(1) == f"road ({p[1]:.1%})"


def test_shares_count_the_cells_that_show_the_picture() -> None:
    logits = np.zeros((3, 8, 8), dtype=np.float32)
    logits[2, 0] = 5  # the padding above the picture
    logits[1, 1:3] = 4
    padded: DenseClasses = made("dense_classes", logits, geometry=LETTERBOX)
    assert padded.seen.sum() == 48 and not padded.seen[0].any() and padded.seen[1].all()
    assert padded.ranking[0] == (Share(0, "sky", 32 / 48), Share(1, "road", 16 / 48), Share(2, "car", 0.0))
    assert made("dense_classes", logits).number_of(1, 2) == 8 / 64
    assert padded.says(1) == "sky (66.7% of the cells), road (33.3% of the cells)"


def test_maps_of_a_dense_answer() -> None:
    logits = floats(3, 4, 5)
    output: DenseClasses = made("dense_classes", logits)
    np.testing.assert_array_equal(output.map("output", 1, 2).values, logits[2])
    e = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(output.map("probability", 1, 2).values, (e / e.sum(0))[2], rtol=1e-6)
    depth: DenseValues = made("dense_values", logits[0])
    assert depth.map("output", 1, None).unit == "m" and depth.maps == ("output",)
    with pytest.raises(ModelError, match="no map called probability"):
        depth.map("probability", 1, None)
    with pytest.raises(ModelError, match="no map called output"):
        made("class_scores", floats(3)).map("output", 1, 0)


def test_objects_that_overlap_a_better_one_of_their_class_go() -> None:
    output: Detections = made("detections", CANDIDATES)
    found = output.objects[0]
    assert found.candidates.tolist() == [0, 2, 3], (
        "the second sky overlaps the first, the last is below the least score"
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert output.ranking[0] == (Found(0, "sky", pytest.approx(0.9)), Found(1, "road", pytest.approx(0.7)))
    assert output.says(1) == "3 objects, best sky (0.90)"
    none: Detections = made("detections", CANDIDATES * np.float32(0.1))
    assert none.says(1) == "no object" and none.best(1) is None and none.arrays()["boxes:1"].shape == (0, 6)


def test_a_class_of_a_classifier() -> None:
    output = made("class_scores", ANSWERS["class_scores"])
    target = output.target(WHOLE, 1, 2, None)
    assert target == ClassTarget(2)
    batch = floats(4, 3)
    np.testing.assert_array_equal(target(batch), batch[:, 2])
    np.testing.assert_array_equal(target(torch.from_numpy(batch)).numpy(), batch[:, 2])
    with pytest.raises(ModelError, match="a region needs one that predicts for each cell"):
        output.target(WHOLE, 1, 2, (0, 0, 5, 5))


@pytest.mark.parametrize(
    ("region", "rows", "cols"),
    # Cells of 7.5 x 8 picture pixels: rows 60 / 8, columns 80 / 10. One counts where its middle lies inside.
    [((0, 0, 80, 60), slice(0, 8), slice(0, 10)), ((10, 20, 30, 40), slice(3, 5), slice(1, 4)),
     ((17, 24), slice(3, 4), slice(2, 3)), ((79, 59), slice(7, 8), slice(9, 10)), ((1, 1, 2, 2), slice(0, 1), slice(1)),
     ((60, 40, 500, 500), slice(5, 8), slice(7, 10))],
)  # fmt: skip
def test_a_region_is_the_cells_in_it(region: tuple[int, ...], rows: slice, cols: slice) -> None:
    output = made("dense_classes", ANSWERS["dense_classes"])
    target = output.target(WHOLE, 1, 1, region)
    batch = floats(2, 3, 8, 10, seed=1)
    want = batch[:, 1, rows, cols].mean(axis=(1, 2))
    np.testing.assert_allclose(target(batch), want, rtol=1e-5)
    np.testing.assert_allclose(target(torch.from_numpy(batch)).numpy(), want, rtol=1e-5)


def test_without_a_region_a_class_is_asked_about_where_it_is_the_best() -> None:
    logits = np.zeros((3, 8, 8), dtype=np.float32)
    logits[1, 2:4, 5:] = 1
    output: DenseClasses = made("dense_classes", logits, geometry=LETTERBOX)
    batch = floats(2, 3, 8, 8)
    np.testing.assert_allclose(
        output.target(LETTERBOX, 1, 1, None)(batch), batch[:, 1, 2:4, 5:].mean((1, 2)), rtol=1e-5
    )
    nowhere = output.target(LETTERBOX, 1, 2, None)
    np.testing.assert_allclose(nowhere(batch), batch[:, 2, 1:7].mean((1, 2)), rtol=1e-5, err_msg="all but the padding")


def test_a_value_at_a_point_and_everywhere() -> None:
    output = made("dense_values", ANSWERS["dense_values"])
    batch = floats(2, 8, 10)
    at = output.target(WHOLE, 1, None, (41, 31))
    assert isinstance(at, CellsTarget)
    np.testing.assert_array_equal(at(batch), batch[:, 4, 5])
    np.testing.assert_allclose(output.target(WHOLE, 1, None, None)(batch), batch.mean((1, 2)), rtol=1e-5)


def test_what_the_network_does_not_see_cannot_be_asked_about() -> None:
    cropped = Geometry("center_crop", (60, 80), (60, 60), (10.0, 0.0, 70.0, 60.0), (0.0, 0.0, 60.0, 60.0))
    output = made("dense_values", floats(6, 6))
    with pytest.raises(ModelError, match=r"does not see the part of this picture in \(0, 0\) to \(9, 60\)"):
        output.target(cropped, 1, None, (0, 0, 9, 60))


def test_a_detected_object() -> None:
    output = made("detections", CANDIDATES)
    assert output.target(WHOLE, 1, 0, None) == CandidateTarget(0, 0)
    # The other sky has its middle at (60, 60) of the input, which is (60, 45) of the picture.
    second = output.target(WHOLE, 1, 0, (50, 40, 70, 50))
    assert second == CandidateTarget(3, 0)
    np.testing.assert_array_equal(second(np.stack([CANDIDATES, CANDIDATES * 2])), CANDIDATES[3, 4] * np.float32([1, 2]))
    with pytest.raises(ModelError, match="found no car"):
        output.target(WHOLE, 1, 2, None)
