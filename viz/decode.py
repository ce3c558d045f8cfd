"""Decoding of pictures to RGB pixels, from a file's bytes or from a picture that Pillow opened, within limits.

Every picture, shown or evaluated, goes through `decode` or `decode_image`. Whether its orientation tag is applied is an
argument; its pixels differ in nothing else.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from viz.errors import PictureError

RGB = NDArray[np.uint8]

# Formats that Pillow decodes itself, without other programs or downloads. JPEG includes MPO.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Inverse rotations; all other orientations are their own inverse.
_BACK = {6: 8, 8: 6}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Limits:
    """Limits checked before pixels are allocated: bytes of the file, and width x height of its header."""

    max_bytes: int = 40 * 2**20
    max_pixels: int = 50_000_000


def decode(data: bytes, limits: Limits, *, upright: bool = True) -> tuple[RGB, list[str]]:
    """RGB uint8 (H, W, 3), read-only, of a file's bytes, and notes on what decoding changed.

    Args:
        upright: apply the orientation tag (EXIF or TIFF, else XMP); False gives the pixels as stored.

    Raises:
        PictureError: not a picture, damaged, or above the limits.
    """
    _refuse_non_pixels(data)
    with _picture_errors(limits), Image.open(io.BytesIO(data), formats=_formats()) as image:
        check_size(image.height, image.width, limits)
        frames = _frames_note(image, data)
        return _rgb(image, [frames] if frames else [], upright)


def decode_image(image: Image.Image, limits: Limits) -> tuple[RGB, list[str]]:
    """RGB uint8 (H, W, 3), read-only, of a Pillow picture, which is not changed, and notes.

    A picture straight from a file is turned upright. Any other was made by the caller, who may have turned it: Pillow
    keeps the tag of a picture that it rotates. Its pixels are used as they are.

    Raises:
        PictureError: damaged, closed, or above the limits.
    """
    with _picture_errors(limits):
        check_size(image.height, image.width, limits)
        notes = [f"frame {image.tell() + 1} of an animation"] if image.tell() else []
        try:
            if isinstance(image, ImageFile.ImageFile) and _is_mapped_wrongly(image):
                with _reopened(image, limits) as same:
                    return _rgb(same, notes, upright=True)
            return _rgb(image, notes, upright=isinstance(image, ImageFile.ImageFile))
        except Exception as error:
            # Pillow raises different errors for pictures closed before and after their pixels were read.
            unread = getattr(image, "fp", None) is None and getattr(image, "tile", None)
            if unread or str(error) == "Operation on closed image":
                raise PictureError("The PIL picture is closed; pass it while it is open.") from None
            raise


def _is_mapped_wrongly(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow memory-maps the picture with swapped sides: an uncompressed TIFF opened by its path."""
    unread = image.format == "TIFF" and image.tile and image.fp is not None
    return bool(unread and image.filename and _orientation(image) in (5, 6, 7, 8))


def _reopened(image: ImageFile.ImageFile, limits: Limits) -> ImageFile.ImageFile:
    """The same frame of the same file, opened from its bytes."""
    assert image.fp is not None
    image.fp.seek(0)
    same = Image.open(io.BytesIO(image.fp.read(limits.max_bytes + 1)), formats=("TIFF",))
    same.seek(image.tell())
    return same


def as_stored(image: Image.Image) -> Image.Image:
    """An opened picture with its pixels as stored: Pillow turns a TIFF, but no other format, while loading it.

    It must have been opened from bytes, not by its path, see `_is_mapped_wrongly`.

    Raises:
        OSError: a damaged TIFF.
    """
    orientation = _orientation(image) if image.format == "TIFF" else 1
    if orientation not in _UPRIGHT:
        return image
    with image:
        return image.transpose(_UPRIGHT[_BACK.get(orientation, orientation)])


@contextmanager
def _picture_errors(limits: Limits) -> Iterator[None]:
    """Turn all errors of decoders into a `PictureError`."""
    try:
        yield
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(_too_many_pixels(limits)) from None
    except UnidentifiedImageError:
        raise PictureError(
            "This is not a picture that can be read; use JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
        ) from None
    except (MemoryError, RecursionError):
        raise PictureError("The picture needs more memory than is available; save a smaller copy.") from None
    except Exception:  # decoders raise many types on damaged files, which mean the same to the user
        raise PictureError("The picture is damaged or cut off; save or download it again.") from None


