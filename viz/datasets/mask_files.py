"""Mask files without a list of classes: which of their pixels are object, and which files have no one meaning.

Nobody says what the values of such a file mean, so the file itself has to. In this order:

- no value but 0: no object. One value beside 0, whatever it is: that is the object.
- A palette with colours, or a few plain colours on black: class numbers. All but 0 (black) is object; 255, or Pascal
  VOC's void colour (224, 224, 192), beside other classes is void and so ignored. A palette of greys is read as greys.
- Few greys without white: class numbers, all but 0 is object. Greys up to 127 beside 255: class numbers with void.
- Greys that only soften the border between black and white, or more than 32 of them with white: at least 128 is object.
- JPEG and lossy WebP change values, so they are never class numbers: at least 128 is object. Transparent
  pixels are background.

Everything else (several classes without a 0, a trimap, a photograph, greys of which none is white) is refused: a
guess would give numbers that look right and are not. A file of 0 and 255 alone is black and white even among files of
class numbers: it cannot tell that its 255 is void.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.decode import as_stored

Values = NDArray[np.uint8]
Mask = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
IGNORED = 255
MAX_PIXELS = 50_000_000
MAX_BYTES = 40 * 2**20
FORMATS = ("PNG", "BMP", "TIFF", "GIF", "JPEG", "WEBP")
HALF = 128
# More different values than this are shades, not classes: one picture of COCO or VOC holds fewer classes.
_MANY = 32
_WHITE = 250
_LARGEST_LABEL = 127
_VOID_COLOUR = 0xE0E0C0
_ADVICE = "save it with 0 for background and 255 for object"


class UnclearMaskError(ValueError):
    """A mask file whose values have no one meaning.

    Attributes:
        path: the file. why: the rest of a sentence that begins with its name, without the full stop.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path.name} {why}")
        self.path, self.why = path, why

    def __reduce__(self) -> tuple[type[UnclearMaskError], tuple[Path, str]]:
        return type(self), (self.path, self.why)


def read_values(path: Path) -> Values:
    """uint8 (h, w): class numbers as they stand, those of a palette being its indices; 65535 of deep files is 255.

    Raises:
        UnclearMaskError: colours, numbers above 255, or changed by lossy compression.
        ValueError, OSError: missing, damaged, too large or not a regular file.
    """
    with _opened(path) as image:
        if image.format == "JPEG" or (image.format == "WEBP" and _is_lossy_webp(path)):
            raise UnclearMaskError(path, "is compressed with loss, which changes class numbers; save it as PNG")
        if image.mode in ("1", "P", "L"):
            return np.array(image).astype(np.uint8)
        if image.mode.startswith("I"):
            deep = np.array(image).astype(np.int64)
            deep[deep == 65535] = IGNORED
            if deep.min() < 0 or deep.max() > 255:
                raise UnclearMaskError(path, f"holds class numbers up to {deep.max()}; only 0 to 255 can be read")
            return deep.astype(np.uint8)
        if image.mode in ("RGB", "RGBA", "LA"):
            rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
            if (rgba[..., 1:3] == rgba[..., :1]).all() and (rgba[..., 3] == 255).all():
                return np.ascontiguousarray(rgba[..., 0])
        raise UnclearMaskError(path, "holds colours, not class numbers; save it with one channel of class numbers")


def read_coloured(path: Path, colours: tuple[tuple[int, int], ...], *, palette: bool) -> Values:
    """uint8 (h, w): class numbers of a file that holds them as colours; one of numbers as `read_values`.

    Args:
        colours: (colour as 0xRRGGBB, class number). palette: whether the colours of a palette count, and not its
            numbers, and greys are colours.

    Raises:
        UnclearMaskError: a colour has no number.
        ValueError, OSError: as `read_values`.
    """
    with _opened(path) as image:
        if image.mode not in ("RGB", "RGBA") and not palette:
            return read_values(path)
        if image.format == "JPEG" or (image.format == "WEBP" and _is_lossy_webp(path)):
            raise UnclearMaskError(path, "is compressed with loss, which changes colours; save it as PNG")
        codes = _code(np.array(image.convert("RGB")).astype(np.int64).transpose(2, 0, 1))
    there, places = np.unique(codes, return_inverse=True)
    known = dict(colours)
    unknown = [int(code) for code in there if int(code) not in known]
    if unknown:
        rgb = ", ".join(str(unknown[0] >> shift & 255) for shift in (16, 8, 0))
        raise UnclearMaskError(path, f"holds the colour ({rgb}), which is no class's")
    numbers = np.array([known[int(code)] for code in there], dtype=np.uint8)
    return numbers[places].reshape(codes.shape)


