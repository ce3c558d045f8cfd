"""The TDAM code's box rule: its surprises, written down."""

from __future__ import annotations

import numpy as np
import pytest

from viz.measures.localization.tdam_rule import (
    box_iou,
    filter_steps,
    grey_heat,
    jet_grey_levels,
    rule_box,
    union_accuracy,
)


def _blob(y: int, x: int) -> np.ndarray:
    yy, xx = np.mgrid[0:7, 0:7]
    return np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 3.0).astype(np.float32)


def test_a_blob_gives_a_box_around_it() -> None:
    x, y, w, h = rule_box(_blob(1, 5))
    assert x < 5.5 * 32 < x + w <= 224 and y < 1.5 * 32 < y + h
    tight = rule_box(_blob(1, 5), 0.5)
    assert tight[2] < w and tight[3] < h
    assert rule_box(3 + 20 * _blob(1, 5)) == rule_box(_blob(1, 5))  # the map's own range is the scale


def test_few_contour_points_are_no_box() -> None:
    assert rule_box(np.ones((7, 7))) == (0, 0, 0, 0)
    steps = np.zeros((224, 224), np.float32)
    steps[50:150, 40:200] = 1.0  # an exact rectangle has four points
    assert rule_box(steps) == (0, 0, 0, 0)


def test_the_grey_level_rises_with_the_value() -> None:
    levels = jet_grey_levels()[:156].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert (levels > int(0.15 * 255)).argmax() == 37
    assert grey_heat(_blob(3, 3)).shape == (224, 224)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.full((2, 2), np.nan)])
def test_impossible_maps_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class map"):
        rule_box(bad)


def test_overlap() -> None:
    assert box_iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert box_iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert box_iou((2, 3, 4, 5), (2, 3, 4, 5)) == 1


def _sure(top: int, score: float) -> list[float]:
    logits = [0.0] * 6
    logits[top] = score
    return logits


SAME, ELSEWHERE = (10, 10, 50, 50), (150, 150, 40, 40)


def test_of_overlapping_steps_the_surer_stays() -> None:
    logits = np.array([[_sure(0, 5), _sure(0, 1), _sure(0, 5)], [_sure(1, 1), _sure(1, 5), _sure(1, 1)]], np.float32)
    boxes = np.array([[SAME, SAME, SAME], [SAME, SAME, ELSEWHERE]])
    found = filter_steps(logits, boxes)
    assert found.argmax(axis=2).T.tolist() == [[0, 0], [1, 1], [0, 1]]
    assert logits[1, 0].argmax() == 1  # the input is left alone


def test_a_replaced_entry_follows_its_cell() -> None:
    # Step 3 replaces entry 1 (and shares its values with it), then loses against entry 2: entry 1 turns with it.
    logits = np.array([[_sure(0, 1)], [_sure(1, 6)], [_sure(2, 3)]], np.float32)
    boxes = np.array([[(0, 0, 60, 60)], [(30, 0, 60, 60)], [(15, 0, 60, 60)]])
    assert box_iou(boxes[0, 0], boxes[1, 0]) < 0.5 < min(box_iou(boxes[2, 0], boxes[i, 0]) for i in (0, 1))
    assert filter_steps(logits, boxes).argmax(axis=2)[:, 0].tolist() == [1, 1, 1]


def test_union_accuracy() -> None:
    outputs = np.array([[_sure(0, 1), _sure(1, 1)], [_sure(5, 1), _sure(2, 1)]], np.float32)
    assert union_accuracy(outputs, [5, 3], (1,)) == (50.0,)
    assert union_accuracy(outputs, [5, 3], (1, 6)) == (50.0, 100.0)
    assert union_accuracy(outputs[:1], [5, 3], (1,)) == (0.0,)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="logits"):
        filter_steps(np.zeros((2, 3, 4)), np.zeros((2, 2, 4)))
    with pytest.raises(ValueError, match="outputs"):
        union_accuracy(np.zeros((2, 3, 4)), [0])
    with pytest.raises(ValueError, match="ranks"):
        union_accuracy(np.zeros((2, 1, 4)), [0], (5,))
