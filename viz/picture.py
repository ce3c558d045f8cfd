"""Opening pictures safely, and the exact map between picture pixels and network pixels.

Sizes are (height, width). Coordinates are continuous: pixel i covers [i, i + 1) and its centre is i + 0.5, so resizing
by a factor f maps x to f * x with no half-pixel shift. Boxes are (x0, y0, x1, y1) with exclusive far edges.
"""

from __future__ import annotations

import hashlib
import io
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from viz.errors import PictureError

RGB = NDArray[np.uint8]
PictureLike = "Picture | str | Path | bytes | NDArray[Any]"

# Formats that Pillow decodes itself; none of them runs another program or fetches anything.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


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
        return _from_array(source, limits, name or "array")
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if len(data) > limits.max_bytes:
            raise PictureError(_too_many_bytes(limits))
    elif isinstance(source, str | Path):
        data = _read(Path(source), limits)
        name = name or Path(source).name
    else:
        raise PictureError(f"A picture is a path, bytes or an array, not {type(source).__name__}.")
    return _from_bytes(data, limits, name or "picture")


def _too_many_bytes(limits: Limits) -> str:
    return f"The file is larger than {limits.max_bytes / 2**20:.0f} MiB; save a smaller copy."


def _read(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{path.name or 'This path'} is not a file.")
        if status.st_size > limits.max_bytes:
            raise PictureError(_too_many_bytes(limits))
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise PictureError(f"The file {path.name} {reason}.") from None
    if len(data) > limits.max_bytes:
        raise PictureError(_too_many_bytes(limits))
    return data


def _refuse_non_pixels(data: bytes) -> None:
    if not data:
        raise PictureError("The file is empty.")
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in data[:65536].lower():
        raise PictureError("SVG drawings hold no pixels; export the drawing as PNG and open that.")


def _from_bytes(data: bytes, limits: Limits, name: str) -> Picture:
    _refuse_non_pixels(data)
    notes: list[str] = []
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            _check_size(height, width, limits)
            frames = getattr(image, "n_frames", 1) if image.format in ("GIF", "PNG", "WEBP", "AVIF", "TIFF") else 1
            if frames > 1:
                notes.append(f"first of {frames} frames")
                image.seek(0)
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.size != image.size or image.getexif().get(0x0112, 1) not in (0, 1):
                notes.append("turned upright by its EXIF tag")
            rgb = _to_rgb(upright, notes)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(_too_many_pixels(limits)) from None
    except UnidentifiedImageError:
        raise PictureError(
            "This is not a picture that can be read; use JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
        ) from None
    except (MemoryError, RecursionError):
        raise PictureError("The picture needs more memory than there is; save a smaller copy.") from None
    except Exception:  # decoders raise many types on damaged files: all mean the same to a person
        raise PictureError("The picture is damaged or cut off; save or download it again.") from None
    return Picture(_frozen(rgb), hashlib.sha256(data).hexdigest(), name, tuple(notes))


def _too_many_pixels(limits: Limits) -> str:
    return f"The picture has more than {limits.max_pixels / 1e6:.0f} megapixels; save a smaller copy."


def _check_size(height: int, width: int, limits: Limits) -> None:
    if height < 1 or width < 1:
        raise PictureError("The picture has no pixels.")
    if height * width > limits.max_pixels:
        raise PictureError(_too_many_pixels(limits))


def _to_rgb(image: Image.Image, notes: list[str]) -> RGB:
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _deep_grey_to_rgb(image, notes)
    if mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(image, notes))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getextrema()[3] != (255, 255):
            notes.append("transparency laid on white")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _cmyk_to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    notes.append("converted from CMYK")
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile could not be used")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: Image.Image, notes: list[str]) -> RGB:
    """Grey with more than 8 bits: 16-bit by its full range, float by [0, 1] or [0, 255]."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise PictureError("The picture holds values that are not numbers; save it as 8- or 16-bit.")
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        top = 1.0 if high <= 1.0 else 255.0
        kind = "floating-point"
    else:
        top = 65535.0
        kind = "16-bit"
    if low < 0 or high > top:
        raise PictureError("The picture's values have no known white point; save it as 8- or 16-bit.")
    notes.append(f"{kind} values scaled to 8 bits")
    grey = np.rint(values * (255.0 / top)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


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
    elif array.dtype == np.uint16:
        values = np.rint(array / 257.0).astype(np.uint8)
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
    return Picture(_frozen(rgb), digest.hexdigest(), name, tuple(notes))


def _frozen(rgb: NDArray[np.uint8]) -> RGB:
    copy = np.array(rgb, dtype=np.uint8, order="C")
    copy.setflags(write=False)
    return copy
