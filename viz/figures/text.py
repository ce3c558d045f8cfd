"""Type: the fonts of a figure, the width of a text before it is drawn, line wrapping, and readable numbers."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags

from viz.figures.presets import Font

# TrueType files that ship with Matplotlib, by path: the fonts of the system change nothing.
_FILES: dict[Font, str] = {"serif": "STIXGeneral.ttf", "sans": "DejaVuSans.ttf"}
POINTS = 72.0


@cache
def _path(font: Font) -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / _FILES[font])


def lacks(text: str, font: Font) -> bool:
    """Whether the font has no glyph for a character of the text."""
    known = get_font(_path(font)).get_charmap()
    return any(ord(c) not in known for c in text)


def missing(text: str) -> str:
    """The first character that keeps the text from being drawn in one of the fonts, or an empty string."""
    if not lacks(text, "serif") or not lacks(text, "sans"):
        return ""
    both = [c for c in text if lacks(c, "serif") and lacks(c, "sans")]
    return both[0] if both else next(c for c in text if lacks(c, "sans"))


def drawable(text: str) -> str:
    """The text with a question mark for every character that cannot be drawn; for names that no author chose."""
    return "".join("?" if lacks(c, "sans") else c for c in text) if missing(text) else text


def properties(text: str, font: Font, size: float) -> FontProperties:
    """The font to draw `text` with: the other family where only that one has all characters."""
    other: Font = "sans" if font == "serif" else "serif"
    chosen = other if lacks(text, font) and not lacks(text, other) else font
    return FontProperties(fname=_path(chosen), size=size)


def width_of(text: str, font: Font, size: float) -> float:
    """Width in inches of one line at `size` points."""
    face = get_font(str(properties(text, font, size).get_file()))
    # Measured large and scaled down, without effects of hinting and rounding to pixels.
    face.set_size(100.0, POINTS)
    face.set_text(text, 0.0, flags=LoadFlags.NO_HINTING)
    return float(face.get_width_height()[0]) / 64 / POINTS * size / 100.0


def clipped(text: str, room: float, font: Font, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than `room` inches."""
    if width_of(text, font, size) <= room:
        return text
    for end in range(len(text) - 1, 0, -1):
        cut = text[:end].rstrip() + "\u2026"
        if width_of(cut, font, size) <= room:
            return cut
    return ""


def fits(text: str, room: float, font: Font, size: float, most: int) -> bool:
    """Whether `wrapped` keeps all of the text."""
    return "".join(wrapped(text, room, font, size, most)).replace(" ", "") == text.replace(" ", "")


def wrapped(text: str, room: float, font: Font, size: float, most: int = 2) -> tuple[str, ...]:
    """At most `most` lines of at most `room` inches; what does not fit ends in an ellipsis."""
    words = text.split(" ") if text else []
    lines: list[str] = []
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and width_of(" ".join(words[: count + 1]), font, size) <= room:
            count += 1
        lines.append(clipped(" ".join(words[:count]), room, font, size))
        words = words[count:]
    if words:
        lines.append(clipped(" ".join(words), room, font, size))
    return tuple(line for line in lines if line)


def numbers(low: float, high: float, *values: float, digits: int = 3) -> tuple[str, ...]:
    """`values` as text, with the decimals that show about `digits` digits of the range low..high."""
    extent = abs(high - low) or max(abs(low), abs(high)) or 1.0
    largest = max(abs(low), abs(high), extent)
    if largest >= 1e5 or largest < 1e-4:
        return tuple(_minus(f"{v:.{digits - 1}e}") for v in values)
    decimals = min(8, max(0, digits - 1 - math.floor(math.log10(extent))))
    if all(float(v).is_integer() and abs(v) < 1e5 for v in values):
        decimals = 0
    return tuple("0" if v == 0 else _minus(f"{v:.{decimals}f}") for v in values)


def _minus(text: str) -> str:
    if not any(c in text for c in "123456789"):
        text = text.lstrip("-")
    return text.replace("-", "\u2212")
