"""Opening pictures: every file is made here, odd ones byte by byte, and compared with pixels worked out by hand."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import re
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

import viz
from tests.pictures import chunk, colours, encode, exif, grey_tags, png, png_of, refused, smooth, tiff, whole_files
from tests.privileges import unprivileged
from tests.tiny import tiny_model
from viz.errors import PictureError
from viz.picture import Limits, open_picture

# Pillow warns of the damage and of the sizes that these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")


# --- what it gives -----------------------------------------------------------------------------------------------


def test_bytes_path_and_array_give_the_same_pixels(tmp_path: Path) -> None:
    rgb = colours()
    data = encode(Image.fromarray(rgb), "PNG")
    (tmp_path / "a b.png").write_bytes(data)
    sources = [data, bytearray(data), memoryview(data), tmp_path / "a b.png", str(tmp_path / "a b.png")]
    for source in sources:
        picture = open_picture(source)
        np.testing.assert_array_equal(picture.rgb, rgb)
        assert picture.sha256 == hashlib.sha256(data).hexdigest()
        assert picture.size == (5, 8)
        assert picture.notes == ()
    np.testing.assert_array_equal(open_picture(rgb).rgb, rgb)
    assert [open_picture(s).name for s in sources] == ["picture"] * 3 + ["a b.png"] * 2
    assert open_picture(data, name="shown").name == "shown"
    opened = open_picture(data)
    assert open_picture(opened) is opened


@pytest.mark.parametrize("source", ["bytes", "array"])
def test_pixels_cannot_be_changed(source: str) -> None:
    rgb = colours()
    picture = open_picture(rgb if source == "array" else encode(Image.fromarray(rgb), "PNG"))
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        picture.rgb[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        picture.rgb.setflags(write=True)
    rgb[0, 0] = 99
    assert tuple(picture.rgb[0, 0]) == (20, 30, 200)


LOSSLESS = ["PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP"]


@pytest.mark.parametrize("fmt", LOSSLESS)
def test_lossless_formats_are_exact(fmt: str) -> None:
    rgb = colours()
    options = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    image = Image.fromarray(rgb)
    if fmt == "GIF":
        image = image.quantize(64, dither=Image.Dither.NONE)
        rgb = np.asarray(image.convert("RGB"))
    picture = open_picture(encode(image, fmt, **options))
    np.testing.assert_array_equal(picture.rgb, rgb)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", *(["AVIF"] if features.check("avif") else [])])
def test_lossy_formats_are_close(fmt: str) -> None:
    rgb = smooth(40, 64)
    picture = open_picture(encode(Image.fromarray(rgb), fmt, quality=95))
    assert np.abs(picture.rgb.astype(int) - rgb).max() < 12
    assert picture.size == (40, 64)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    np.testing.assert_array_equal(
        open_picture(encode(Image.fromarray(colours()), "TIFF", compression=compression)).rgb, colours()
    )


def test_jpeg_progressive_and_grey() -> None:
    rgb = smooth(40, 64)
    for options in ({"progressive": True}, {"subsampling": 2}, {"optimize": True}):
        picture = open_picture(encode(Image.fromarray(rgb), "JPEG", quality=95, **options))
        assert np.abs(picture.rgb.astype(int) - rgb).max() < 16
    grey = open_picture(encode(Image.fromarray(rgb[..., 0]), "JPEG", quality=95))
    assert grey.rgb.shape == (40, 64, 3)
    assert (grey.rgb[..., 0] == grey.rgb[..., 1]).all()
    assert np.abs(grey.rgb[..., 0].astype(int) - rgb[..., 0]).max() < 6


# --- EXIF --------------------------------------------------------------------------------------------------------

# How the stored pixels must be turned, written out by hand from the EXIF standard (tag 0x0112).
HAND_TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # 90 degrees clockwise
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],  # 90 degrees counter-clockwise
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF", "TIFF-LZW", "JPEG"])
def test_all_eight_orientations(orientation: int, fmt: str) -> None:
    stored = colours() if fmt != "JPEG" else smooth(24, 40)
    kind, _, packed = fmt.partition("-")
    options: dict[str, Any] = {"exif": exif(orientation)}
    if kind == "WEBP":
        options |= {"lossless": True, "exact": True}
    if packed:
        options["compression"] = "tiff_lzw"
    if kind == "JPEG":
        options |= {"quality": 97, "subsampling": 0}
    picture = open_picture(encode(Image.fromarray(stored), kind, **options))
    want = HAND_TURNED[orientation](stored)
    assert picture.rgb.shape == want.shape
    assert np.abs(picture.rgb.astype(int) - want).max() <= (10 if fmt == "JPEG" else 0)
    assert picture.notes == (("turned upright by its EXIF tag",) if orientation > 1 else ())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_grey(orientation: int) -> None:
    stored = np.arange(15, dtype=np.uint16).reshape(3, 5) * 4000
    data = png_of(stored, 0, chunk(b"eXIf", exif(orientation).removeprefix(b"Exif\0\0")))
    want = HAND_TURNED[orientation](np.repeat(np.rint(stored / 257).astype(np.uint8)[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(open_picture(data).rgb, want)


@pytest.mark.parametrize("block", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\xff\xff", exif(0), exif(9), exif(65535)])
def test_a_broken_exif_block_does_not_cost_the_picture(block: bytes) -> None:
    picture = open_picture(encode(Image.fromarray(colours()), "PNG", exif=block))
    np.testing.assert_array_equal(picture.rgb, colours())
    assert picture.notes == ()


# --- transparency ------------------------------------------------------------------------------------------------


def over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(float) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha))


def rgba_sample() -> np.ndarray:
    rng = np.random.default_rng(3)
    rgba = rng.integers(0, 256, (6, 9, 4)).astype(np.uint8)
    rgba[0, :, 3], rgba[1, :, 3] = 0, 255
    return rgba


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP"])
def test_rgba_on_white(fmt: str) -> None:
    rgba = rgba_sample()
    options = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    picture = open_picture(encode(Image.fromarray(rgba), fmt, **options))
    assert np.abs(picture.rgb - over_white(rgba)).max() <= 1
    assert (picture.rgb[0] == 255).all()
    np.testing.assert_array_equal(picture.rgb[1], rgba[1, :, :3])
    assert picture.notes == ("transparency laid on white",)


def test_opaque_alpha_changes_nothing_and_says_nothing() -> None:
    rgba = rgba_sample()
    rgba[..., 3] = 255
    picture = open_picture(encode(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(picture.rgb, rgba[..., :3])
    assert picture.notes == ()


def test_grey_with_alpha() -> None:
    la = rgba_sample()[..., 2:]
    picture = open_picture(png_of(la, 4))
    want = over_white(np.concatenate([la[..., :1]] * 3 + [la[..., 1:]], axis=2))
    assert np.abs(picture.rgb - want).max() <= 1


def test_premultiplied_tiff() -> None:
    """ExtraSamples 1: colours already multiplied by alpha; half-transparent red on white is pink."""
    data = np.array([[[128, 0, 0, 128], [0, 0, 255, 255], [0, 0, 0, 0]]], dtype=np.uint8)
    tags = {**grey_tags(3, 1, 8, 2), 258: (3, [8, 8, 8, 8]), 277: (3, [4]), 338: (3, [1])}
    picture = open_picture(tiff(tags, data.tobytes()))
    want = [[255, 127, 127], [0, 0, 255], [255, 255, 255]]
    assert np.abs(picture.rgb[0].astype(int) - want).max() <= 1


def test_palette_with_alpha_per_colour() -> None:
    plte = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    trns = chunk(b"tRNS", bytes([0, 128]))  # the third colour stays opaque
    picture = open_picture(png(3, 1, 8, 3, [bytes([0, 1, 2])], plte, trns))
    assert np.abs(picture.rgb[0].astype(int) - [[255, 255, 255], [127, 255, 127], [0, 0, 255]]).max() <= 1


def test_palette_without_alpha() -> None:
    plte = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    picture = open_picture(png(3, 1, 2, 3, [bytes([0b00011000])], plte))
    np.testing.assert_array_equal(picture.rgb[0], [[255, 0, 0], [0, 255, 0], [0, 0, 255]])


def test_palette_with_alpha_channel() -> None:
    image = Image.new("PA", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([(0, 255), (1, 0), (1, 255)])
    rgba = np.asarray(image.convert("RGBA"))
    assert rgba[0, 1, 3] == 0
    picture = open_picture(encode(image.convert("RGBA"), "PNG"))
    np.testing.assert_array_equal(picture.rgb[0], [[10, 20, 30], [255, 255, 255], [200, 100, 50]])


def test_transparent_gif_colour_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 0, 0])
    image.putdata([0, 1])
    picture = open_picture(encode(image, "GIF", transparency=1))
    np.testing.assert_array_equal(picture.rgb[0], [[9, 8, 7], [255, 255, 255]])


def test_rgb_with_one_transparent_colour() -> None:
    rgb = np.array([[[1, 2, 3], [1, 2, 4]]], dtype=np.uint8)
    picture = open_picture(png_of(rgb, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    np.testing.assert_array_equal(picture.rgb[0], [[255, 255, 255], [1, 2, 4]])


def test_rgb16_with_one_transparent_colour() -> None:
    rgb = np.array([[[257, 0x4000, 0x8000], [257, 0x4000, 0x9000]]], dtype=np.uint16)
    picture = open_picture(png_of(rgb, 2, chunk(b"tRNS", struct.pack(">HHH", 257, 0x4000, 0x8000))))
    np.testing.assert_array_equal(picture.rgb[0], [[255, 255, 255], [1, 0x40, 0x90]])


def test_grey_with_one_transparent_value_at_every_depth() -> None:
    for depth in (1, 2, 4, 8):
        top = 2**depth - 1
        shift = 8 - depth
        rows = [bytes([value << shift]) for value in (0, top - 1, top)]
        for transparent in {0, top - 1, top}:
            picture = open_picture(png(1, 3, depth, 0, rows, chunk(b"tRNS", struct.pack(">H", transparent))))
            want = [255 if v == transparent else v * 255 // top for v in (0, top - 1, top)]
            assert picture.rgb[:, 0, 0].tolist() == want, (depth, transparent)


def test_grey16_with_one_transparent_value() -> None:
    grey = np.array([[0, 5000, 5001, 65535]], dtype=np.uint16)
    picture = open_picture(png_of(grey, 0, chunk(b"tRNS", struct.pack(">H", 5000))))
    assert picture.rgb[0, :, 0].tolist() == [0, 255, 19, 255]
    assert "transparency laid on white" in picture.notes


# --- more than eight bits ----------------------------------------------------------------------------------------

DEEP = np.array([[0, 1, 128, 129, 257, 32768], [40000, 59995, 65278, 65407, 65534, 65535]], dtype=np.uint16)
DEEP8 = np.array([[round(int(v) / 257) for v in row] for row in DEEP])


def test_sixteen_bit_grey_png_is_scaled() -> None:
    picture = open_picture(png_of(DEEP, 0))
    np.testing.assert_array_equal(picture.rgb[..., 0], DEEP8)
    assert picture.notes == ("16-bit values scaled to 8 bits",)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_grey_tiff_is_scaled(order: str) -> None:
    data = tiff(grey_tags(6, 2, 16), DEEP.astype(f"{order}u2").tobytes(), order)
    np.testing.assert_array_equal(open_picture(data).rgb[..., 0], DEEP8)


def test_white_is_zero_grey() -> None:
    eight = tiff(grey_tags(6, 2, 8, 0), DEEP8.astype(np.uint8).tobytes())
    np.testing.assert_array_equal(open_picture(eight).rgb[..., 0], 255 - DEEP8)
    sixteen = tiff(grey_tags(6, 2, 16, 0), DEEP.tobytes())
    np.testing.assert_array_equal(open_picture(sixteen).rgb[..., 0], 255 - DEEP8)


def test_twelve_bit_grey_tiff_is_scaled() -> None:
    values = [0, 1, 2048, 4095]
    bits = "".join(f"{v:012b}" for v in values)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    picture = open_picture(tiff(grey_tags(4, 1, 12), data))
    assert picture.rgb[0, :, 0].tolist() == [round(v * 255 / 4095) for v in values]


@pytest.mark.parametrize("colour", [2, 6])
def test_sixteen_bit_colour_png_is_scaled(colour: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    if colour == 6:
        alpha = np.full((4, 5, 1), 65535, np.uint16)
        alpha[3] = 0
        values = np.concatenate([values, alpha], axis=2)
    got = open_picture(png_of(values, colour)).rgb.astype(int)
    want = np.rint(values[..., :3] / 257)
    if colour == 6:
        want[3] = 255
    assert np.abs(got - want).max() <= 1  # the decoder keeps the high byte
    assert got[0, 0].tolist() == [0, 0, 0]
    assert got[0, 1].tolist() == [255, 255, 255]


def test_sixteen_bit_grey_with_alpha() -> None:
    values = np.array([[[0, 65535], [65535, 65535], [30000, 65535], [100, 0], [0, 32896]]], dtype=np.uint16)
    got = open_picture(png_of(values, 4)).rgb[0, :, 0].astype(int)
    assert np.abs(got - [0, 255, 117, 255, 127]).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_colour_tiff(order: str) -> None:
    values = np.array([[[0, 65535, 32896], [257, 514, 65278]]], dtype=np.uint16)
    tags = {**grey_tags(2, 1, 16, 2), 258: (3, [16, 16, 16]), 277: (3, [3])}
    got = open_picture(tiff(tags, values.astype(f"{order}u2").tobytes(), order)).rgb
    assert np.abs(got - np.rint(values / 257)).max() <= 1


def test_float_and_integer_tiff() -> None:
    unit = np.array([[0, 0.25, 0.5, 1]], dtype=np.float32)
    assert open_picture(encode(Image.fromarray(unit), "TIFF")).rgb[0, :, 0].tolist() == [0, 64, 128, 255]
    assert open_picture(encode(Image.fromarray(unit * 255), "TIFF")).rgb[0, :, 0].tolist() == [0, 64, 128, 255]
    integers = np.array([[0, 257, 65535]], dtype=np.int32)
    assert open_picture(encode(Image.fromarray(integers), "TIFF")).rgb[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, np.nan]], dtype=np.float32),
        np.array([[0, np.inf]], dtype=np.float32),
        np.array([[-0.5, 1]], dtype=np.float32),
        np.array([[0, 1000.0]], dtype=np.float32),
        np.array([[0, 70000]], dtype=np.int32),
        np.array([[-1, 5]], dtype=np.int32),
    ],
)
def test_values_without_a_white_point_are_refused(values: np.ndarray) -> None:
    assert "8- or 16-bit" in refused(encode(Image.fromarray(values), "TIFF"))


def test_one_bit() -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    for fmt in ("PNG", "TIFF", "BMP"):
        picture = open_picture(encode(Image.fromarray(bits), fmt))
        np.testing.assert_array_equal(picture.rgb[..., 1], bits * 255)


# --- CMYK and LAB ------------------------------------------------------------------------------------------------

INKS = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255), (0, 255, 0, 0): (255, 0, 255)} | {
    (0, 0, 255, 0): (255, 255, 0),
    (0, 0, 0, 255): (0, 0, 0),
}


def ink_sheet() -> tuple[Image.Image, np.ndarray]:
    """Blocks of pure inks, 16 pixels each (whole JPEG blocks), and the colours they print."""
    inks = np.repeat(np.repeat(np.array([list(INKS)], dtype=np.uint8), 16, axis=0), 16, axis=1)
    want = np.repeat(np.repeat(np.array([list(INKS.values())], dtype=np.uint8), 16, axis=0), 16, axis=1)
    return Image.frombytes("CMYK", (80, 16), inks.tobytes()), want


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF"])
def test_cmyk(fmt: str) -> None:
    image, want = ink_sheet()
    data = encode(image, fmt, **({"quality": 98} if fmt == "JPEG" else {}))
    assert (b"Adobe" in data) == (fmt == "JPEG")  # Adobe's JPEGs hold inverted inks
    picture = open_picture(data)
    assert np.abs(picture.rgb.astype(int) - want).max() < 8
    assert picture.notes == ("converted from CMYK",)


def test_ycck_jpeg() -> None:
    """Adobe's YCCK holds YCbCr of the inks C, M, Y, and K inverted. Made by coding those planes as CMYK (which inverts
    all four, so the first three are inverted before) and marking them as YCCK in APP14."""
    image, want = ink_sheet()
    inks = np.asarray(image)
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(inks[..., :3])).convert("YCbCr"))
    planes = np.dstack([255 - ycc, inks[..., 3]])
    data = encode(Image.frombytes("CMYK", image.size, planes.tobytes()), "JPEG", quality=98, subsampling=0)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    ycck = data[:at] + b"\x02" + data[at + 1 :]
    picture = open_picture(ycck)
    assert np.abs(picture.rgb.astype(int) - want).max() < 12
    assert picture.notes == ("converted from CMYK",)


def test_cmyk_with_a_profile_that_is_not_one() -> None:
    image, want = ink_sheet()
    picture = open_picture(encode(image, "TIFF", icc_profile=b"not a profile"))
    np.testing.assert_array_equal(picture.rgb, want)
    assert picture.notes == ("converted from CMYK", "its colour profile could not be used")


def test_lab_tiff() -> None:
    rgb = Image.fromarray(colours())
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    picture = open_picture(encode(lab, "TIFF"))
    assert np.abs(picture.rgb.astype(int) - colours()).max() <= 12  # LAB in 8 bits is coarse


# --- frames and pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(fmt: str) -> None:
    first = np.full((20, 30, 3), (10, 200, 30), np.uint8)
    first[:10, :10] = (200, 10, 10)
    frames = [Image.fromarray(first), Image.new("RGB", (30, 20), "blue"), Image.new("RGB", (30, 20), "black")]
    options = {"lossless": True} if fmt == "WEBP" else {}
    data = encode(frames[0], fmt, save_all=True, append_images=frames[1:], duration=50, loop=0, **options)
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, first)
    said = "first frame of an animation" if fmt == "GIF" else "first of 3 frames"
    assert picture.notes == (said,)


def gif(canvas: tuple[int, int], box: tuple[int, int, int, int], transparent: bool) -> bytes:
    """A GIF by hand: one red frame at `box` (x, y, w, h) of a canvas (w, h); colour 0 is green, 1 is red."""
    x, y, w, h = box
    # LZW with 2-bit colours: a clear code (4) before every pixel keeps all codes at 3 bits.
    codes = [c for _ in range(w * h) for c in (4, 1)] + [5]
    bits = sum(code << (3 * i) for i, code in enumerate(codes))
    packed = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = b"".join(bytes([len(packed[i : i + 255])]) + packed[i : i + 255] for i in range(0, len(packed), 255))
    data = b"\x02" + blocks + b"\0;"
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0b10000000, 0, 0) + bytes([0, 255, 0, 255, 0, 0])
    control = b"!\xf9\x04" + bytes([1, 0, 0, 0]) + b"\0" if transparent else b""
    return head + control + b"," + struct.pack("<HHHHB", x, y, w, h, 0) + data


@pytest.mark.parametrize("transparent", [False, True])
def test_first_gif_frame_that_covers_a_part(transparent: bool) -> None:
    picture = open_picture(gif((12, 9), (3, 2, 4, 5), transparent))
    want = np.full((9, 12, 3), 255, np.uint8)
    want[2:7, 3:7] = (255, 0, 0)
    np.testing.assert_array_equal(picture.rgb, want)
    assert picture.notes == ("transparency laid on white",)


def test_apng_frames_with_offsets_do_not_show() -> None:
    first = colours(12, 16)
    second = first.copy()
    second[4:6, 5:9] = 0
    data = encode(Image.fromarray(first), "PNG", save_all=True, append_images=[Image.fromarray(second)])
    assert b"fdAT" in data
    np.testing.assert_array_equal(open_picture(data).rgb, first)


def test_first_page_of_a_tiff() -> None:
    pages = [Image.fromarray(colours()), Image.new("L", (3, 3)), Image.new("CMYK", (9, 9))]
    picture = open_picture(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    np.testing.assert_array_equal(picture.rgb, colours())
    assert picture.notes == ("first of several pages",)


def test_first_picture_of_an_mpo() -> None:
    rgb = smooth(24, 40)
    data = encode(Image.fromarray(rgb), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 24))], quality=97)
    picture = open_picture(data)
    assert np.abs(picture.rgb.astype(int) - rgb).max() < 12


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_first_frame_of_an_avif_sequence() -> None:
    frames = [Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")]
    picture = open_picture(encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=95))
    assert np.abs(picture.rgb.astype(int) - (255, 0, 0)).max() < 10
    assert picture.notes == ("first of 2 frames",)


# --- what it refuses ---------------------------------------------------------------------------------------------

SVGS = [
    b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    b'\xef\xbb\xbf<?xml version="1.0"?><svg/>',
    b"  \r\n\t<!-- made by hand -->\n<svg viewBox='0 0 1 1'/>",
    b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg/>',
    b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><SVG/>',
    gzip.compress(b"<svg>" + b" " * 300_000 + b"</svg>", mtime=0),
    '<?xml version="1.0" encoding="UTF-16"?><svg/>'.encode("utf-16"),
    b"<?xml version='1.0'?>" + b"<!--" + b"x" * 5000 + b"-->" + b"<svg/>",
]


@pytest.mark.parametrize("data", SVGS)
def test_svg_is_refused_by_name(data: bytes) -> None:
    assert refused(data).startswith("SVG drawings have no pixels")


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype html><html><body><svg/></body></html>",
        b"just words",
        b"\0" * 1000,
        b"%PDF-1.4\n",
        b"PK\x03\x04" + b"\0" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        gzip.compress(b"text", mtime=0),
        b"\x1f\x8b",
        b"\x89PNG\r\n",
        b"\xff\xd8",
        b"II*\0",
        b"<?xml version='1.0'?><kml/>",
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert re.match(r"This is not a picture that can be read|The picture is damaged", refused(data))


def test_other_formats_of_pillow_stay_closed() -> None:
    for fmt in ("ICO", "EPS", "PCX", "TGA", "JPEG2000"):
        assert refused(encode(Image.new("RGB", (16, 16)), fmt)).startswith("This is not a picture that can be read")


def test_empty_is_refused(tmp_path: Path) -> None:
    assert refused(b"") == "The file is empty."
    (tmp_path / "nothing.png").touch()
    assert refused(tmp_path / "nothing.png") == "The file is empty."


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_is_refused_with_what_to_do(brand: bytes) -> None:
    data = struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0" + b"mif1heic" + b"\0" * 64
    message = refused(data)
    assert "HEIC" in message
    assert "convert" in message


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    hidden = tmp_path / "secret-folder"
    hidden.mkdir()
    os.mkfifo(hidden / "pipe.png")
    (hidden / "locked\nname.png").mkdir()
    sources = [hidden, hidden / "pipe.png", hidden / "none.png", Path("/dev/zero"), "", "/", "a\0b.png"]
    sources += [hidden / "locked\nname.png", hidden / ("x" * 5000)]
    done: list[str] = []

    def ask() -> None:
        done.extend(refused(source) for source in sources)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "a pipe or device was read"
    assert len(done) == len(sources)
    assert done[1] == "pipe.png is not a file."
    assert done[2] == "The file none.png does not exist."
    assert not [m for m in done[1:] if "secret-folder" in m or str(tmp_path) in m or "/" in m]


def test_messages_hold_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    for name, data in {"t.png": b"text", "c.jpg": encode(Image.fromarray(colours()), "JPEG")[:150]}.items():
        (folder / name).write_bytes(data)
        assert "private" not in refused(folder / name)
        assert "/" not in refused(str(folder / name))


@pytest.mark.skipif(sys.platform == "win32", reason="a file's mode does not forbid reading there")
def test_unreadable_file() -> None:
    with unprivileged() as folder:
        path = folder / "locked.png"
        path.write_bytes(encode(Image.fromarray(colours()), "PNG"))
        path.chmod(0)
        assert refused(path) == "The file locked.png cannot be read."


@pytest.mark.parametrize("source", [None, 3, ["a.png"]])
def test_other_types_are_refused(source: Any) -> None:
    assert type(source).__name__ in refused(source)


# --- limits ------------------------------------------------------------------------------------------------------


def test_byte_cap(tmp_path: Path) -> None:
    data = encode(Image.fromarray(colours()), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    exact, short = Limits(max_bytes=len(data)), Limits(max_bytes=len(data) - 1)
    for source in (data, memoryview(data), tmp_path / "a.png"):
        assert open_picture(source, limits=exact).size == (5, 8)
        assert "larger than" in refused(source, limits=short)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: costs no disk
    tracemalloc.start()
    assert "larger than 40 MiB" in refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_pixel_cap_counts_the_header() -> None:
    data = encode(Image.new("RGB", (40, 25)), "PNG")
    assert open_picture(data, limits=Limits(max_pixels=1000)).size == (25, 40)
    assert "megapixels" in refused(data, limits=Limits(max_pixels=999))
    assert "megapixels" in refused(np.zeros((25, 40), np.uint8), limits=Limits(max_pixels=999))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (12000, 12000), (8000, 8000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_pixels(width: int, height: int) -> None:
    """A PNG header that asks for gigabytes, with a few bytes behind it."""
    zeros = zlib.compress(bytes(1000), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png_bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
    bmp_bomb = (
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    )
    bombs = [png_bomb, bmp_bomb, f"P6 {width} {height} 255\n".encode()]
    if width < 65536:
        bombs.append(tiff({**grey_tags(width, height, 8), 256: (4, [width]), 257: (4, [height])}, b"\0" * 10))
        bombs.append(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + gif((4, 4), (0, 0, 2, 2), False)[13:])
    before = resident()
    tracemalloc.start()
    for bomb in bombs:
        assert re.search("megapixels|not a picture|damaged", refused(bomb))
    assert "megapixels" in refused(png_bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert resident() - before < 64 * 2**20


def test_a_text_bomb_inside_a_png() -> None:
    """Compressed text that grows to 256 MiB is not unpacked in full."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    data = png_of(colours(), 2, chunk(b"zTXt", b"Comment\0\0" + packed))
    before = resident()
    try:
        np.testing.assert_array_equal(open_picture(data).rgb, colours())
    except PictureError as error:
        assert str(error).endswith(".")
    assert resident() - before < 64 * 2**20


