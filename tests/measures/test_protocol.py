"""The localization protocol on maps whose answer is known by hand; the reference's numbers are parity fixtures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from viz.errors import VizError
from viz.measures.localization.protocol import (
    DELTAS,
    Thresholds,
    best_ious,
    box_ious,
    boxes_at,
    hits,
    max_accuracy,
    pixel_histograms,
    protocol_map,
    pxap,
    resize_boxes,
    resize_mask,
)

TENTH = Thresholds(0.1)


def _map(*blobs: tuple[int, int, int, int], size: int = 224) -> NDArray[np.float64]:
    values = np.zeros((size, size))
    for x0, y0, x1, y1 in blobs:
        values[y0:y1, x0:x1] = 1
    return values


def _levels(score_map: NDArray[np.float64]) -> list[list[list[int]]]:
    found = boxes_at(score_map, TENTH)
    return [found.every[found.level == i].tolist() for i in range(len(TENTH.levels))]


def test_thresholds_are_the_references_and_each_level_is_made_once() -> None:
    fine = Thresholds(0.001)
    assert len(fine.values) == 1000 and len(fine.levels) == 255  # 0.999 x 255 is cut to 254
    assert (fine.levels[fine.level_of] == (np.arange(0, 1, 0.001) * 255).astype(int)).all()
    assert TENTH.levels.tolist() == [0, 25, 51, 76, 102, 127, 153, 178, 204, 229]
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(VizError, match="interval"):
            Thresholds(wrong)


@pytest.mark.parametrize(
    "flat", [np.zeros((7, 7)), np.full((7, 7), 3.5), np.full((7, 7), np.nan), np.full((7, 7), np.inf)]
)
def test_a_map_without_a_difference_or_number_has_no_box(flat: NDArray[np.float64]) -> None:
    score = protocol_map(flat)
    assert score.shape == (224, 224) and not score.any()
    found = boxes_at(score, TENTH)
    assert found.largest.tolist() == [[0, 0, 0, 0]] * 10 == found.every.tolist()


def test_one_value_that_is_no_number_empties_the_map() -> None:
    native = np.random.default_rng(0).random((7, 7))
    native[2, 3] = np.nan
    assert not protocol_map(native).any()


def test_the_far_edge_lies_one_pixel_beyond_unless_it_would_leave_the_square() -> None:
    assert _levels(_map((20, 30, 60, 90)))[3] == [[20, 30, 60, 90]]
    assert _levels(_map((200, 100, 224, 224)))[3] == [[200, 100, 223, 223]]
    assert _levels(_map((0, 0, 224, 224)))[0] == [[0, 0, 223, 223]]


def test_the_hole_of_a_ring_is_a_second_box() -> None:
    ring = _map((50, 50, 150, 150))
    ring[80:120, 80:120] = 0
    found = boxes_at(ring, TENTH)
    # The outline of a hole runs through the pixels around it.
    assert sorted(found.every[found.level == 5].tolist()) == [[50, 50, 150, 150], [79, 79, 121, 121]]
    assert found.largest[5].tolist() == [50, 50, 150, 150]


def test_two_blobs_one_largest_every_box() -> None:
    two = _map((10, 10, 40, 40), (100, 100, 180, 150))
    found = boxes_at(two, TENTH)
    assert found.largest[4].tolist() == [100, 100, 180, 150]
    truth = np.array([[10, 10, 40, 40]])
    one, every = best_ious(found, truth)
    assert one[4] == 0 and every[4] == 1.0


def test_of_two_equal_blobs_the_first_contour_wins_as_in_opencv() -> None:
    two = _map((10, 10, 40, 40), (100, 100, 130, 130))
    mask = (two * 255).astype(np.uint8)
    contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
    assert boxes_at(two, TENTH).largest[0].tolist() == [x, y, x + w, y + h]


def test_a_one_pixel_blob_has_no_area_and_loses_to_any_other() -> None:
    found = boxes_at(_map((5, 5, 6, 6), (100, 100, 103, 103)), TENTH)
    assert found.largest[0].tolist() == [100, 100, 103, 103]
    alone = boxes_at(_map((5, 5, 6, 6)), TENTH)
    assert alone.largest[0].tolist() == [5, 5, 6, 6] == alone.every[0].tolist()


def test_searching_the_part_that_holds_the_mask_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    for size in (5, 14, 40):
        score = protocol_map(rng.random((size, size)))
        levels = (score * 255).astype(np.uint8)
        found = boxes_at(score, Thresholds(0.01))
        for place, level in enumerate(Thresholds(0.01).levels):
            mask = cv2.threshold(levels, int(level), 255, cv2.THRESH_BINARY)[1]
            contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
            rects = [cv2.boundingRect(c) for c in contours]
            want = [[x, y, min(x + w, 223), min(y + h, 223)] for x, y, w, h in rects]
            assert found.every[found.level == place].tolist() == want


def test_iou_counts_both_edges_and_no_box_still_covers_a_pixel() -> None:
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [0, 0, 0, 0]])
    found = box_ious(boxes, np.array([[0, 0, 9, 9]]))[:, 0]
    assert found.tolist() == pytest.approx([1.0, 50 / 150, 1 / 100])


def test_an_iou_of_exactly_the_bound_is_right() -> None:
    assert hits(np.array([0.3, 0.5, 0.7]), DELTAS).tolist() == [[True] * 3, [False, True, True], [False, False, True]]
    # 7 of 10 pixels: the quotient is the bound itself.
    row = box_ious(np.array([[0, 0, 6, 0]]), np.array([[0, 0, 9, 0]]))
    assert hits(row[:, 0]).tolist() == [[True], [True], [True]]


def test_ground_truth_is_scaled_and_cut_not_rounded() -> None:
    assert resize_boxes([[10.0, 10.0, 399.9, 299.0]], (375, 500)).tolist() == [[4, 5, 179, 178]]
    for wrong in ([[5, 5, 1, 9]], [[0, 0, 1]], [], [[0, 0, np.nan, 4]]):
        with pytest.raises(VizError):
            resize_boxes(wrong, (10, 10))


def test_pxap_of_a_perfect_map_a_constant_one_and_an_empty_mask() -> None:
    mask = _map((50, 50, 150, 100)).astype(np.uint8)
    thresholds = Thresholds(0.01)
    perfect = pixel_histograms(mask.astype(np.float64), mask, thresholds)
    assert pxap(perfect) == pytest.approx(100.0)
    # All pixels in one bin: the curve has a single point, and the reference's sum starts at its second.
    flat = pixel_histograms(np.zeros((224, 224)), mask, thresholds)
    assert pxap(flat) == pytest.approx(100 * mask.mean())
    assert np.isnan(pxap(pixel_histograms(np.zeros((224, 224)), np.zeros((224, 224), np.uint8), thresholds)))
    with pytest.raises(VizError, match="mask"):
        pixel_histograms(np.zeros((224, 224)), np.zeros((7, 7), np.uint8), thresholds)


def test_ignored_pixels_count_nowhere_and_masks_stay_sharp() -> None:
    mask = np.full((224, 224), 255, np.uint8)
    mask[:10], mask[10:20] = 1, 0
    counted = pixel_histograms(np.random.default_rng(0).random((224, 224)), mask, TENTH)
    assert counted.sum(axis=1).tolist() == [2240, 2240]
    assert set(np.unique(resize_mask(np.array([[0, 1], [255, 1]], np.uint8)))) == {0, 1, 255}


def test_one_threshold_for_the_set_is_less_than_the_best_of_each_picture() -> None:
    # Each picture is right at one threshold of its own: half of the pictures at any one threshold.
    curve = np.array([[1, 0], [0, 1]]).sum(axis=0)
    assert max_accuracy(curve, 2) == 50.0
    with pytest.raises(VizError):
        max_accuracy(curve, 0)


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((2, 3, 4)), np.zeros((0, 7))])
def test_what_is_no_map_is_refused(bad: NDArray[np.float64]) -> None:
    with pytest.raises(VizError, match="score map"):
        protocol_map(bad)
