"""An evaluation as one self-contained HTML page, without scripts or external files.

The template ``report.html.j2`` holds the layout; this module prepares its contents.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

from viz.core.heatmap import palette
from viz.errors import VizError
from viz.measures.localization import report
from viz.measures.localization.options import Plan
from viz.measures.localization.protocol import Thresholds, boxes_at, protocol_map
from viz.measures.localization.report import cell, label
from viz.measures.localization.results import Case, Delta, Result, Row
from viz.measures.localization.task import EvaluationTask, open_with_truth
from viz.measures.localization.tuning import folds_of
from viz.measures.tables import Number, Table

LONGEST, QUALITY, OPACITY, EDGE = 320, 82, 0.55, 1.5
TRUTH, FOUND = "#00c2a8", "#ff3d7f"
# Okabe and Ito's colours that are visible on white and on black, with dashes, so that colour is never the only cue.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#7f7f7f")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
# Sizes of a chart in its own units: percent right (0 to 100) over the threshold (0 to 1).
WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 26, 38


@dataclass(frozen=True, eq=False)
class CaseView:
    """What is needed to draw a case.

    Attributes:
        rgb: uint8 (h, w, 3), the whole picture at any size in its own proportions.
        heat: float (h', w') in 0..1 over the whole picture, or None.
        truth: true boxes (x0, y0, x1, y1) on the protocol's square. box: of the map at `threshold`.
        label: name of the sample's class.
    """

    rgb: NDArray[np.uint8]
    heat: NDArray[np.floating[Any]] | None = None
    truth: Sequence[Sequence[float]] = ()
    box: Sequence[float] | None = None
    threshold: float | None = None
    label: str = ""


# The view of a case of a row, or None where its picture is not available. Called once per case, in order, so that only
# one picture is in memory.
Pictures = Callable[[Row, Case], CaseView | None]


@cache
def _template() -> Template:
    loader = PackageLoader("viz.measures.localization", "")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("report.html.j2")


def to_html(result: Result, pictures: Pictures | None = None) -> str:
    """The page.

    Args:
        pictures: returns photo and map of a case; without it, cases are only listed.
    """
    columns, drawn = report.kept(report.COLUMNS, result), [(i, row) for i, row in enumerate(result.rows) if row.boxes]
    notes = [f"Values in percent; in small type: {report.interval_words(result)}."]
    if report.flags(columns, result):
        names = " and ".join(row.title for row in report.baselines(result))
        notes.append(f"\u2020 The interval does not lie above the better baseline ({names}).")
    protocol = result.protocol
    sweep = (
        f"{protocol.thresholds} thresholds in steps of {protocol.interval:g} ({protocol.levels} distinct levels of an "
        "8-bit map)."
    )
    text = _template().render(
        result=result,
        lead=f"{report.data_words(result)}; {report.counted_words(result)} per row. {result.tuning.words}",
        table=report.table_of(result, columns, count=True, wide=True),
        table_notes=" ".join(notes),
        columns=columns,
        measured=dict.fromkeys([*protocol.words, result.tuning.words, sweep, *result.notes]),
        optimistic=_optimistic(result, [row for _, row in drawn]),
        charts=[_chart(result, drawn, f"{d}", f"IoU at least {d / 100:.1f}") for d in protocol.deltas],  # type: ignore[arg-type]
        legend=[(_stroke(i), label(row, result, model=True)) for i, row in drawn],
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM},
        x=_x,
        y=_y,
        cases=[(label(row, result, model=True), _cases(row, pictures, protocol.size)) for row in _with_cases(result)],
        pictured=pictures is not None,
        colours={"truth": TRUTH, "found": FOUND},
        networks=_networks(result),
        left_out=_left_out(result),
    )
    return re.sub(r">\n\s*<", "><", text) + "\n"


def _optimistic(result: Result, rows: Sequence[Row]) -> Table | None:
    """The reference's own numbers, for comparison with published tables."""
    if result.tuning.mode == "same" or not rows:
        return None
    most = [(row, row.boxes.max) for row in rows if row.boxes]
    cells = [(label(row, result, model=True), Number(m.v1["50"]), Number(m.v2_mean)) for row, m in most]
    return Table(("Map", "MaxBoxAcc", "MaxBoxAccV2"), tuple((None, c) for c in cells))


def _networks(result: Result) -> Table | None:
    rows = []
    for m in result.models:
        found = [(f", step {c.step}" if m.steps > 1 else "", c.top1, c.top5) for c in m.classification]
        union = (m.union or {}).items()
        found += [(f", right at any step ({kind})", tops["top1"], tops["top5"]) for kind, tops in union]
        rows += [(None, (m.name + words, str(one.n), cell(one), cell(five))) for words, one, five in found]
    return Table(("Network", "n", "Top-1", "Top-5"), tuple(rows)) if rows else None


def _left_out(result: Result) -> list[str]:
    """What was left out, as sentences."""
    data = result.data
    items = [f"{count} \u00d7 {kind} (in the data set's index)" for kind, count in data.index_problems.items()]
    if data.chosen_of:
        items.append(
            f"{data.chosen_of - data.samples} of {data.chosen_of} samples that the hash of their names did not choose"
        )
    for count, words in (
        (data.without_class, "without a class of the network"),
        (data.without_boxes, "without a box"),
        (data.empty_masks, "with an empty mask"),
        (data.failed_count, "could not be read"),
    ):
        items += [f"{count} samples {words}"] if count else []
    return items


# --- curves ----------------------------------------------------------------------------------------------------------