# --- damage ------------------------------------------------------------------------------------------------------


FILES = whole_files()


@pytest.mark.parametrize("kind", list(FILES))
def test_every_prefix_opens_fully_or_not_at_all(kind: str) -> None:
    data = FILES[kind]
    full = open_picture(data).rgb
    step = max(1, len(data) // 400)
    ends = {*range(0, len(data), step), *range(max(0, len(data) - 40), len(data)), *range(min(len(data), 60))}
    opened = 0
    for end in sorted(ends):
        try:
            part = open_picture(data[:end]).rgb
        except PictureError:
            continue
        assert np.array_equal(part, full), f"{kind} cut at {end} of {len(data)} opened with other pixels"
        opened += 1
    assert opened < len(ends) * 0.9, "most cuts must be refused"


@pytest.mark.parametrize("kind", list(FILES))
def test_flipped_bits_give_a_picture_or_a_sentence(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(60):
        data = bytearray(FILES[kind])
        for _ in range(rng.choice((1, 1, 2, 8))):
            # Half of the hits go to the headers, where they hurt most.
            at = rng.randrange(min(len(data), 120)) if rng.random() < 0.5 else rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
        try:
            picture = open_picture(bytes(data), limits=Limits(max_pixels=2_000_000))
        except PictureError as error:
            assert str(error).endswith(".")
        else:
            assert picture.rgb.ndim == 3
            assert picture.rgb.dtype == np.uint8


def test_random_bytes_behind_every_signature() -> None:
    rng = random.Random(1)
    for kind, whole in FILES.items():
        for size in (8, 12, 20, 40):
            data = whole[:size] + rng.randbytes(300)
            try:
                open_picture(data, limits=Limits(max_pixels=1_000_000))
            except PictureError as error:
                assert str(error).endswith("."), kind


# --- arrays ------------------------------------------------------------------------------------------------------


def test_array_dtypes_give_the_same_grey() -> None:
    want = np.array([[0, 64, 128, 255]], dtype=np.uint8)
    for array in (
        want,
        want.astype(np.uint16) * 257,
        want.astype(">u2") * 257,
        (want / 255).astype(np.float16),
        (want / 255).astype(np.float32),
        (want / 255).astype(">f4"),
        want / 255,
    ):
        np.testing.assert_array_equal(open_picture(array).rgb[..., 2], want, err_msg=str(array.dtype))
    np.testing.assert_array_equal(open_picture(np.array([[True, False]])).rgb[0, :, 0], [255, 0])


def test_array_sixteen_bits_rounds_to_nearest() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(open_picture(every).rgb[..., 0], np.rint(every.astype(np.float64) / 257))


def test_array_shapes() -> None:
    rgb = colours()
    np.testing.assert_array_equal(open_picture(rgb[..., :1]).rgb, np.repeat(rgb[..., :1], 3, axis=2))
    np.testing.assert_array_equal(open_picture(rgb[..., 0]).rgb, np.repeat(rgb[..., :1], 3, axis=2))
    np.testing.assert_array_equal(open_picture(rgb[::-1, ::2]).rgb, rgb[::-1, ::2])
    rgba = rgba_sample()
    np.testing.assert_array_equal(open_picture(rgba).rgb, over_white(rgba))
    np.testing.assert_array_equal(open_picture(rgba / 255.0).rgb, over_white(rgba))


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint32", "uint64", "complex64", "O", "U1", "M8[s]"]
)
def test_array_dtypes_without_a_meaning_are_refused(dtype: str) -> None:
    assert "uint8, uint16, bool or float" in refused(np.zeros((2, 2)).astype(dtype))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2), (2, 2, 5), (1, 2, 2, 3), (3, 20, 20)])
