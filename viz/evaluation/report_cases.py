"""The best and worst cases of a report as pictures: the photo and its map, true boxes and the map's box over both."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.maps import palette

LONGEST = 320
QUALITY = 82
OPACITY = 0.55
TRUTH, FOUND = "#00c2a8", "#ff3d7f"


@dataclass(frozen=True, eq=False)
class CaseView:
    """What is needed to draw a case.

    Attributes:
        rgb: uint8 (h, w, 3), the whole picture at any size and in its own proportions.
        heat: float (h', w') in 0..1 over the whole picture, or None where there is nothing to draw.
    """

    rgb: NDArray[np.uint8]
    heat: NDArray[np.floating[Any]] | None = None


# Row and case of the result to its view, or None where the picture is not at hand. Called once a case, in order, so
# that only one picture need be in memory.
Pictures = Callable[[Mapping[str, Any], Mapping[str, Any]], CaseView | None]


def figure_html(row: Mapping[str, Any], case: Mapping[str, Any], pictures: Pictures | None, square: int) -> str:
    """One case: two pictures where they are at hand, and a caption.

    Args:
        square: side of the square that the case's boxes are given in.
    """
    view = None if pictures is None else pictures(row, case)
    name = escape(str(case["id"]))
    words = f'<b>IoU {case["iou"]:.2f}</b> <span class="soft">{name}</span>'
    if case.get("threshold") is not None:
        words += f'<span class="soft"> at threshold {case["threshold"]:.2f}</span>'
    if view is None:
        return f'<figure class="case bare"><figcaption>{words}</figcaption></figure>'
    small = shrunk(view.rgb)
    marks = _marks(case, small.shape[1], small.shape[0], square)
    panes = [_pane(small, marks, f"photo {case['id']}")]
    if view.heat is not None:
        panes.append(_pane(blended(small, view.heat), marks, f"map over {case['id']}"))
    return f'<figure class="case"><div class="panes">{"".join(panes)}</div><figcaption>{words}</figcaption></figure>'


def shrunk(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longest side at most 320 pixels; never enlarged."""
    height, width = rgb.shape[:2]
    factor = min(1.0, LONGEST / max(height, width))
    if factor == 1.0:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def blended(rgb: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """The map in inferno over a picture: uint8 (h, w, 3); what is no number stays photo."""
    values = np.asarray(heat, dtype=np.float32)
    good = np.isfinite(values)
    size = (rgb.shape[1], rgb.shape[0])
    scaled = Image.fromarray(np.clip(np.where(good, values, 0), 0, 1)).resize(size, Image.Resampling.BILINEAR)
    alpha = Image.fromarray(good.astype(np.float32) * np.float32(OPACITY)).resize(size, Image.Resampling.NEAREST)
    colours = palette("inferno")[np.rint(np.asarray(scaled) * 255).astype(np.uint8)].astype(np.float32)
    share = np.asarray(alpha)[..., None]
    return np.rint(rgb * (1 - share) + colours * share).astype(np.uint8)


def data_uri(rgb: NDArray[np.uint8]) -> str:
    """A picture as a JPEG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pane(rgb: NDArray[np.uint8], marks: str, words: str) -> str:
    height, width = rgb.shape[:2]
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words, quote=True)}">'
        f'<image href="{data_uri(rgb)}" width="{width}" height="{height}"/>{marks}</svg>'
    )


def _marks(case: Mapping[str, Any], width: int, height: int, square: int) -> str:
    sx, sy = width / square, height / square
    found = [box for box in [case.get("box")] if box and any(box)]
    truth = [_rect(b, sx, sy, TRUTH, "") for b in case.get("truth") or ()]
    return "".join([*truth, *(_rect(b, sx, sy, FOUND, ' stroke-dasharray="7 4"') for b in found)])


def _rect(box: list[float], sx: float, sy: float, colour: str, dash: str) -> str:
    x0, y0, x1, y1 = (float(v) for v in box)
    shape = (
        f'x="{x0 * sx:.1f}" y="{y0 * sy:.1f}" width="{(x1 - x0) * sx:.1f}" height="{(y1 - y0) * sy:.1f}" fill="none"'
    )
    # A dark line below, so that both colours stand out on any photo.
    under = f'<rect {shape} stroke="#000" stroke-opacity=".55" stroke-width="4.5"/>'
    return f'{under}<rect {shape} stroke="{colour}" stroke-width="2.5"{dash}/>'
