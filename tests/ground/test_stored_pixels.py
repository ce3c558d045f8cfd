"""A data set's pictures are taken as they are stored, and in everything else decoded as the page decodes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from viz.datasets import DatasetError, Sample, load_mask, open_sample
from viz.datasets.masks import FileMask
from viz.picture import open_picture

ORIENTATION = 0x0112
# How stored pixels must be turned, by hand from the EXIF standard.
TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


def colours() -> np.ndarray:
    """No two pixels alike, no symmetry, a fourth channel of every kind of transparency over colours that must hide."""
    y, x = np.mgrid[0:6, 0:9]
    rgba = np.stack([20 + 25 * x, 30 + 40 * y, 200 - 11 * x - 7 * y, 255 - 0 * x], axis=-1).astype(np.uint8)
    rgba[2, 3:] = (250, 5, 120, 0)
    rgba[4, :5, 3] = 90
    return rgba


def pictures() -> dict[str, tuple[Image.Image, str, dict[str, Any]]]:
    """Picture, format and options of saving, of every kind that is not plain RGB when it is decoded."""
    rgba = Image.fromarray(colours())
    rgb = rgba.convert("RGB")
    deep = Image.fromarray((colours()[..., 0].astype(np.uint16) << 8) + 3)
    palette = rgb.quantize(16, dither=Image.Dither.NONE)
    lossless = {"lossless": True, "exact": True}
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "rgb": (rgb, "PNG", {}),
        "deep": (deep, "PNG", {}),
        "transparent": (rgba, "PNG", {}),
        "grey-alpha": (rgba.convert("LA"), "PNG", {}),
        "grey-key": (rgb.convert("L"), "PNG", {"transparency": 20 + 25}),
        "colour-key": (rgb, "PNG", {"transparency": (20, 30, 200)}),
        "palette-key": (palette, "PNG", {"transparency": 3}),
        "bits": (rgb.convert("1"), "PNG", {}),
        "jpeg": (rgb, "JPEG", {}),
        "jpeg-grey": (rgb.convert("L"), "JPEG", {}),
        "jpeg-cmyk": (rgb.convert("CMYK"), "JPEG", {}),
        "webp": (rgba, "WEBP", lossless),
        "tiff": (rgb, "TIFF", {}),
        "tiff-lzw": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "tiff-deep": (deep, "TIFF", {}),
        "tiff-deep-lzw": (deep, "TIFF", {"compression": "tiff_lzw"}),
        "tiff-transparent": (rgba, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff-cmyk": (rgb.convert("CMYK"), "TIFF", {}),
        "tiff-float": (Image.fromarray(colours()[..., 1].astype(np.float32) / 255), "TIFF", {}),
    }
    if features.check("avif"):
        made["avif"] = (rgba, "AVIF", {"quality": 100})
    return made


PICTURES = pictures()


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def by_exif(orientation: int) -> dict[str, Any]:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return {"exif": tags}


def by_xmp(orientation: int, fmt: str) -> dict[str, Any]:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    )
    if fmt == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet)
        return {"pnginfo": chunks}
    return {"tiffinfo": {700: packet.encode()}} if fmt == "TIFF" else {"xmp": packet.encode()}


def sample(path: Path, size: tuple[int, int] | None) -> Sample:
    return Sample(0, path.name, path, size, "x", None, (), None, path.name, path.parent)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("where", ["EXIF", "XMP"])
@pytest.mark.parametrize("kind", PICTURES)
def test_only_the_turn_is_left_out(tmp_path: Path, kind: str, where: str, orientation: int) -> None:
    image, fmt, options = PICTURES[kind]
    tag = by_exif(orientation) if where == "EXIF" else by_xmp(orientation, fmt)
    straight = open_picture(encode(image, fmt, **options))
    assert straight.size == (6, 9)
    path = tmp_path / f"a.{fmt.lower()}"
    path.write_bytes(encode(image, fmt, **options, **tag))
    want = TURNED[orientation](straight.rgb)
    for size in (None, (6, 9)):
        stored = open_sample(sample(path, size))
        np.testing.assert_array_equal(stored.rgb, straight.rgb)
        assert stored.rgb.flags.c_contiguous
        # Pillow moves AVIF's own turn into EXIF, and an XMP tag stays beside it.
        said = f"not turned by its {where} tag, as its boxes are not"
        assert set(stored.notes) == {*straight.notes, said}
        assert stored.sha256 == open_picture(path).sha256
    turned = open_picture(path)
    np.testing.assert_array_equal(turned.rgb, want)
    assert set(turned.notes) == {*straight.notes, f"turned upright by its {where} tag"}
    if want.shape != straight.rgb.shape:  # an index that was made from turned pictures
        np.testing.assert_array_equal(open_sample(sample(path, (9, 6))).rgb, want)
    with pytest.raises(DatasetError, match="is 9 x 6 but the index says 8 x 6"):
        open_sample(sample(path, (6, 8)))


def test_turned_deep_grey_is_not_white(tmp_path: Path) -> None:
    """By hand, not against our own decoder: 16-bit values over their full range."""
    values = np.array([[0, 257, 32896], [65535, 40092, 12593]], dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(values), "PNG", **by_exif(6)))
    grey = [[0, 1, 128], [255, 156, 49]]
    np.testing.assert_array_equal(open_sample(sample(tmp_path / "a.png", None)).rgb[..., 0], grey)


def test_colours_under_transparency_stay_hidden(tmp_path: Path) -> None:
    rgba = colours()
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(rgba), "PNG", **by_exif(8)))
    rgb = open_sample(sample(tmp_path / "a.png", (6, 9))).rgb
    assert (rgb[2, 3:] == 255).all()
    np.testing.assert_array_equal(rgb[rgba[..., 3] == 255], rgba[rgba[..., 3] == 255][:, :3])


def test_a_picture_without_a_tag_has_no_note(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(encode(Image.fromarray(colours()[..., :3]), "TIFF", **by_exif(1)))
    opened = open_sample(sample(tmp_path / "a.tif", (6, 9)))
    assert opened.notes == ()
    np.testing.assert_array_equal(opened.rgb, colours()[..., :3])


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["TIFF", "TIFF-LZW", "PNG"])
@pytest.mark.parametrize("values", [None, (3,)])
def test_masks_lie_as_they_are_stored(
    tmp_path: Path, kind: str, orientation: int, values: tuple[int, ...] | None
) -> None:
    """Pillow's TIFF reader would turn a mask by its tag, and the picture would not turn with it."""
    fmt, _, packed = kind.partition("-")
    options = {"compression": "tiff_lzw"} if packed else {}
    want = np.zeros((6, 9), np.uint8)
    want[1:3, 4:] = 1
    numbers = Image.fromarray(want * np.uint8(3 if values else 255))
    (tmp_path / "m").write_bytes(encode(numbers, fmt, **options, **by_exif(orientation)))
    one = replace(sample(tmp_path / "a.png", (6, 9)), mask=FileMask((tmp_path / "m",), values))
    np.testing.assert_array_equal(load_mask(one), want)
