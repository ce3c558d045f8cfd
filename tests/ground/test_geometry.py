"""Geometry against what the network really gets: pixels of its input, found again by their centre of brightness."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tiny import scene
from viz.core.heatmap import Heatmap
from viz.errors import VizError
from viz.geometry import MODES, Geometry, Preprocessing, fit, network_rgb, prepare
from viz.picture import Picture, open_picture

FRACTION = Preprocessing((64, 64))
RESIZE = Preprocessing((64, 64), "resize", resize_to=80, filter="bilinear")
WIDE = Preprocessing((48, 80), "resize", resize_to=90)
RULES = {"fraction": FRACTION, "resize": RESIZE, "wide": WIDE}

sides = st.integers(1, 700)
rules = st.sampled_from([FRACTION, RESIZE, WIDE, Preprocessing((31, 31), crop_fraction=1.0)])
modes = st.sampled_from(MODES)
quick = settings(max_examples=120, deadline=None, derandomize=True)
slow_quick = settings(max_examples=60, deadline=None, derandomize=True)


@quick
@given(sides, sides, rules, modes, st.lists(st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)), min_size=1))
def test_points_go_there_and_back(
    h: int, w: int, p: Preprocessing, mode: Any, points: list[tuple[float, float]]
) -> None:
    g = fit((h, w), p, mode)
    scale = max(1.0, max(h, w) / 10)
    np.testing.assert_allclose(g.to_picture(g.to_network(points)), points, atol=1e-9 * scale)
    np.testing.assert_allclose(g.to_network(g.to_picture(points)), points, atol=1e-9 * 700)


@quick
@given(sides, sides, rules, modes)
def test_seen_and_placed_are_the_same_rectangle(h: int, w: int, p: Preprocessing, mode: Any) -> None:
    g = fit((h, w), p, mode)
    np.testing.assert_allclose(g.box_to_network(g.seen), g.placed, atol=1e-9)
    np.testing.assert_allclose(g.box_to_picture(g.placed), g.seen, atol=1e-9)
    x0, y0, x1, y1 = g.seen
    assert 0 <= x0 < x1 <= w + 1e-9
    assert 0 <= y0 < y1 <= h + 1e-9
    a0, b0, a1, b1 = g.placed
    assert 0 <= a0 < a1 <= p.size[1]
    assert 0 <= b0 < b1 <= p.size[0]
    if mode != "center_crop":
        assert g.seen == (0, 0, w, h)
    if mode != "letterbox":
        assert g.placed == (0, 0, p.size[1], p.size[0])


@quick
@given(sides, sides, st.floats(0.05, 1.0))
def test_fraction_crop_is_the_published_rule(h: int, w: int, share: float) -> None:
    side = max(1, int(min(h, w) * share))
    y, x = (h - side + 1) // 2, (w - side + 1) // 2
    assert fit((h, w), Preprocessing((32, 32), crop_fraction=share), "center_crop").seen == (x, y, x + side, y + side)


@quick
@given(sides, sides)
def test_resize_crop_is_the_published_rule(h: int, w: int) -> None:
    p = Preprocessing((224, 224), "resize", resize_to=256)
    short, long = min(h, w), max(h, w)
    long_after = int(256 * long / short)
    rh, rw = (256, long_after) if h <= w else (long_after, 256)
    y, x = round((rh - 224) / 2), round((rw - 224) / 2)
    want = np.array([x * w / rw, y * h / rh, (x + 224) * w / rw, (y + 224) * h / rh])
    np.testing.assert_allclose(fit((h, w), p, "center_crop").seen, want, rtol=1e-12)


@pytest.mark.parametrize(("h", "w"), [(375, 500), (500, 375), (1, 1), (333, 1000), (7, 3)])
def test_letterbox_keeps_the_aspect_to_half_a_pixel(h: int, w: int) -> None:
    g = fit((h, w), FRACTION, "letterbox")
    x0, y0, x1, y1 = g.placed
    factor = min(64 / h, 64 / w)
    assert abs((x1 - x0) - w * factor) <= max(0.5, 1 - w * factor)
    assert abs((y1 - y0) - h * factor) <= max(0.5, 1 - h * factor)
    assert abs(x0 - (64 - x1)) <= 1
    assert abs(y0 - (64 - y1)) <= 1


def dot(h: int, w: int, x: float, y: float, sx: float, sy: float) -> tuple[Picture, np.ndarray]:  # noqa: PLR0917
    """A black picture with a white block of about (sx, sy) pixels round (x, y), and the block's exact centre."""
    x0, y0 = max(0, int(x - sx / 2)), max(0, int(y - sy / 2))
    x1, y1 = min(w, x0 + max(1, round(sx))), min(h, y0 + max(1, round(sy)))
    rgb = np.zeros((h, w, 3), np.uint8)
    rgb[y0:y1, x0:x1] = 255
    return open_picture(rgb), np.array([(x0 + x1) / 2, (y0 + y1) / 2])