def _rgb(image: Image.Image, notes: list[str], upright: bool) -> tuple[RGB, list[str]]:
    depth = _png_depth(image)
    # Pillow's TIFF reader turns the pixels while it loads them, and then drops the tag.
    turned = _orientation(image) if image.format == "TIFF" else 1
    tag = _tag(image) if turned in _UPRIGHT else ""
    image.load()
    orientation = turned if turned in _UPRIGHT else _orientation(image)
    if orientation in _UPRIGHT:
        tag = tag or _tag(image)
        notes.append(f"turned upright by its {tag} tag" if upright else f"not turned by its {tag} tag")
    rgb = _to_rgb(image, depth, notes)
    # Pixels are turned last, because nothing before depends on it.
    if orientation in _UPRIGHT and upright != (turned in _UPRIGHT):
        way = orientation if upright else _BACK.get(orientation, orientation)
        rgb = _pixels(Image.fromarray(rgb).transpose(_UPRIGHT[way]))
    return rgb, notes


def _is_svg(data: bytes) -> bool:
    text = data[:65536]
    if text.startswith(b"\x1f\x8b"):
        try:
            text = zlib.decompressobj(wbits=31).decompress(text, 65536)
        except zlib.error:
            return False
    text = text.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    return text.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text


def _refuse_non_pixels(data: bytes) -> None:
    if not data:
        raise PictureError("The file is empty.")
    if _is_svg(data):
        raise PictureError("SVG drawings have no pixels; export the drawing as PNG.")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]:
        raise PictureError("HEIC pictures cannot be read here; convert the picture to JPEG or PNG.")


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)  # Pillow without libavif has no AVIF


def _frames_note(image: ImageFile.ImageFile, data: bytes) -> str:
    """A note on further frames, which are not counted where that needs a scan of the whole file."""
    if image.format == "GIF":
        try:  # looking for a second frame changes the state of the first, so this uses another reader
            with Image.open(io.BytesIO(data), formats=("GIF",)) as other:
                return "first frame of an animation" if getattr(other, "is_animated", False) else ""
        except Exception:  # damage after the first frame does not matter
            return ""
    if image.format == "TIFF":
        return "first of several pages" if getattr(image, "is_animated", False) else ""
    frames = int(getattr(image, "n_frames", 1))
    return f"first of {frames} frames" if frames > 1 else ""


def _orientation(image: Image.Image) -> int:
    """The orientation; 1 if its tag is missing or unreadable, which is no reason to refuse intact pixels.

    Pillow looks into EXIF (which includes TIFF tags), and then into XMP.
    """
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF readers raise many types on damaged blocks
        return 1
    return value if isinstance(value, int) else 1


def _tag(image: Image.Image) -> str:
    """The source of a picture's orientation: EXIF (which includes TIFF tags) or XMP."""
    if _ORIENTATION in getattr(image, "tag_v2", ()) or "Raw profile type exif" in image.info:
        return "EXIF"
    exif = Image.Exif()
    exif.load(image.info.get("exif") or b"")
    return "EXIF" if _ORIENTATION in exif else "XMP"


def _too_many_pixels(limits: Limits) -> str:
    return f"The picture has more than {limits.max_pixels / 1e6:.0f} megapixels; save a smaller copy."


def check_size(height: int, width: int, limits: Limits) -> None:
    if height < 1 or width < 1:
        raise PictureError("The picture has no pixels.")
    if height * width > limits.max_pixels:
        raise PictureError(_too_many_pixels(limits))


def _to_rgb(image: Image.Image, depth: int, notes: list[str]) -> RGB:
    """A loaded picture as RGB, not turned; `depth` is that of `_png_depth`."""
    mode = image.mode
    transparent = _transparent_grey(image, depth)
    if mode in ("I", "F") or mode.startswith("I;16"):
        grey = _deep_grey(image, notes)
    elif mode in ("1", "L"):
        grey = np.asarray(image.convert("L"))
    else:
        if mode == "CMYK":
            return _pixels(_cmyk_to_rgb(image, notes))
        if mode == "LAB":
            return _pixels(_with_profile(image, ImageCms.createProfile("LAB")))
        rgb = _over_white(image, depth, notes)
        return _outside_first_gif_frame(image, rgb, notes)
    if transparent is not None and transparent.any():
        notes.append("transparency laid on white")
        grey = np.where(transparent, np.uint8(255), grey)
    rgb = immutable(np.repeat(grey[:, :, None], 3, axis=2))
    return _outside_first_gif_frame(image, rgb, notes)


