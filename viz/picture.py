"""Opening pictures safely, and the exact map between picture pixels and network pixels.

Sizes are (height, width). Coordinates are continuous: pixel i covers [i, i + 1) and its centre is i + 0.5, so resizing
by a factor f maps x to f * x with no half-pixel shift. Boxes are (x0, y0, x1, y1) with exclusive far edges.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from viz.errors import PictureError

RGB = NDArray[np.uint8]
PictureLike = "Picture | str | Path | bytes | NDArray[Any]"

# Formats that Pillow decodes itself; none of them runs another program or fetches anything. JPEG includes MPO.
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
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Limits:
    """What is refused before pixels are allocated: `max_bytes` of file, `max_pixels` of header width x height."""

    max_bytes: int = 40 * 2**20
    max_pixels: int = 50_000_000


@dataclass(frozen=True, eq=False)
class Picture:
    """An opened, bounded, upright RGB picture.

    Attributes:
        rgb: uint8 (H, W, 3), read-only.
        sha256: of the file's bytes; of shape, type and values for an array.
        name: file name without its folder.
        notes: what opening changed, in words (rotation, alpha, bit depth, frames).
    """

    rgb: RGB
    sha256: str
    name: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (int(self.rgb.shape[0]), int(self.rgb.shape[1]))


def open_picture(
    source: Picture | str | Path | bytes | NDArray[Any],
    *,
    limits: Limits | None = None,
    name: str | None = None,
) -> Picture:
    """Open a picture from a path, a file's bytes or an array.

    Alpha is composited on white, 16-bit values are scaled (not clipped), an animation gives its first frame, EXIF
    rotation is applied, CMYK and grey become RGB.

    Args:
        source: path, bytes, or array: uint8 / uint16 / bool / float in [0, 1], shape (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4). A `Picture` is returned as it is.
        limits: byte and pixel caps.
        name: shown name, where the source has none.

    Raises:
        PictureError: with one sentence that says why and what to do.
    """
    limits = limits or Limits()
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, text_name(name or "array"))
    if isinstance(source, bytes | bytearray | memoryview):
        if memoryview(source).nbytes > limits.max_bytes:
            raise PictureError(_too_many_bytes(limits))
        data = bytes(source)
    elif isinstance(source, str | Path):
        data = _read(Path(source), limits)
        name = name or Path(source).name
    else:
        raise PictureError(f"A picture is a path, bytes or an array, not {type(source).__name__}.")
    return _from_bytes(data, limits, text_name(name or "picture"))


def text_name(name: str) -> str:
    """A file's name as text that can be written as UTF-8: of a name that is no Unicode the odd bytes become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name)


def _too_many_bytes(limits: Limits) -> str:
    return f"The file is larger than {limits.max_bytes / 2**20:.0f} MiB; save a smaller copy."


def _shown(path: Path) -> str:
    """A file name fit for a one-line sentence."""
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    return name if len(name) <= 60 else f"{name[:40]}...{name[-12:]}"


def _read(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        # Devices and pipes have no end or wait for a writer: they are not even opened.
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{_shown(path) or 'This path'} is not a file.")
        if status.st_size > limits.max_bytes:
            raise PictureError(_too_many_bytes(limits))
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise PictureError(f"The file {_shown(path)} {reason}.") from None
    if len(data) > limits.max_bytes:
        raise PictureError(_too_many_bytes(limits))
    return data


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
        raise PictureError("SVG drawings hold no pixels; export the drawing as PNG and open that.")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]:
        raise PictureError("HEIC pictures cannot be read here; convert the picture to JPEG or PNG.")


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)  # a Pillow without libavif has no AVIF


def _from_bytes(data: bytes, limits: Limits, name: str) -> Picture:
    _refuse_non_pixels(data)
    notes: list[str] = []
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            _check_size(height, width, limits)
            if frames := _frames_note(image, data):
                notes.append(frames)
            orientation = _orientation(image) if image.format == "TIFF" else None
            image.load()
            turned: Image.Image = image
            if orientation is None:  # a TIFF is turned by its own loader
                orientation = _orientation(image)
                if orientation in _UPRIGHT:
                    turned = image.transpose(_UPRIGHT[orientation])
            if orientation in _UPRIGHT:
                notes.append("turned upright by its EXIF tag")
            rgb = _to_rgb(image, turned, data, notes)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(_too_many_pixels(limits)) from None
    except UnidentifiedImageError:
        raise PictureError(
            "This is not a picture that can be read; use JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
        ) from None
    except (MemoryError, RecursionError):
        raise PictureError("The picture needs more memory than there is; save a smaller copy.") from None
    except Exception:  # decoders raise many types on damaged files: all mean the same to a person
        raise PictureError("The picture is damaged or cut off; save or download it again.") from None
    return Picture(rgb, hashlib.sha256(data).hexdigest(), name, tuple(notes))


def _frames_note(image: ImageFile.ImageFile, data: bytes) -> str:
    """What is said of further frames. Nothing is counted that would need a walk through the whole file."""
    if image.format == "GIF":
        try:  # looking for a second frame spoils the first one's state, so another reader looks
            with Image.open(io.BytesIO(data), formats=("GIF",)) as other:
                return "first frame of an animation" if getattr(other, "is_animated", False) else ""
        except Exception:  # what follows a sound first frame does not matter
            return ""
    if image.format == "TIFF":
        return "first of several pages" if getattr(image, "is_animated", False) else ""
    frames = int(getattr(image, "n_frames", 1))
    return f"first of {frames} frames" if frames > 1 else ""


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where it is missing or unreadable: a broken tag is no reason to refuse sound pixels."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF readers raise many types on damaged blocks
        return 1
    return value if isinstance(value, int) else 1