@slow_quick
@given(
    st.integers(2, 500),
    st.integers(2, 500),
    st.sampled_from(list(RULES)),
    modes,
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
)
def test_a_bright_dot_lands_where_geometry_says(  # noqa: PLR0917
    h: int, w: int, rule: str, mode: Any, fx: float, fy: float
) -> None:
    p = RULES[rule]
    p = Preprocessing(p.size, p.crop, p.crop_fraction, p.resize_to, p.filter, mean=(0.0, 0.0, 0.0))
    g = fit((h, w), p, mode)
    x0, y0, x1, y1 = g.seen
    per_x = (x1 - x0) / (g.placed[2] - g.placed[0])
    per_y = (y1 - y0) / (g.placed[3] - g.placed[1])
    if min(g.placed[2] - g.placed[0], g.placed[3] - g.placed[1]) < 12 or min(x1 - x0, y1 - y0) < 8:
        return  # too few pixels for a dot that touches no edge
    picture, centre = dot(h, w, x0 + fx * (x1 - x0), y0 + fy * (y1 - y0), 3 * per_x, 3 * per_y)
    pixels, same = network_rgb(picture, p, mode)
    assert same == g
    light = pixels[..., 0].astype(np.float64)
    ys, xs = np.mgrid[0 : light.shape[0], 0 : light.shape[1]] + 0.5
    found = np.array([(xs * light).sum(), (ys * light).sum()]) / light.sum()
    np.testing.assert_allclose(found, g.to_network(centre), atol=0.06)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("h", "w"), [(375, 501), (501, 375), (64, 64), (40, 33), (90, 1400), (1400, 90), (65, 129)])
def test_an_edge_lands_where_geometry_says(mode: Any, rule: str, h: int, w: int) -> None:
    """The bright share of a row or column of the input measures where a step edge lies, to a hundredth of a pixel."""
    p = RULES[rule]
    p = Preprocessing(p.size, p.crop, p.crop_fraction, p.resize_to, p.filter, mean=(0.0, 0.0, 0.0))
    g = fit((h, w), p, mode)
    for axis in (0, 1):
        lo, hi = (g.seen[1], g.seen[3]) if axis == 0 else (g.seen[0], g.seen[2])
        edge = round(lo + 0.41 * (hi - lo))
        rgb = np.zeros((h, w, 3), np.uint8)
        rgb[(slice(None, edge) if axis == 0 else (slice(None), slice(None, edge)))] = 255
        pixels, _ = network_rgb(open_picture(rgb), p, mode)
        a0, b0, a1, b1 = (int(v) for v in g.placed)
        inner = pixels[b0:b1, a0:a1, 0].astype(float) / 255
        length = inner.mean(axis=1 - axis).sum()
        start = g.placed[1] if axis == 0 else g.placed[0]
        want = g.to_network([0.0, edge] if axis == 0 else [edge, 0.0])[1 if axis == 0 else 0]
        assert abs(start + length - want) < 0.06, (axis, edge)


def test_network_pixels_follow_the_published_preprocessing() -> None:
    """Fraction: crop, then one resize. Resize: one resize of the whole, then crop. Checked on whole arrays."""
    rgb = scene(151, 237)
    picture, image = open_picture(rgb), Image.fromarray(rgb)
    side = int(151 * 0.875)
    y, x = (151 - side + 1) // 2, (237 - side + 1) // 2
    want = image.crop((x, y, x + side, y + side)).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(network_rgb(picture, FRACTION, "center_crop")[0], np.asarray(want))
    rw = int(80 * 237 / 151)
    want = image.resize((rw, 80), Image.Resampling.BILINEAR)
    x = round((rw - 64) / 2)
    np.testing.assert_array_equal(network_rgb(picture, RESIZE, "center_crop")[0], np.asarray(want)[8:72, x : x + 64])
    want = image.resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(network_rgb(picture, FRACTION, "squash")[0], np.asarray(want))


def test_upscaled_pictures() -> None:
    rgb = scene(20, 31)
    for mode in MODES:
        for p in RULES.values():
            pixels, g = network_rgb(open_picture(rgb), p, mode)
            assert pixels.shape == (*p.size, 3)
            assert g.picture == (20, 31)


def test_a_long_strip_is_cropped_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (40, 400, 3)).astype(np.uint8)
    strip, _ = network_rgb(open_picture(rgb), RESIZE, "center_crop")
    monkeypatch.setattr("viz.geometry.MAX_ASPECT", 1000)
    whole, _ = network_rgb(open_picture(rgb), RESIZE, "center_crop")
    assert np.abs(strip.astype(int) - whole).max() <= 2
    monkeypatch.undo()
    long = np.zeros((1, 2_000_000, 3), np.uint8)  # resized whole it would hold 40 gigabytes
    for mode in MODES:
        assert network_rgb(open_picture(long), RESIZE, mode)[0].shape == (64, 64, 3)