def read_grey(path: Path) -> Values:
    """uint8 (h, w): grey levels, for files whose levels are known to be shares of 255.

    Raises:
        ValueError, OSError: missing, damaged, too large or not a regular file.
    """
    with _opened(path) as image:
        return np.array(image.convert("L"), dtype=np.uint8)


def read_object(path: Path) -> Mask:
    """uint8 (h, w): 1 object, 0 background, 255 ignored, by the rules above.

    Raises:
        UnclearMaskError: the values have no one meaning.
        ValueError, OSError: missing, damaged, too large or not a regular file.
    """
    with _opened(path) as image:
        changed = image.format == "JPEG" or (image.format == "WEBP" and _is_lossy_webp(path))
        if image.mode == "P":
            return _of_palette(image, path)
        if image.mode.startswith("I") or image.mode == "F":
            return _of_deep(np.array(image).astype(np.float64), path)
        if image.mode in ("1", "L"):
            return _of_grey(np.array(image.convert("L"), dtype=np.uint8), path, changed)
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
            rgba = np.array(image.convert("RGBA"), dtype=np.uint16)
            return _of_colours(((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8), path, changed)
        return _of_colours(np.array(image.convert("RGB"), dtype=np.uint8), path, changed)


def check_size(height: int, width: int) -> None:
    """Refuse sizes that no mask has.

    Raises:
        ValueError: without pixels, or with more than `MAX_PIXELS`.
    """
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError("a mask without pixels, or with too many")


def _opened(path: Path) -> Image.Image:
    if not path.exists():
        raise FileNotFoundError(path.name)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise ValueError("not a file, or too large")
    # Not by its path: Pillow maps such files into memory, with the sides of a turned TIFF exchanged.
    image = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
    try:
        check_size(image.height, image.width)
    except ValueError:
        image.close()
        raise
    return as_stored(image)  # as the picture is, whatever a tag says


def _is_lossy_webp(path: Path) -> bool:
    with path.open("rb") as file:
        return b"VP8L" not in file.read(4096)


def _of_grey(values: Values, path: Path, changed: bool = False) -> Mask:
    counts = np.bincount(values.ravel(), minlength=256)
    there = np.flatnonzero(counts).tolist()
    held = [v for v in there if v]
    if changed:
        # What compression adds lies around the edges, in many values: a plain area of grey was there before.
        plain = any(counts[v] > 0.05 * values.size for v in range(4, _WHITE))
        if held and (held[-1] < HALF or plain):
            raise UnclearMaskError(path, f"is compressed with loss and not black and white; {_ADVICE}, as PNG")
        return _mask(values >= HALF)
    if len(held) <= 1 or (held[0] >= 192 and len(held) < len(there)):
        return _mask(values > 0)
    if held[-1] < _WHITE:
        if len(held) > _MANY:
            raise UnclearMaskError(path, f"holds {len(held)} greys and no white; {_ADVICE}")
        return _classes(values, there, path, void=False)
    between = [v for v in held if v < _WHITE]
    if len(held) > _MANY or (between and between[-1] >= 64 and _softens(values)):
        return _mask(values >= HALF)
    if held[-1] == IGNORED and held[-2] <= _LARGEST_LABEL:
        return _classes(values, there, path, void=True)
    raise UnclearMaskError(
        path, f"holds the values {_listed(there)}, which are neither black and white nor class numbers; {_ADVICE}"
    )


def _softens(values: Values) -> bool:
    """Whether the greys lie where black meets white, as anti-aliasing leaves them."""
    square = np.ones((3, 3), dtype=np.uint8)
    meets = (cv2.dilate(values, square) >= _WHITE) & (cv2.erode(values, square) == 0)
    return bool(meets[(values > 0) & (values < _WHITE)].mean() >= 0.8)


def _classes(values: NDArray[np.integer], there: list[int], path: Path, *, void: bool) -> Mask:
    """All classes but 0 as object; `void`: 255 is ignored."""
    classes = [v for v in there if v and not (void and v == IGNORED)]
    if len(classes) > 1 and there[0] != 0:
        raise UnclearMaskError(path, f"holds the classes {_listed(there)} and no background 0; {_ADVICE}")
    mask = _mask(values != 0)
    if void:
        mask[values == IGNORED] = IGNORED
    return mask


def _of_palette(image: Image.Image, path: Path) -> Mask:
    indices = np.array(image, dtype=np.uint8)
    colours = np.zeros((256, 3), dtype=np.int64)
    listed = np.array(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    colours[: len(listed)] = listed
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        colours[clear] = 0
    elif isinstance(clear, bytes):
        colours[: len(clear)] = colours[: len(clear)] * np.frombuffer(clear, dtype=np.uint8)[:, None] // 255
    there = np.unique(indices).tolist()
    codes = _code(colours[there].T).tolist()
    different = len(set(codes)) == len(codes)
    if different and (colours[there] == colours[there][:, :1]).all():
        return _of_grey(colours[:, 0].astype(np.uint8)[indices], path)
    if different and any(c == 0 and v not in (0, IGNORED) for v, c in zip(there, codes, strict=True)):
        raise UnclearMaskError(path, f"has a palette whose black is not number 0; {_ADVICE}")
    if IGNORED in there and not set(there) - {0, IGNORED} and codes[-1] != _VOID_COLOUR:
        message = f"holds only {_listed(there)} of a palette with colours: 255 may be object or void; {_ADVICE}"
        raise UnclearMaskError(path, message)
    return _classes(indices, there, path, void=True)


def _of_colours(rgb: Values, path: Path, changed: bool) -> Mask:
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    if not spread.any():
        return _of_grey(np.ascontiguousarray(rgb[..., 0]), path, changed)
    if changed and spread.max() <= 64:  # a little colour is what compression adds to greys
        return _of_grey(np.asarray(rgb.mean(axis=2).round(), dtype=np.uint8), path, changed)
    codes = _code(rgb.astype(np.int64).transpose(2, 0, 1))
    there = set(np.unique(codes).tolist())
    if changed or len(there) > _MANY:
        raise UnclearMaskError(path, f"is a picture in colours, not a mask; {_ADVICE}")
    if 0 not in there or 0xFFFFFF in there:
        raise UnclearMaskError(path, f"holds colours that are not plain ones on black; {_ADVICE}")
    mask = _mask(codes != 0)
    mask[codes == _VOID_COLOUR] = IGNORED
    return mask


def _of_deep(values: NDArray[np.float64], path: Path) -> Mask:
    there = np.unique(values)
    if not np.isfinite(there).all() or there[0] < 0 or (there != np.floor(there)).any():
        raise UnclearMaskError(path, f"holds values that are not whole numbers from 0; {_ADVICE}")
    if there[-1] <= 255:
        return _of_grey(values.astype(np.uint8), path)
    if (there % 257 == 0).all() and there[-1] <= 65535:  # 8 bits stretched to 16
        return _of_grey((values // 257).astype(np.uint8), path)
    held = [int(v) for v in there if v]
    if len(held) == 1:
        return _mask(values > 0)
    if 64_000 <= held[-1] <= 65535 and len(held) > _MANY:
        return _mask(values >= 32768)
    if held[-1] < 64_000 and len(held) <= _MANY:
        return _classes(values.astype(np.int64), there.astype(int).tolist(), path, void=False)
    raise UnclearMaskError(
        path, f"holds the values {_listed(there.astype(int).tolist())}, which may be anything; {_ADVICE}"
    )


def _code(rgb: NDArray[np.int64]) -> NDArray[np.int64]:
    """Colours (3, ...) as one number each."""
    return np.asarray((rgb[0] << 16) | (rgb[1] << 8) | rgb[2], dtype=np.int64)


def _mask(found: NDArray[np.bool_]) -> Mask:
    mask: Mask = found.astype(np.uint8)
    return mask


def _listed(values: list[int]) -> str:
    return ", ".join(str(v) for v in values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