def _too_many_pixels(limits: Limits) -> str:
    return f"The picture has more than {limits.max_pixels / 1e6:.0f} megapixels; save a smaller copy."


def _check_size(height: int, width: int, limits: Limits) -> None:
    if height < 1 or width < 1:
        raise PictureError("The picture has no pixels.")
    if height * width > limits.max_pixels:
        raise PictureError(_too_many_pixels(limits))


def _to_rgb(source: Image.Image, image: Image.Image, data: bytes, notes: list[str]) -> RGB:
    """The upright `image` as RGB; `source`, as opened, and `data` tell what Pillow leaves out."""
    mode = image.mode
    transparent = _transparent_grey(source, image, data)
    if mode in ("I", "F") or mode.startswith("I;16"):
        grey = _deep_grey(source, image, notes)
    elif mode in ("1", "L"):
        grey = np.asarray(image.convert("L"))
    else:
        if mode == "CMYK":
            return _pixels(_cmyk_to_rgb(image, notes))
        if mode == "LAB":
            return _pixels(_with_profile(image, ImageCms.createProfile("LAB")))
        rgb = _over_white(source, image, data, notes)
        return _outside_first_gif_frame(source, rgb, notes)
    if transparent is not None and transparent.any():
        notes.append("transparency laid on white")
        grey = np.where(transparent, np.uint8(255), grey)
    rgb = _immutable(np.repeat(grey[:, :, None], 3, axis=2))
    return _outside_first_gif_frame(source, rgb, notes)


def _pixels(image: Image.Image) -> RGB:
    image = image if image.mode == "RGB" else image.convert("RGB")
    return np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(image.height, image.width, 3)


def _immutable(rgb: NDArray[np.uint8]) -> RGB:
    return np.frombuffer(rgb.tobytes(), dtype=np.uint8).reshape(rgb.shape)


def _png_depth(source: Image.Image, data: bytes) -> int:
    """Bits a sample of a PNG (its header comes first); 8 for other formats."""
    return data[24] if source.format == "PNG" else 8


def _transparent_grey(source: Image.Image, image: Image.Image, data: bytes) -> NDArray[np.bool_] | None:
    """Where a grey picture has its one transparent value.

    A PNG gives it in its own bit depth while Pillow widens 1, 2 and 4 bits to 8, so the two are brought together here.
    """
    value = source.info.get("transparency")
    if image.mode not in ("1", "L", "I;16", "I;16B", "I") or not isinstance(value, int):
        return None
    depth = _png_depth(source, data)
    if depth < 8:
        value = value * 255 // (2**depth - 1)
    return np.asarray(image.convert("L") if image.mode == "1" else image) == value


def _over_white(source: Image.Image, image: Image.Image, data: bytes, notes: list[str]) -> RGB:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple):
        # Pillow keeps the high bytes of 16-bit samples; the transparent colour is cut the same way.
        shift = 8 if _png_depth(source, data) == 16 else 0
        image.info["transparency"] = tuple(int(v) >> shift for v in key)
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


def _outside_first_gif_frame(source: Image.Image, rgb: RGB, notes: list[str]) -> RGB:
    """A first GIF frame may cover a part of the canvas only; the rest is empty, not the palette's first colour."""
    extent = getattr(source, "dispose_extent", None) if source.format == "GIF" else None
    if extent is None or tuple(extent) == (0, 0, source.width, source.height):
        return rgb
    x0, y0, x1, y1 = extent
    canvas = np.full(rgb.shape, 255, dtype=np.uint8)
    canvas[y0:y1, x0:x1] = rgb[y0:y1, x0:x1]
    if "transparency laid on white" not in notes:
        notes.append("transparency laid on white")
    return _immutable(canvas)


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


def _deep_grey(source: Image.Image, image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    """uint8 (H, W) of grey with more than 8 bits: integers by their full range, float by [0, 1] or [0, 255]."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise PictureError("The picture holds values that are not numbers; save it as 8- or 16-bit.")
        top, kind = 1.0 if float(values.max()) <= 1.0 else 255.0, "floating-point"
    else:
        tags = getattr(source, "tag_v2", {})
        bits = 12 if tags.get(258) == (12,) else 16
        top, kind = float(2**bits - 1), f"{bits}-bit"
    if values.min() < 0 or values.max() > top:
        raise PictureError("The picture's values have no known white point; save it as 8- or 16-bit.")
    notes.append(f"{kind} values scaled to 8 bits")
    grey = np.rint(values.astype(np.float32) * np.float32(255.0 / top)).astype(np.uint8)
    # Pillow inverts white-is-zero grey of 8 bits, but not of more.
    white_is_zero = source.format == "TIFF" and getattr(source, "tag_v2", {}).get(262) == 0
    return 255 - grey if white_is_zero else grey


def _from_array(array: NDArray[Any], limits: Limits, name: str) -> Picture:
    shape: tuple[int, ...] = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise PictureError(f"An array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {shape}.")
    _check_size(shape[0], shape[1], limits)
    notes: list[str] = []
    if array.dtype == np.uint8:
        values = array
    elif array.dtype == np.bool_:
        values = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:  # either byte order
        values = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # exact: 257 is odd, so there are no ties
        notes.append("16-bit values scaled to 8 bits")
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise PictureError("A floating-point array must hold values from 0 to 1; divide by 255 first.")
        values = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    else:
        raise PictureError(f"An array must be uint8, uint16, bool or float, not {array.dtype}.")
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[2] == 4:
        alpha = values[:, :, 3:].astype(np.float64) / 255
        values = np.rint(values[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
        notes.append("transparency laid on white")
    rgb = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
    digest = hashlib.sha256(f"{array.dtype.str}{shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return Picture(_immutable(rgb), digest.hexdigest(), name, tuple(notes))