def test_array_shapes_without_a_meaning_are_refused(shape: tuple[int, ...]) -> None:
    assert "(H, W, 3)" in refused(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0, 3)])
def test_arrays_without_pixels_are_refused(shape: tuple[int, ...]) -> None:
    assert refused(np.zeros(shape, np.uint8)) == "The picture has no pixels."


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01, 255.0])
def test_float_arrays_outside_zero_to_one_are_refused(bad: float) -> None:
    assert "from 0 to 1" in refused(np.array([[0.5, bad]]))


def test_array_identity_is_of_shape_type_and_values() -> None:
    base = np.arange(12, dtype=np.uint8).reshape(3, 4)
    digests = {
        open_picture(a).sha256
        for a in (base, base.reshape(4, 3), base.astype(np.uint16), base.copy() + np.uint8(1), base[..., None])
    }
    assert len(digests) == 5
    assert open_picture(base.copy()).sha256 == open_picture(np.asfortranarray(base)).sha256
    assert re.fullmatch("[0-9a-f]{64}", digests.pop())


# --- small pictures through everything ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 57), (57, 1), (2, 3), (1, 4000)])
@pytest.mark.parametrize("geometry", ["center_crop", "squash", "letterbox"])
def test_smallest_pictures_through_a_trace(shape: tuple[int, int], geometry: Any) -> None:
    rng = np.random.default_rng(0)
    data = encode(Image.fromarray(rng.integers(0, 256, (*shape, 3)).astype(np.uint8)), "PNG")
    trace = tiny_model(2).trace(data, geometry=geometry)
    heatmap = trace.class_map()
    assert heatmap.values.shape == shape
    assert np.isfinite(heatmap.values).any()
    assert trace._repr_html_().startswith("<table>")
    for box in viz.boxes(heatmap, components="all"):
        assert 0 <= box.x0 < box.x1 <= shape[1]
        assert 0 <= box.y0 < box.y1 <= shape[0]


def test_the_package_offers_it() -> None:
    assert viz.open_picture is open_picture
    assert issubclass(viz.PictureError, viz.VizError)
