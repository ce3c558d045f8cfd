"""Photos, maps and boxes of a report's cases, computed again from the plan: an evaluation keeps no pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from viz.errors import VizError
from viz.measures.localization.options import Plan
from viz.measures.localization.protocol import Thresholds, boxes_at, protocol_map
from viz.measures.localization.report_html import CaseView, Pictures
from viz.measures.localization.results import Case, Row
from viz.measures.localization.task import EvaluationTask, Opened, read_sample
from viz.measures.localization.tuning import folds_of


def case_views(made: Plan) -> Pictures:
    """Views for `viz.measures.localization.report_html.to_html`, with one more pass per case.

    A network's sums differ in their last digits with the size of the batch, so a box can differ by a pixel from the one
    that was scored; the IoU shown is that of the evaluation. A picture that can no longer be read gives None.
    """
    task, data = EvaluationTask(made), made.data[0]
    names = [card.name for card in made.cards]
    words = {c.label: c.name for c in data.classes}

    def view(row: Row, case: Case) -> CaseView | None:
        opened = read_sample(case.index, data[case.index])
        if not isinstance(opened, Opened) or row.model not in names or row.boxes is None:
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