@slow_quick
@given(sides, sides, rules, modes)
def test_the_cropper_stays_inside_and_on_whole_pixels(h: int, w: int, p: Preprocessing, mode: Any) -> None:
    original = Image.Image.crop
    boxes: list[tuple[tuple[float, ...], tuple[int, int]]] = []

    def spy(self: Image.Image, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        assert box is not None
        boxes.append((box, self.size))
        return original(self, box)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "crop", spy)
        pixels, _ = network_rgb(open_picture(np.full((h, w, 3), 200, np.uint8)), p, mode)
    for (x0, y0, x1, y1), (width, height) in boxes:
        assert all(isinstance(v, int) for v in (x0, y0, x1, y1))
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    if mode != "letterbox":
        assert (pixels == 200).all(), "black from outside the picture came in"


def test_letterbox_bars_are_the_mean() -> None:
    p = Preprocessing((64, 64), mean=(10.4, 20.6, 30.0))
    pixels, g = network_rgb(open_picture(np.full((30, 90, 3), 255, np.uint8)), p, "letterbox")
    _, y0, _, y1 = (int(v) for v in g.placed)
    assert (pixels[:y0] == (10, 21, 30)).all()
    assert (pixels[y1:] == (10, 21, 30)).all()
    assert (pixels[y0:y1] == 255).all()
    assert 0 < y0 < y1 < 64


def test_prepare_normalises() -> None:
    p = Preprocessing((8, 8), crop_fraction=1.0, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    x, g = prepare(open_picture(np.full((8, 8, 3), (12, 28, 20), np.uint8)), p, "center_crop")
    assert x.shape == (1, 3, 8, 8)
    assert x.dtype == torch.float32
    assert [float(x[0, c, 3, 3]) for c in range(3)] == [1.0, 2.0, -2.0]
    assert g.seen == (0, 0, 8, 8)


@quick
@given(sides, sides, rules, modes, st.integers(1, 300), st.integers(1, 300))
def test_seen_pixels_are_those_whose_centre_was_seen(  # noqa: PLR0917
    h: int, w: int, p: Preprocessing, mode: Any, rh: int, rw: int
) -> None:
    g = fit((h, w), p, mode)
    for size in ((h, w), (rh, rw)):
        rows, cols = g.seen_pixels(size)
        for axis, part in ((0, rows), (1, cols)):
            lo, hi = (g.seen[1], g.seen[3]) if axis == 0 else (g.seen[0], g.seen[2])
            centres = (np.arange(size[axis]) + 0.5) * g.picture[axis] / size[axis]
            clear = np.minimum(np.abs(centres - lo), np.abs(centres - hi)) > 1e-6
            inside = np.zeros(size[axis], bool)
            inside[part] = True
            np.testing.assert_array_equal(inside[clear], ((centres > lo) & (centres < hi))[clear])


@quick
@given(sides, sides, rules, modes)
def test_no_map_outside_what_was_seen(h: int, w: int, p: Preprocessing, mode: Any) -> None:
    g = fit((h, w), p, mode)
    values = Heatmap(np.ones((5, 7), np.float32), g, "t").values
    want = np.zeros((h, w), bool)
    want[g.seen_pixels()] = True
    np.testing.assert_array_equal(np.isfinite(values), want)
    np.testing.assert_allclose(values[want], 1, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("h", "w"), [(375, 501), (501, 375), (33, 40)])
def test_a_map_of_coordinates_reads_back_the_coordinates(mode: Any, rule: str, h: int, w: int) -> None:
    """A map that holds its own network x (or y) shows, at each picture pixel, that pixel's network x (or y)."""
    g = fit((h, w), RULES[rule], mode)
    net_h, net_w = g.network
    ys, xs = np.mgrid[0:net_h, 0:net_w].astype(np.float32) + 0.5
    py, px = np.mgrid[0:h, 0:w] + 0.5
    want = g.to_network(np.stack([px, py], axis=-1))
    for native, axis in ((xs, 0), (ys, 1)):
        values = Heatmap(native, g, "t").values
        inner = np.isfinite(values) & (want[..., axis] > 0.5) & (want[..., axis] < (net_w, net_h)[axis] - 0.5)
        assert inner.any()
        np.testing.assert_allclose(values[inner], want[..., axis][inner], atol=2e-4)


def test_record_of_a_geometry_reads_back() -> None:
    g = fit((375, 501), RESIZE, "center_crop")
    assert Geometry.from_json(json.loads(json.dumps(g.as_json()))) == g
    for broken in (
        {},
        {**g.as_json(), "seen": [1, 2]},
        {**g.as_json(), "picture": "x"},
        {**g.as_json(), "placed": None},
    ):
        with pytest.raises(VizError, match="geometry"):
            Geometry.from_json(broken)


def test_wrong_arguments_are_refused() -> None:
    bad: Any = "stretch"
    with pytest.raises(VizError, match="letterbox"):
        fit((3, 3), FRACTION, bad)
    with pytest.raises(VizError, match="bicubic"):
        fit((3, 3), FRACTION, "squash").axis_weights(0, 3, 3, bad)
    for wrong in (
        {"crop_fraction": 0.0},
        {"crop_fraction": 1.2},
        {"size": (0, 4)},
        {"size": (32, 64)},
        {"crop": "resize", "resize_to": 100},
        {"std": (1.0, 0.0, 1.0)},
    ):
        with pytest.raises(VizError):
            Preprocessing(**wrong)
