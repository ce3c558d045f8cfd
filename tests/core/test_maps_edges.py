"""Edges of maps, scales and display boxes: cells without a number, bounds on one side, boxes of another aspect."""

from __future__ import annotations

import numpy as np
import pytest

from viz.core.boxes import boxes
from viz.core.heatmap import Heatmap, Scale, overlay, scale_for, symmetric
from viz.figures.raster import cells
from viz.geometry import Preprocessing, fit

NET = Preprocessing((32, 32))


def squashed(native: np.ndarray, size: tuple[int, int], **more: object) -> Heatmap:
    return Heatmap(native.astype(np.float32), fit(size, NET, "squash"), "t", interpolation="cells", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_a_cell_without_a_number_leaves_the_photo_as_it_is(nothing: float) -> None:
    native = np.array([[0.0, 1.0], [nothing, 0.5]])
    heatmap = squashed(native, (8, 8))
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    scale = scale_for(heatmap, "image")
    assert (scale.low, scale.high) == (0, 1)
    drawn = overlay(rgb, heatmap, scale, opacity=1.0)
    np.testing.assert_array_equal(drawn[4:, :4], rgb[4:, :4])
    others = np.ones((8, 8), bool)
    others[4:, :4] = False
    assert (drawn != rgb).any(axis=2)[others].all()
    assert cells(heatmap, scale, "inferno")[..., 3].tolist() == [[255, 255], [0, 255]]


def test_the_raw_scale_takes_each_bound_that_is_there() -> None:
    native = np.array([[0.2, 0.4]])
    ends = {
        bounds: scale_for(squashed(native, (4, 4), bounds=bounds), "raw")
        for bounds in ((0.0, 1.0), (0.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf))
    }
    found = {bounds: (round(s.low, 6), round(s.high, 6)) for bounds, s in ends.items()}
    assert found == {
        (0.0, 1.0): (0, 1),
        (0.0, np.inf): (0, 0.4),
        (-np.inf, 1.0): (0.2, 1),
        (-np.inf, np.inf): (0.2, 0.4),
    }


@pytest.mark.parametrize(
    ("given", "neutral", "wanted"),
    [
        ((-1.0, 3.0), 0.0, (-3.0, 3.0)),
        ((-3.0, 1.0), 0.0, (-3.0, 3.0)),
        ((0.4, 0.9), 0.5, (0.1, 0.9)),
        ((0.05, 0.6), 0.5, (0.05, 0.95)),
        ((2.0, 3.0), 0.5, (-2.0, 3.0)),  # the neutral value lies outside
    ],
)
def test_a_symmetric_scale_holds_the_farther_end(
    given: tuple[float, float], neutral: float, wanted: tuple[float, float]
) -> None:
    found = symmetric(Scale("image", *given), neutral)
    assert (found.low, found.high) == pytest.approx(wanted) and found.mode == "image"


def drawn(native: np.ndarray) -> Heatmap:
    """A map whose cells are the pixels of its picture."""
    h, w = native.shape
    g = fit((h, w), Preprocessing((h, w), "resize", resize_to=max(h, w)), "squash")
    return Heatmap(native.astype(np.float32), g, "t", interpolation="cells")


def test_the_peak_of_a_box_is_of_its_own_component() -> None:
    """A ring with a stronger spot in its hole: the spot lies within the ring's box, not in the ring."""
    native = np.zeros((9, 9))
    native[1:8, 1:8] = 2.0
    native[2:7, 2:7] = 0.0
    native[4, 4] = 3.0
    ring, spot = boxes(drawn(native), 0.5, "all")
    assert (ring.xyxy, ring.peak, ring.area) == ((1, 1, 8, 8), 2.0, 24)
    assert (spot.xyxy, spot.peak, spot.area) == ((4, 4, 5, 5), 3.0, 1)


@pytest.mark.parametrize("size", [(20, 80), (80, 20), (40, 40)])
def test_boxes_from_a_rendering_of_another_aspect_are_in_picture_pixels(size: tuple[int, int]) -> None:
    native = np.zeros((4, 4))
    native[1:3, 2:4] = 1
    heatmap = squashed(native, (80, 160))
    assert boxes(heatmap)[0].xyxy == (80, 20, 160, 60)
    found = boxes(heatmap, size=size)[0]
    assert (found.xyxy, found.area) == ((80, 20, 160, 60), 80 * 40)


def test_the_least_area_is_a_share_of_the_rendering_too() -> None:
    native = np.zeros((4, 4))
    native[1:3, 2:4] = 1  # a quarter of the picture
    heatmap = squashed(native, (80, 160))
    for size in (None, (20, 80)):
        assert len(boxes(heatmap, min_area=0.24, size=size)) == 1
        assert boxes(heatmap, min_area=0.26, size=size) == []