def _stroke(place: int) -> tuple[str, str]:
    """Colour and dashes of the line for a row of the table."""
    return COLOURS[place % len(COLOURS)], DASHES[(place // len(COLOURS) + place) % len(DASHES)]


def _x(threshold: float) -> str:
    return f"{LEFT + threshold * (WIDTH - LEFT - RIGHT):.1f}"


def _y(percent: float) -> str:
    return f"{HEIGHT - BOTTOM - percent / 100 * (HEIGHT - TOP - BOTTOM):.1f}"


def _chart(result: Result, drawn: Sequence[tuple[int, Row]], delta: Delta, title: str) -> tuple[str, list[Any]]:
    """Title, and for each line its name, stroke, points, and marks at the thresholds it is reported at.

    The centred box has no threshold: its reported value is a straight line.
    """
    lines: list[Any] = []
    for place, row in drawn:
        boxes, name = row.boxes, label(row, result, model=True)
        if boxes is None:
            continue
        curve, value = boxes.curve, boxes.reported.v1[delta].value
        if row.source != "centre_box":
            points = " ".join(f"{_x(t)},{_y(v)}" for t, v in zip(curve.thresholds, curve.v1[delta], strict=True))
            marks = [_x(t) for t in sorted(set(boxes.thresholds["v1"][delta]))]
            lines.append((name, _stroke(place), points, marks))
        elif value is not None:
            lines.append((name, _stroke(place), "", _y(value)))
    return title, lines


# --- best and worst cases --------------------------------------------------------------------------------------------


def _with_cases(result: Result) -> list[Row]:
    return [row for row in result.rows if row.kind != "floor" and any(row.cases.values())]


def _cases(row: Row, pictures: Pictures | None, square: int) -> list[tuple[str, list[Any]]]:
    """A row's worst and best cases."""
    groups = (("Lowest IoU", row.cases["worst"]), ("Highest IoU", row.cases["best"]))
    return [(head, [_case(row, case, pictures, square) for case in cases]) for head, cases in groups if cases]


def _case(row: Row, case: Case, pictures: Pictures | None, square: int) -> dict[str, Any]:
    """A case with its view, its panes (words, picture, width, height) and boxes."""
    view = None if pictures is None else pictures(row, case)
    if view is None:
        return {"case": case, "view": None, "panes": []}
    small = shrunk(view.rgb)
    height, width = small.shape[:2]
    # (0, 0, 0, 0) means no box.
    found = [(view.box, FOUND, "7 4")] if view.box is not None and any(view.box) else []
    boxes = [(_rect(b, small.shape, square), c, dash) for b, c, dash in [*((b, TRUTH, "") for b in view.truth), *found]]
    shown = [(f"photo {case.id}", small)]
    if view.heat is not None:
        shown.append((f"map over {case.id}", blended(small, view.heat)))
    panes = [(words, data_uri(rgb), width, height) for words, rgb in shown]
    return {"case": case, "view": view, "panes": panes, "boxes": boxes}


def _rect(box: Sequence[float], shape: tuple[int, ...], square: int) -> tuple[str, ...]:
    """x, y, width, height, moved inside the edge of the picture, where half of the line would be clipped."""
    height, width = shape[:2]
    x0, x1 = (min(max(v * width / square, EDGE), width - EDGE) for v in (box[0], box[2]))
    y0, y1 = (min(max(v * height / square, EDGE), height - EDGE) for v in (box[1], box[3]))
    return tuple(f"{v:.1f}" for v in (x0, y0, x1 - x0, y1 - y0))


def shrunk(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longest side reduced to at most 320 pixels."""
    height, width = rgb.shape[:2]
    factor = min(1.0, LONGEST / max(height, width))
    if factor == 1.0:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def blended(rgb: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """The map in inferno over a picture, uint8 (h, w, 3); non-finite cells show the photo."""
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


# --- views of cases, computed again ----------------------------------------------------------------------------------


def case_views(made: Plan) -> Pictures:
    """Views for `to_html`, computed again with one pass per case: an evaluation keeps no pictures.

    A network's sums differ in their last digits with the size of the batch, so a box can differ by a pixel from the one
    that was scored; the IoU shown is that of the evaluation. A picture that can no longer be read gives None.
    """
    task, data = EvaluationTask(made), made.data[0]
    names = [card.name for card in made.cards]
    words = {c.label: c.name for c in data.classes}

    def view(row: Row, case: Case) -> CaseView | None:
        if row.model not in names or row.boxes is None:
            return None
        try:
            opened = open_with_truth(case.index, data[case.index])
        except VizError:
            return None
        label = words.get(opened.sample.label, opened.sample.label)
        try:
            _, maps = task.traced(names.index(row.model), [opened], row.source)
            native = [one for _, _, one in maps]
        except VizError:
            native = []
        if not native:
            return CaseView(opened.picture.rgb, label=label)
        chosen = row.boxes.thresholds["v1"]["50"]
        threshold = chosen[int(folds_of(made.groups, len(chosen))[opened.position])]
        score_map = protocol_map(native[0])
        box = box_at(score_map, made.options.thresholds, threshold)
        truth = () if opened.truth.boxes is None else tuple(map(tuple, opened.truth.boxes.tolist()))
        return CaseView(opened.picture.rgb, score_map, truth, box, threshold, label)

    return view


def box_at(score_map: NDArray[np.float64], thresholds: Thresholds, threshold: float) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1) of the largest contour of a score map at the level nearest to a threshold."""
    level = int(np.abs(thresholds.levels / 255 - threshold).argmin())
    x0, y0, x1, y1 = boxes_at(score_map, thresholds).largest[level].tolist()
    return (x0, y0, x1, y1)
