"""Safe opening of pictures from files, bytes, arrays and Pillow pictures.

Sizes are (height, width). Coordinates are continuous: pixel i covers [i, i + 1) and its centre is i + 0.5, so resizing
by a factor f maps x to f * x without a half-pixel shift. Boxes are (x0, y0, x1, y1) with exclusive x1, y1.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from viz.decode import RGB, Limits, check_size, decode, decode_image, immutable
from viz.errors import PictureError
from viz.read_only import ReadOnlyArrays


@dataclass(frozen=True, eq=False)
class Picture(ReadOnlyArrays):
    """An opened, bounded, upright RGB picture.

    Attributes:
        rgb: uint8 (H, W, 3), read-only.
        sha256: of the file's bytes; of shape, dtype and values for an array; of the RGB pixels for a PIL picture.
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


PictureSource: TypeAlias = (
    Picture | str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | Image.Image | IO[bytes]
)


def open_picture(
    source: PictureSource,
    *,
    limits: Limits | None = None,
    name: str | None = None,
    upright: bool = True,
) -> Picture:
    """Open a picture from a path, a file's bytes, an open file, an array or a Pillow picture.

    Alpha is composited on white, 16-bit values are scaled (not clipped), an animation gives its first frame, an
    orientation tag is applied (EXIF or TIFF, else XMP), CMYK and grey become RGB.

    Args:
        source: a path; bytes; a file open for binary reading, read from its start if it can seek; an array (uint8,
            uint16, bool, or float in [0, 1]) of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a PIL picture. One
            straight from `PIL.Image.open` gives the pixels of its file; any other is not turned, and its notes say so
            if it has an orientation tag. A `Picture` is returned as it is.
        limits: byte and pixel limits.
        name: shown name, if the source has none.
        upright: apply the orientation tag of a file; False gives its pixels as stored. It does not affect arrays and
            PIL pictures.

    Raises:
        PictureError: not a picture, damaged, or above the limits.
    """
    limits = limits or Limits()
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, text_name(name or "array"))
    if isinstance(source, Image.Image):
        rgb, notes = decode_image(source, limits)
        if isinstance(source, ImageFile.ImageFile):
            name = name or _file_name(source.filename)
        return Picture(rgb, _digest(rgb), text_name(name or "picture"), tuple(notes))
    if isinstance(source, bytes | bytearray | memoryview):
        if memoryview(source).nbytes > limits.max_bytes:
            raise _too_large(limits)
        data = bytes(source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        data = _read(path, limits)
        name = name or path.name
    elif hasattr(source, "read"):
        data = _read_open(source, limits)
        name = name or _file_name(getattr(source, "name", None))
    else:
        raise PictureError(
            f"A picture is a path, bytes, an open file, an array or a PIL picture, not {type(source).__name__}."
        )
    if len(data) > limits.max_bytes:
        raise _too_large(limits)
    rgb, notes = decode(data, limits, upright=upright)
    return Picture(rgb, hashlib.sha256(data).hexdigest(), text_name(name or "picture"), tuple(notes))


def text_name(name: str) -> str:
    """A file name that can be written as UTF-8: bytes that are not Unicode become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name)


def _too_large(limits: Limits) -> PictureError:
    return PictureError(f"The file is larger than {limits.max_bytes / 2**20:.0f} MiB; save a smaller copy.")


def _shown(path: Path) -> str:
    """A file name for a one-line message."""
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    return name if len(name) <= 60 else f"{name[:40]}...{name[-12:]}"


def _read(path: Path, limits: Limits) -> bytes:
    """The bytes of a file, at most one more than allowed."""
    try:
        # Devices and pipes may never end or wait for a writer, so they are not opened.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{_shown(path) or 'This path'} is not a file.")
        if status.st_size > limits.max_bytes:
            raise _too_large(limits)
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise PictureError(f"The file {_shown(path)} {reason}.") from None


def _read_open(file: IO[bytes], limits: Limits) -> bytes:
    """The bytes of an open file, from its start if it can seek, at most one more than allowed."""
    data = bytearray()
    try:
        if getattr(file, "seekable", lambda: hasattr(file, "seek"))():
            file.seek(0)
        # A pipe or a socket returns fewer bytes than requested.
        while len(data) <= limits.max_bytes and (part := file.read(limits.max_bytes + 1 - len(data))):
            if not isinstance(part, bytes | bytearray | memoryview):
                raise PictureError('The file was opened as text; open it with mode "rb".')
            data += part
    except (OSError, ValueError):  # ValueError: closed, or undecodable text
        raise PictureError(
            'The open file cannot be read; open it with mode "rb" and pass it before it is closed.'
        ) from None
    return bytes(data)


def _file_name(name: object) -> str:
    """The last part of an open file's name, which may be missing or a number."""
    return Path(name).name if isinstance(name, str | os.PathLike) else ""


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _from_array(array: NDArray[Any], limits: Limits, name: str) -> Picture:
    shape: tuple[int, ...] = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise PictureError(f"An array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {shape}.")
    check_size(shape[0], shape[1], limits)
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
            raise PictureError("A floating-point array must have values from 0 to 1; divide it by 255 first.")
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
    return Picture(immutable(rgb), _digest(array), name, tuple(notes))


__all__ = ["RGB", "Limits", "Picture", "PictureSource", "open_picture", "text_name"]
