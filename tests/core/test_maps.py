"""Heat maps against other libraries' interpolation, scales and blending against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from viz.core.heatmap import PALETTES, SCALE_MODES, Heatmap, Scale, colour, finite_range, overlay, palette, scale_for
from viz.errors import VizError
from viz.geometry import Geometry, Preprocessing, fit

NET = Preprocessing((224, 224))


def squashed(native: np.ndarray, size: tuple[int, int], how: Any = "bilinear", **more: Any) -> Heatmap:
    return Heatmap(native, fit(size, NET, "squash"), "t", interpolation=how, **more)


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (h, w)).astype(np.float32)


@pytest.mark.parametrize(
    ("how", "torch_name"), [("bilinear", "bilinear"), ("bicubic", "bicubic"), ("cells", "nearest-exact")]
)
@pytest.mark.parametrize("size", [(224, 224), (333, 500), (7, 7), (5, 3), (1, 1), (64, 401)])
@pytest.mark.parametrize("cells", [(7, 7), (1, 1), (3, 8), (14, 14)])
def test_equals_torch_interpolate(how: Any, torch_name: str, size: tuple[int, int], cells: tuple[int, int]) -> None:
    native = noise(*cells)
    align = {} if how == "cells" else {"align_corners": False}
    want = torch.nn.functional.interpolate(torch.from_numpy(native)[None, None], size, mode=torch_name, **align)
    expected = want[0, 0].numpy()
    if how == "bicubic":
        expected = expected.clip(native.min(), native.max())
    got = squashed(native, size, how).values
    if how == "cells":  # a pixel centre exactly between two cells may go to either
        assert (got == expected).mean() > 0.97
        assert np.isin(got, native).all()
    else:
        np.testing.assert_allclose(got, expected, atol=3e-5)


@pytest.mark.parametrize(("how", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
@pytest.mark.parametrize("size", [(224, 224), (333, 500), (61, 47)])
def test_equals_opencv_resize_for_a_squash(how: Any, flag: int, size: tuple[int, int]) -> None:
    native = noise(7, 7, 1)
    want = cv2.resize(native, size[::-1], interpolation=flag).clip(native.min(), native.max())
    np.testing.assert_allclose(squashed(native, size, how).values, want, atol=3e-5)


def test_whole_cells_repeat() -> None:
    native = noise(4, 5)
    np.testing.assert_array_equal(squashed(native, (12, 20), "cells").values, np.kron(native, np.ones((3, 4))))


def test_centre_crop_equals_interpolation_of_the_crop() -> None:
    """Inside a crop of whole pixels the map is the crop's own interpolation; outside there is nothing."""
    g = fit((120, 161), Preprocessing((64, 64)), "center_crop")
    x0, y0, x1, y1 = (int(v) for v in g.seen)
    native = noise(7, 7, 2)
    values = Heatmap(native, g, "t").values
    want = torch.nn.functional.interpolate(torch.from_numpy(native)[None, None], (y1 - y0, x1 - x0), mode="bilinear")
    np.testing.assert_allclose(values[y0:y1, x0:x1], want[0, 0].numpy(), atol=1e-5)
    values = values.copy()
    values[y0:y1, x0:x1] = np.nan
    assert np.isnan(values).all()


