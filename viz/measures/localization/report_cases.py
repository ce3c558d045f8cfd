"""The best and worst cases of a report as pictures: the photo and its map, true boxes and the map's box over both."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.core.heatmap import palette

LONGEST = 320
QUALITY = 82
OPACITY = 0.55
EDGE = 1.5
TRUTH, FOUND = "#00c2a8", "#ff3d7f"


@dataclass(frozen=True, eq=False)
class CaseView:
    """What is needed to draw a case.

    Attributes:
        rgb: uint8 (h, w, 3), the whole picture at any size and in its own proportions.
        heat: float (h', w') in 0..1 over the whole picture, or None where there is nothing to draw.
        truth: true boxes (x0, y0, x1, y1) on the protocol's square. box: of the map at `threshold`. All three are
            looked for in the case itself where they are missing here.
        label: name of the sample's class.
    """

    rgb: NDArray[np.uint8]
    heat: NDArray[np.floating[Any]] | None = None
    truth: Sequence[Sequence[float]] = ()
    box: Sequence[float] | None = None
    threshold: float | None = None
    label: str = ""


# Row and case of the result to its view, or None where the picture is not at hand. Called once a case, in order, so
# that only one picture need be in memory.
Pictures = Callable[[Mapping[str, Any], Mapping[str, Any]], CaseView | None]


def figure_html(row: Mapping[str, Any], case: Mapping[str, Any], pictures: Pictures | None, square: int) -> str:
    """One case: two pictures where they are at hand, and a caption.

    Args:
        square: side of the square that the case's boxes are given in.
    """
    view = None if pictures is None else pictures(row, case)
    threshold = view.threshold if view is not None and view.threshold is not None else case.get("threshold")
    words = f'<b>IoU {case["iou"]:.2f}</b> <span class="soft">{escape(str(case["id"]))}'
    words += f" at threshold {threshold:.2f}</span>" if threshold is not None else "</span>"
    if view is None:
        return f'<figure class="case bare"><figcaption>{words}</figcaption></figure>'
    small = shrunk(view.rgb)
    box = view.box if view.box is not None else case.get("box")
    marks = _marks(view.truth or case.get("truth") or (), box, small.shape, square)
    words += f"<br>{escape(view.label)}" if view.label else ""
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


def _marks(truth: Sequence[Sequence[float]], box: Sequence[float] | None, shape: tuple[int, ...], square: int) -> str:
    """True boxes, and the map's where it has one: (0, 0, 0, 0) is none."""
    found = [_rect(box, shape, square, FOUND, ' stroke-dasharray="7 4"')] if box is not None and any(box) else []
    return "".join([*(_rect(b, shape, square, TRUTH, "") for b in truth), *found])


def _rect(box: Sequence[float], shape: tuple[int, ...], square: int, colour: str, dash: str) -> str:
    height, width = shape[:2]
    # Drawn inside the picture's edge, where half of the line would be cut off.
    x0, x1 = (min(max(v * width / square, EDGE), width - EDGE) for v in (box[0], box[2]))
    y0, y1 = (min(max(v * height / square, EDGE), height - EDGE) for v in (box[1], box[3]))
    place = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="none"{dash}'
    # A dark line below, so that both colours stand out on any photo.
    under = f'<rect {place} stroke="#000" stroke-opacity=".55" stroke-width="4.5"/>'
    return f'{under}<rect {place} stroke="{colour}" stroke-width="2.5"/>'
