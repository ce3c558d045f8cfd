"""Display boxes against hand-made maps and against a flood fill written out in full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import viz
from viz.core.boxes import Box, boxes, iou
from viz.core.heatmap import Heatmap
from viz.errors import VizError
from viz.geometry import Preprocessing, fit


def drawn(values: Any, mode: Any = "squash") -> Heatmap:
    """A map whose cells are the pixels of its picture."""
    native = np.asarray(values, dtype=np.float32)
    h, w = native.shape
    g = fit((h, w), Preprocessing((h, w), "resize", resize_to=max(h, w)), mode)
    return Heatmap(native, g, "t", interpolation="cells")


def blank(h: int = 8, w: int = 10) -> np.ndarray:
    return np.zeros((h, w), np.float32)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, np.nan, np.inf])
def test_a_flat_map_points_nowhere(value: float) -> None:
    assert boxes(drawn(np.full((5, 6), value))) == []


@pytest.mark.parametrize("no_map", ["x", None, np.zeros((3, 3))])
def test_only_maps_have_boxes(no_map: Any) -> None:
    with pytest.raises(VizError, match="Heatmap"):
        viz.boxes(no_map)


def test_one_pixel() -> None:
    values = blank()
    values[3, 7] = 2
    assert boxes(drawn(values)) == [Box(7, 3, 8, 4, 1, 2.0)]


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 9), (7, 0), (7, 9)])
def test_corner_pixels(y: int, x: int) -> None:
    values = blank()
    values[y, x] = 1
    assert boxes(drawn(values))[0].xyxy == (x, y, x + 1, y + 1)


def test_border_frame_and_ring() -> None:
    values = blank()
    values[0], values[-1], values[:, 0], values[:, -1] = 1, 1, 1, 1
    assert boxes(drawn(values)) == [Box(0, 0, 10, 8, 32, 1.0)]
    ring = blank()
    ring[2:6, 2:6] = 1
    ring[3:5, 3:5] = 0
    assert boxes(drawn(ring)) == [Box(2, 2, 6, 6, 12, 1.0)]


def test_two_blobs_largest_first_and_all() -> None:
    values = blank()
    values[1:3, 1:3] = 5  # stronger, smaller
    values[4:8, 5:9] = 3
    big, small = Box(5, 4, 9, 8, 16, 3.0), Box(1, 1, 3, 3, 4, 5.0)
    assert boxes(drawn(values), 0.5) == [big]
    assert boxes(drawn(values), 0.5, "all") == [big, small]
    assert boxes(drawn(values), 0.8, "all") == [small]
    assert boxes(drawn(values), 0.5, "all", min_area=5 / 80) == [big]
    assert boxes(drawn(values), 0.5, "all", min_area=0.9) == []


def test_corners_touching_count_as_one() -> None:
    values = blank()
    values[2, 2] = values[3, 3] = 1
    assert boxes(drawn(values), components="all") == [Box(2, 2, 4, 4, 2, 1.0)]


def test_threshold_is_inclusive_and_of_the_map_range() -> None:
    values = blank(1, 5)
    values[0] = [-1, 0, 1, 2, 3]
    assert boxes(drawn(values), 0.75)[0].xyxy == (3, 0, 5, 1)
    assert boxes(drawn(values), 0)[0].xyxy == (0, 0, 5, 1)
    assert boxes(drawn(values), 1)[0].xyxy == (4, 0, 5, 1)


def test_cells_that_are_no_numbers_are_no_part() -> None:
    values = blank()
    values[2:5, 2:8] = 1
    values[2:5, 5] = np.nan
    assert [b.xyxy for b in boxes(drawn(values), components="all")] == [(2, 2, 5, 5), (6, 2, 8, 5)]


def test_never_outside_what_was_seen() -> None:
    g = fit((60, 100), Preprocessing((32, 32)), "center_crop")
    x0, y0, x1, y1 = g.seen
    native = np.ones((4, 4), np.float32)
    native[0, 0] = 0
    box = boxes(Heatmap(native, g, "t"), 0.0)[0]
    assert box.xyxy == (x0, y0, x1, y1)


def test_letterbox_boxes_are_in_picture_pixels() -> None:
    g = fit((50, 100), Preprocessing((64, 64)), "letterbox")
    native = np.zeros((64, 64), np.float32)
    native[16:32, 32:48] = 1  # of the picture: rows 0 to 25, columns 50 to 75
    native[:16] = 9  # in the bar: no part of the picture
    assert boxes(Heatmap(native, g, "t", interpolation="cells"))[0].xyxy == (50, 0, 75, 25)


def test_computing_smaller_gives_picture_pixels() -> None:
    native = np.zeros((4, 4), np.float32)
    native[1:3, 2:4] = 1
    heatmap = Heatmap(native, fit((80, 160), Preprocessing((32, 32)), "squash"), "t", interpolation="cells")
    full = boxes(heatmap)[0]
    assert full == Box(80, 20, 160, 60, 3200, 1.0)
    assert boxes(heatmap, size=(40, 80))[0] == full


@pytest.mark.parametrize(
    "wrong", [{"threshold": -0.1}, {"threshold": 1.1}, {"threshold": np.nan}, {"components": "most"}, {"min_area": 2.0}]
)
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(VizError):
        boxes(drawn(blank()), **wrong)


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Connected parts of 8 neighbours, by hand."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    parts = []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        parts.append(part)
    return parts


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_equals_a_flood_fill(seed: int, h: int, w: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 0.25, 0.5, 1.0, np.nan], (h, w), p=[0.4, 0.2, 0.15, 0.15, 0.1]).astype(np.float32)
    got = boxes(drawn(values), threshold, "all")
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.max() == finite.min():
        assert got == []
        return
    level = finite.min() + threshold * (float(finite.max()) - float(finite.min()))
    want = set()
    for part in flood(np.nan_to_num(values, nan=-1) >= level):
        ys, xs = [p[0] for p in part], [p[1] for p in part]
        peak = float(max(values[p] for p in part))
        want.add(Box(min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(part), peak))
    assert set(got) == want
    assert [b.area for b in got] == sorted((b.area for b in got), reverse=True)
    assert boxes(drawn(values), threshold) == got[:1]


def test_iou_by_hand() -> None:
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 4, 4), (1, 1, 2, 2)) == pytest.approx(1 / 16)
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert iou((0, 0, 2, 2), (5, 5, 6, 6)) == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(0, 8)] * 8))
def test_iou_equals_counting_pixels(v: tuple[int, ...]) -> None:
    a = (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
    b = (min(v[4], v[6]), min(v[5], v[7]), max(v[4], v[6]), max(v[5], v[7]))
    grids = []
    for x0, y0, x1, y1 in (a, b):
        grid = np.zeros((8, 8), bool)
        grid[y0:y1, x0:x1] = True
        grids.append(grid)
    union = (grids[0] | grids[1]).sum()
    assert iou(a, b) == pytest.approx((grids[0] & grids[1]).sum() / union if union else 0)
    assert iou(a, b) == iou(b, a)


def test_the_package_offers_it() -> None:
    assert viz.boxes is boxes
    assert viz.iou is iou