def test_letterbox_takes_the_middle_of_the_map() -> None:
    g = fit((50, 100), Preprocessing((64, 64)), "letterbox")  # placed on rows 16 to 48
    native = np.repeat(np.arange(64, dtype=np.float32)[:, None], 64, axis=1)
    values = Heatmap(native, g, "t").values
    np.testing.assert_allclose(values[:, 0], 16 + (np.arange(50) + 0.5) * 32 / 50 - 0.5, atol=1e-4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 5), st.integers(3, 40), st.integers(3, 40), st.sampled_from(["center_crop", "squash", "letterbox"])
)
def test_smaller_renderings_agree(factor: int, h: int, w: int, mode: Any) -> None:
    """A rendering at an odd fraction of the size samples the full map at the same centres."""
    odd = 2 * factor - 1
    g = fit((h * odd, w * odd), Preprocessing((64, 64)), mode)
    for how in ("cells", "bilinear", "bicubic"):
        heatmap = Heatmap(noise(7, 5, factor), g, "t", interpolation=how)  # type: ignore[arg-type]
        full = heatmap.values[odd // 2 :: odd, odd // 2 :: odd]
        small = heatmap.at((h, w))
        np.testing.assert_array_equal(np.isnan(small), np.isnan(full))
        np.testing.assert_allclose(small, full, atol=1e-5)


def test_bicubic_never_leaves_the_native_range() -> None:
    native = np.zeros((7, 7), np.float32)
    native[3, 3] = 1
    values = squashed(native, (70, 70), "bicubic").values
    assert values.min() == 0
    assert values.max() <= 1


def test_cells_that_are_no_numbers_stay_so() -> None:
    native = np.ones((3, 3), np.float32)
    native[1, 1], native[0, 0] = np.nan, np.inf
    cells = squashed(native, (9, 9), "cells").values
    want = np.kron(~np.isfinite(native), np.ones((3, 3), bool))
    np.testing.assert_array_equal(np.isnan(cells), want)
    smooth = squashed(native, (9, 9)).values
    assert np.isnan(smooth[4, 4])
    assert smooth[8, 8] == 1
    assert squashed(native, (9, 9)).raw_range == (1, 1)
    assert np.isnan(squashed(np.full((2, 2), np.nan), (4, 4), "bicubic").values).all()


def test_native_is_kept_and_values_are_float32() -> None:
    heatmap = squashed(np.arange(6).reshape(2, 3), (10, 12))
    assert heatmap.native.dtype == np.float32
    assert heatmap.values.dtype == np.float32
    assert heatmap.values is heatmap.values
    assert heatmap.raw_range == (0, 5)
    for wrong in (np.zeros(3), np.zeros((0, 3)), np.zeros((1, 2, 3))):
        with pytest.raises(VizError, match="heat map"):
            squashed(wrong, (4, 4))


# --- scales ------------------------------------------------------------------------------------------------------


def test_scales_take_their_ends_from_where_they_say() -> None:
    a = squashed(np.array([[1.0, 3.0]]), (4, 4), bounds=(0.0, np.inf))
    b = squashed(np.array([[-2.0, np.nan]]), (4, 4))
    ends = {mode: scale_for(a, mode, together=[a, b], fixed=(5, 9)) for mode in SCALE_MODES}
    assert {m: (s.low, s.high) for m, s in ends.items()} == {
        "raw": (0, 3),
        "image": (1, 3),
        "steps": (-2, 3),
        "pictures": (-2, 3),
        "fixed": (5, 9),
    }
    assert all(s.mode == m for m, s in ends.items())
    assert len({s.describe() for s in ends.values()}) == 5
    assert ends["raw"].describe().endswith("0 to 3")
    assert scale_for(a, "steps").low == 1


@pytest.mark.parametrize("fixed", [None, (1, 1), (2, 1), (np.nan, 1), (0, np.inf)])
def test_fixed_scale_needs_two_numbers(fixed: Any) -> None:
    with pytest.raises(VizError, match="two numbers"):
        scale_for(squashed(noise(2, 2), (4, 4)), "fixed", fixed=fixed)


def test_unknown_scale_and_palette() -> None:
    bad: Any = "auto"
    with pytest.raises(VizError, match="steps"):
        scale_for(squashed(noise(2, 2), (4, 4)), bad)
    with pytest.raises(VizError, match="viridis"):
        palette("jet")


def test_unit_clips_and_keeps_what_is_no_number() -> None:
    values = np.array([[-1, 0, 1, 2, 9, np.nan]], dtype=np.float32)
    unit = Scale("fixed", 0, 2).unit(values)
    np.testing.assert_array_equal(unit, np.array([[0, 0, 0.5, 1, 1, np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(Scale("image", 3, 3).unit(values), [[0, 0, 0, 0, 0, np.nan]])


def test_finite_range() -> None:
    assert finite_range([]) == (0, 0)
    assert finite_range([np.array([np.nan]), np.array([np.inf])]) == (0, 0)
    assert finite_range([np.array([np.nan, 2.0]), np.array([-1.0, np.inf])]) == (-1, 2)


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_are_whole(name: str) -> None:
    table = palette(name)
    assert table.shape == (256, 3)
    assert len(np.unique(table, axis=0)) > 200
    if name in ("viridis", "inferno", "cividis", "grey"):  # lightness only grows
        assert (np.diff(table @ [0.2126, 0.7152, 0.0722]) > -1).all()


def test_colour_indexes_the_palette() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    rgba = colour(values, Scale("fixed", 0, 1), "viridis")
    np.testing.assert_array_equal(rgba[0, :3, :3], palette("viridis")[[0, 128, 255]])
    assert rgba[0, :, 3].tolist() == [255, 255, 255, 0]


# --- overlay -----------------------------------------------------------------------------------------------------


def test_overlay_is_a_blend_and_leaves_the_rest_of_the_photo_alone() -> None:
    g = fit((40, 80), Preprocessing((32, 32)), "center_crop")
    rgb = np.random.default_rng(0).integers(0, 256, (40, 80, 3)).astype(np.uint8)
    heatmap = Heatmap(noise(4, 4), g, "t")
    scale = scale_for(heatmap, "image")
    full = overlay(rgb, heatmap, scale, opacity=1.0, palette_name="viridis")
    half = overlay(rgb, heatmap, scale, opacity=0.5, palette_name="viridis")
    seen = g.seen_pixels()
    outside = np.ones((40, 80), bool)
    outside[seen] = False
    for drawn in (full, half):
        np.testing.assert_array_equal(drawn[outside], rgb[outside])
    np.testing.assert_array_equal(full[seen], colour(heatmap.values, scale, "viridis")[seen][..., :3])
    want = np.floor((rgb[seen].astype(float) + full[seen]) / 2 + 0.5)
    np.testing.assert_array_equal(half[seen], want)
    np.testing.assert_array_equal(overlay(rgb, heatmap, scale, opacity=0), rgb)


def test_overlay_at_another_size_and_interpolation() -> None:
    heatmap = squashed(noise(4, 4), (40, 80))
    scale = scale_for(heatmap, "image")
    small = overlay(np.zeros((10, 20, 3), np.uint8), heatmap, scale, opacity=1, interpolation="cells")
    want = colour(heatmap.at((10, 20), "cells"), scale, "inferno")[..., :3]
    np.testing.assert_array_equal(small, want)


def test_overlay_of_a_map_that_touches_no_pixel() -> None:
    g = Geometry("center_crop", (1, 4), (64, 64), (1.6, 0.1, 2.4, 0.9), (0.0, 0.0, 64.0, 64.0))
    heatmap = Heatmap(noise(2, 2), g, "t")
    assert np.isnan(heatmap.values).all()
    rgb = np.full((1, 4, 3), 7, np.uint8)
    np.testing.assert_array_equal(overlay(rgb, heatmap, scale_for(heatmap, "image")), rgb)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, np.nan])
def test_opacity_outside_its_range(opacity: float) -> None:
    heatmap = squashed(noise(2, 2), (4, 4))
    with pytest.raises(VizError, match="opacity"):
        overlay(np.zeros((4, 4, 3), np.uint8), heatmap, scale_for(heatmap, "image"), opacity=opacity)
