"""Mask files without a list of classes: which of their pixels are object, and which files are ambiguous.

Nothing says what the values of such a file mean, so they are inferred from the file itself, in this order:

- No value but 0: no object. One value beside 0: that value is the object.
- A palette with colours, or a few plain colours on black: class numbers. All but 0 (black) is object; 255, or Pascal
  VOC's void colour (224, 224, 192), beside other classes is void and ignored. A palette of greys is read as greys.
- Few greys without white: class numbers, all but 0 is object. Greys up to 127 beside 255: class numbers with void.
- Greys only along the border between black and white, or more than 32 of them with white: object from 128 up.
- JPEG and lossy WebP change values, so they never contain class numbers: object from 128 up. Transparent pixels are
  background.

Everything else (several classes without a 0, a trimap, a photograph, greys without white) is refused, because a wrong
guess would give plausible but wrong numbers. A file with only 0 and 255 is black and white even among files of class
numbers: nothing shows that its 255 is void.

All readers raise `UnclearMaskError` for ambiguous values, and ValueError or OSError for a file that is missing,
damaged, too large or not a regular file.
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
VOID_COLOUR = 0xE0E0C0
# More values than this are shades, not classes: one picture of COCO or VOC has fewer classes.
_MANY = 32
_WHITE = 250
_LARGEST_LABEL = 127
_ADVICE = "save it with 0 for background and 255 for object"


class UnclearMaskError(ValueError):
    """A mask file whose values are ambiguous.

    Attributes:
        why: the rest of a sentence that begins with the file's name, without the full stop. path: the file.
    """

    path = Path()

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def read_values(path: Path, colours: tuple[tuple[int, int], ...] = (), *, palette: bool = False) -> Values:
    """uint8 (h, w): class numbers as stored, indices where there is a palette; 65535 in 16-bit files becomes 255.

    Args:
        colours: (colour as 0xRRGGBB, class number), for files that store class numbers as colours.
        palette: files with a palette, and grey files, are read by their colours, too.
    """
    with _opened(path) as image:
        if _is_lossy(image, path):
            raise UnclearMaskError("has lossy compression, which changes class numbers; save it as PNG")
        if colours and (palette or image.mode in ("RGB", "RGBA")):
            return _numbers_of(_codes(np.array(image.convert("RGB"))), dict(colours))
        if image.mode in ("1", "P", "L"):
            return np.array(image).astype(np.uint8)
        if image.mode.startswith("I"):
            deep = np.array(image).astype(np.int64)
            deep[deep == 65535] = IGNORED
            if deep.min() < 0 or deep.max() > 255:
                raise UnclearMaskError(f"has class numbers up to {deep.max()}; only 0 to 255 can be read")
            return deep.astype(np.uint8)
        if image.mode in ("RGB", "RGBA", "LA"):
            rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
            if (rgba[..., 1:3] == rgba[..., :1]).all() and (rgba[..., 3] == 255).all():
                return np.ascontiguousarray(rgba[..., 0])
        raise UnclearMaskError("has colours instead of class numbers; save it with one channel of class numbers")


def read_grey(path: Path) -> Values:
    """uint8 (h, w): grey levels, for files whose levels are known to be fractions of 255."""
    with _opened(path) as image:
        return np.array(image.convert("L"), dtype=np.uint8)


def read_object(path: Path) -> Mask:
    """uint8 (h, w): 1 object, 0 background, 255 ignored, by the rules above."""
    with _opened(path) as image:
        lossy = _is_lossy(image, path)
        if image.mode == "P":
            return _from_palette(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _from_deep(np.array(image).astype(np.float64))
        if image.mode in ("1", "L"):
            return _from_grey(np.array(image.convert("L"), dtype=np.uint8), lossy)
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
            rgba = np.array(image.convert("RGBA"), dtype=np.uint16)
            return _from_colours(((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8), lossy)
        return _from_colours(np.array(image.convert("RGB"), dtype=np.uint8), lossy)


def check_size(height: int, width: int) -> None:
    """Raise ValueError for a mask without pixels, or with more than `MAX_PIXELS`."""
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError("a mask without pixels, or with too many")


def _opened(path: Path) -> Image.Image:
    if not path.exists():
        raise FileNotFoundError(path.name)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise ValueError("not a file, or too large")
    # From memory: given a path, Pillow maps some files and swaps the sides of a rotated TIFF.
    image = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
    check_size(image.height, image.width)
    return as_stored(image)  # like the picture, whose orientation tag is ignored, too


def _is_lossy(image: Image.Image, path: Path) -> bool:
    """Whether compression changed the values: JPEG, or WebP without a lossless chunk."""
    if image.format != "WEBP":
        return image.format == "JPEG"
    with path.open("rb") as file:
        return b"VP8L" not in file.read(4096)


def _from_grey(values: Values, lossy: bool = False) -> Mask:
    counts = np.bincount(values.ravel(), minlength=256)
    present = np.flatnonzero(counts).tolist()
    nonzero = [v for v in present if v]
    if lossy:
        # Compression artefacts have many values and lie along edges; a plain grey area was in the original.
        plain = any(counts[v] > 0.05 * values.size for v in range(4, _WHITE))
        if nonzero and (nonzero[-1] < HALF or plain):
            raise UnclearMaskError(f"has lossy compression and is not black and white; {_ADVICE}, as PNG")
        return (values >= HALF).astype(np.uint8)
    if len(nonzero) <= 1 or (nonzero[0] >= 192 and len(nonzero) < len(present)):
        return (values > 0).astype(np.uint8)
    if nonzero[-1] < _WHITE:
        if len(nonzero) > _MANY:
            raise UnclearMaskError(f"has {len(nonzero)} greys and no white; {_ADVICE}")
        return _from_classes(values, present, void=None)
    between = [v for v in nonzero if v < _WHITE]
    if len(nonzero) > _MANY or (between and between[-1] >= 64 and _is_antialiased(values)):
        return (values >= HALF).astype(np.uint8)
    if nonzero[-1] == IGNORED and nonzero[-2] <= _LARGEST_LABEL:
        return _from_classes(values, present, void=IGNORED)
    what = f"has the values {_listed(present)}, which are neither black and white nor class numbers"
    raise UnclearMaskError(f"{what}; {_ADVICE}")


def _is_antialiased(values: Values) -> bool:
    """Whether the greys lie along the border between black and white."""
    square = np.ones((3, 3), dtype=np.uint8)
    border = (cv2.dilate(values, square) >= _WHITE) & (cv2.erode(values, square) == 0)
    return bool(border[(values > 0) & (values < _WHITE)].mean() >= 0.8)


def _from_classes(values: NDArray[np.integer], present: list[int], *, void: int | None) -> Mask:
    """All classes but 0 as object; the number `void` is ignored."""
    classes = [v for v in present if v not in (0, void)]
    if len(classes) > 1 and present[0] != 0:
        raise UnclearMaskError(f"has the classes {_listed(present)} and no background 0; {_ADVICE}")
    mask: Mask = (values != 0).astype(np.uint8)
    if void is not None:
        mask[values == void] = IGNORED
    return mask


def _from_palette(image: Image.Image) -> Mask:
    indices = np.array(image, dtype=np.uint8)
    colours = np.zeros((256, 3), dtype=np.int64)
    listed = np.array(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    colours[: len(listed)] = listed
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        colours[transparency] = 0
    elif isinstance(transparency, bytes):
        alpha = np.frombuffer(transparency, dtype=np.uint8)[:, None]
        colours[: len(alpha)] = colours[: len(alpha)] * alpha // 255
    present = np.unique(indices).tolist()
    codes = _codes(colours[present]).tolist()
    distinct = len(set(codes)) == len(codes)
    if distinct and (colours[present] == colours[present][:, :1]).all():
        return _from_grey(colours[:, 0].astype(np.uint8)[indices])
    if distinct and any(c == 0 and v not in (0, IGNORED) for v, c in zip(present, codes, strict=True)):
        raise UnclearMaskError(f"has a palette in which black is not number 0; {_ADVICE}")
    if IGNORED in present and not set(present) - {0, IGNORED} and codes[-1] != VOID_COLOUR:
        what = f"has only {_listed(present)} of a palette with colours, so 255 may be object or void"
        raise UnclearMaskError(f"{what}; {_ADVICE}")
    return _from_classes(indices, present, void=IGNORED)


def _from_colours(rgb: Values, lossy: bool) -> Mask:
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    if not spread.any():
        return _from_grey(np.ascontiguousarray(rgb[..., 0]), lossy)
    if lossy and spread.max() <= 64:  # compression adds a little colour to greys
        return _from_grey(np.asarray(rgb.mean(axis=2).round(), dtype=np.uint8), lossy)
    codes = _codes(rgb)
    present = np.unique(codes).tolist()
    if lossy or len(present) > _MANY:
        raise UnclearMaskError(f"is a colour picture, not a mask; {_ADVICE}")
    if 0 not in present or 0xFFFFFF in present:
        raise UnclearMaskError(f"has other colours than plain ones on black; {_ADVICE}")
    return _from_classes(codes, present, void=VOID_COLOUR)


def _from_deep(values: NDArray[np.float64]) -> Mask:
    present = np.unique(values)
    if not np.isfinite(present).all() or present[0] < 0 or (present != np.floor(present)).any():
        raise UnclearMaskError(f"has values that are not whole numbers from 0; {_ADVICE}")
    if present[-1] <= 255:
        return _from_grey(values.astype(np.uint8))
    if (present % 257 == 0).all() and present[-1] <= 65535:  # 8 bits scaled to 16
        return _from_grey((values // 257).astype(np.uint8))
    nonzero = [int(v) for v in present if v]
    if len(nonzero) == 1:
        return (values > 0).astype(np.uint8)
    if 64_000 <= nonzero[-1] <= 65535 and len(nonzero) > _MANY:
        return (values >= 32768).astype(np.uint8)
    if nonzero[-1] < 64_000 and len(nonzero) <= _MANY:
        return _from_classes(values.astype(np.int64), present.astype(int).tolist(), void=None)
    raise UnclearMaskError(f"has the ambiguous values {_listed(present.astype(int).tolist())}; {_ADVICE}")


def _numbers_of(codes: NDArray[np.int64], numbers: dict[int, int]) -> Values:
    """Class numbers of colours (h, w)."""
    present, places = np.unique(codes, return_inverse=True)
    for code in present.tolist():
        if code not in numbers:
            rgb = ", ".join(str(code >> shift & 255) for shift in (16, 8, 0))
            raise UnclearMaskError(f"has the colour ({rgb}), which belongs to no class")
    found = np.array([numbers[code] for code in present.tolist()], dtype=np.uint8)
    return found[places].reshape(codes.shape)


def _codes(rgb: NDArray[np.integer]) -> NDArray[np.int64]:
    """Colours (..., 3) as 0xRRGGBB."""
    r, g, b = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return np.asarray((r << 16) | (g << 8) | b, dtype=np.int64)


def _listed(values: list[int]) -> str:
    return ", ".join(str(v) for v in values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
