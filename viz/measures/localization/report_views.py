"""Photos, maps and boxes of a report's cases, made again from the plan: an evaluation keeps no picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from viz.errors import VizError
from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
from viz.measures.localization.protocol import Thresholds, boxes_at, protocol_map
from viz.measures.localization.report_cases import CaseView, Pictures
from viz.measures.localization.run import Plan
from viz.measures.localization.task import EvaluationTask, Opened, read_sample
from viz.measures.localization.tuning import folds_of


def case_views(made: Plan) -> Pictures:
    """Pictures for `viz.measures.localization.report.to_html`: each case goes through its network once more, alone.

    A network's sums differ in their last digits with the size of the batch, so a box can differ by a pixel from the one
    that was scored; the IoU shown is that of the evaluation. A picture that can no longer be read gives None.
    """
    task = made.task()
    data = made.setting.data[0]
    groups = [s.group for s in data]
    names = [card.name for card in made.setting.cards]
    words = {c.label: c.name for c in data.classes}

    def view(row: Mapping[str, Any], case: Mapping[str, Any]) -> CaseView | None:
        opened = read_sample(int(case["index"]), data[int(case["index"])])
        if not isinstance(opened, Opened) or row["model"] not in names:
            return None
        label = words.get(opened.sample.label, opened.sample.label)
        try:
            native = _native(made, task, names.index(row["model"]), str(row["source"]), opened)
        except VizError:
            return CaseView(opened.picture.rgb, label=label)
        chosen = row["boxes"]["thresholds"]["v1"]["50"]
        threshold = float(chosen[int(folds_of(groups, len(chosen))[opened.position])])
        score_map = protocol_map(native)
        box = box_at(score_map, made.setting.options.thresholds, threshold)
        truth = () if opened.truth.boxes is None else tuple(tuple(b) for b in opened.truth.boxes.tolist())
        return CaseView(opened.picture.rgb, score_map, truth, box, threshold, label)

    return view


def box_at(score_map: NDArray[np.float64], thresholds: Thresholds, threshold: float) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1) of the largest contour of a score map at the level nearest to a threshold."""
    level = int(np.abs(thresholds.levels / 255 - threshold).argmin())
    x0, y0, x1, y1 = boxes_at(score_map, thresholds).largest[level].tolist()
    return (x0, y0, x1, y1)


def _native(made: Plan, task: EvaluationTask, number: int, text: str, opened: Opened) -> NDArray[np.float32]:
    """The map of one source of one model on one picture."""
    options = made.setting.options
    source = dict(made.sources[number])[text]
    model = task.model(number)
    x, geometries = prepare_all(model, [opened.picture])
    mixed = None if options.mixed is None else getattr(torch, options.mixed)
    traces = trace_batch(model, [opened.picture], x, geometries, probes=probes_for([source]), mixed=mixed)
    wanted: int | None = 0
    if source.needs_class and options.classes == "label":
        wanted = opened.sample.class_index
    elif source.needs_class:
        wanted = int(traces[0].logits[traces[0].step_number(source.step) - 1].argmax())
    if wanted is None:
        raise VizError(f"{opened.sample.id} has no class of the network.")
    return native_maps(model, source, traces, x=x, classes=[wanted], options=options.attribution)[0]