def _pixels(image: Image.Image) -> RGB:
    image = image if image.mode == "RGB" else image.convert("RGB")
    return np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(image.height, image.width, 3)


def immutable(rgb: NDArray[np.uint8]) -> RGB:
    """A copy that cannot be made writable again."""
    return np.frombuffer(rgb.tobytes(), dtype=np.uint8).reshape(rgb.shape)


def _png_depth(image: Image.Image) -> int:
    """Bits per sample of a PNG whose pixels are not yet loaded; 8 for everything else."""
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    if not tiles:
        return 8
    raw = str(tiles[0].args)  # such as 1, L;2, P;4, LA, RGB;16B
    if "16" in raw:
        return 16
    return int(raw[-1]) if raw[-1].isdigit() else 8


def _transparent_grey(image: Image.Image, depth: int) -> NDArray[np.bool_] | None:
    """Where a grey picture has its one transparent value.

    A PNG states it in its own bit depth, while Pillow widens 1, 2 and 4 bits to 8.
    """
    value = image.info.get("transparency")
    if image.mode not in ("1", "L", "I;16", "I;16B", "I") or not isinstance(value, int):
        return None
    if image.mode == "1":  # Pillow gives 0 or 255 itself
        return np.asarray(image.convert("L")) == value
    if depth < 8:
        value = value * 255 // (2**depth - 1)
    return np.asarray(image) == value


def _over_white(image: Image.Image, depth: int, notes: list[str]) -> RGB:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and (depth == 16 or max(key) > 255):
        # Pillow keeps the high bytes of 16-bit samples, so the transparent colour is reduced to its high bytes, too.
        image = image.copy()
        image.info["transparency"] = tuple(int(v) >> 8 for v in key)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return _pixels(image)
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return _pixels(rgba)
    notes.append("transparency laid on white")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return _pixels(Image.alpha_composite(white, rgba))


def _outside_first_gif_frame(image: Image.Image, rgb: RGB, notes: list[str]) -> RGB:
    """White outside a first GIF frame that covers only a part of the canvas, instead of the palette's first colour."""
    extent = getattr(image, "dispose_extent", None) if image.format == "GIF" and image.tell() == 0 else None
    if extent is None or tuple(extent) == (0, 0, image.width, image.height):
        return rgb
    x0, y0, x1, y1 = extent
    canvas = np.full(rgb.shape, 255, dtype=np.uint8)
    canvas[y0:y1, x0:x1] = rgb[y0:y1, x0:x1]
    if "transparency laid on white" not in notes:
        notes.append("transparency laid on white")
    return immutable(canvas)


def _with_profile(image: Image.Image, profile: Any) -> Image.Image:
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise ValueError("no picture came back")
    return converted


def _cmyk_to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    notes.append("converted from CMYK")
    profile = image.info.get("icc_profile")
    if profile:
        try:
            return _with_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile could not be used")
    return image.convert("RGB")


def _deep_grey(image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    """uint8 (H, W) of grey with more than 8 bits: integers by their full range, floats by [0, 1] or [0, 255]."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise PictureError("The picture has values that are not finite; save it as 8- or 16-bit.")
        top, kind = 1.0 if float(values.max()) <= 1.0 else 255.0, "floating-point"
    else:
        tags = getattr(image, "tag_v2", {})
        bits = 12 if tags.get(258) == (12,) else 16
        top, kind = float(2**bits - 1), f"{bits}-bit"
    if values.min() < 0 or values.max() > top:
        raise PictureError("The range of the picture's values is unknown; save it as 8- or 16-bit.")
    notes.append(f"{kind} values scaled to 8 bits")
    grey = np.rint(values.astype(np.float32) * np.float32(255.0 / top)).astype(np.uint8)
    # Pillow inverts white-is-zero grey of 8 bits, but not of more.
    white_is_zero = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0
    return 255 - grey if white_is_zero else grey
