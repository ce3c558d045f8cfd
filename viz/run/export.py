"""A trace as files: every value as .npz, and a JSON index that says what the values are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from viz.core.boxes import DEFAULT_THRESHOLD, boxes
from viz.core.finite import finite, missing
from viz.files import npz_bytes
from viz.run.engine import versions

if TYPE_CHECKING:
    from viz.core.attribution import Attribution
    from viz.core.card import ModelCard
    from viz.core.trace import Trace

TRACE_VERSION = 2


def model_entry(card: ModelCard) -> dict[str, Any]:
    """What identifies a model, without any path."""
    return {
        "name": card.name,
        "title": card.title,
        "family": card.family,
        "network": card.network,
        "task": card.task,
        "origin": card.origin,
        "checkpoint": card.file,
        "checkpoint_sha256": card.sha256,
        "source": card.source,
        "licence": card.licence,
        "deviations": list(card.deviations),
    }


def picture_entry(trace: Trace) -> dict[str, Any]:
    """What identifies a picture."""
    height, width = trace.picture.size
    return {
        "name": trace.picture.name,
        "sha256": trace.picture.sha256,
        "height": height,
        "width": width,
        "notes": list(trace.picture.notes),
    }


def predictions_entry(trace: Trace, count: int = 5) -> list[dict[str, Any]]:
    """The best classes of each step."""
    return [
        {
            "step": step,
            "top": [
                {"class": p.class_index, "label": p.label, "probability": finite(p.probability)}
                for p in trace.top(step, count)
            ],
        }
        for step in range(1, trace.steps + 1)
    ]


def attribution_entry(found: Attribution, label: str) -> dict[str, Any]:
    """All that makes an attribution repeatable, as plain values."""
    return {
        "method": found.method,
        "layer": found.layer,
        "step": found.step,
        "class": found.class_index,
        "label": label,
        "options": dict(found.options),
        "unit": found.unit,
        "captum": found.captum,
    }


def trace_npz(trace: Trace) -> bytes:
    """All values of a trace: ``logits`` (steps, classes), ``features:STEP`` (C, h, w), ``path.label:STEP``, and
    ``METHOD@CLASS:STEP`` of the attributions that it holds (of the same twice, the newest)."""
    arrays: dict[str, NDArray[Any]] = {"logits": trace.logits}
    for step, features in enumerate(trace.features, 1):
        arrays[f"features:{step}"] = features
    for record in trace.records:
        arrays[f"{record.name}:{record.step}"] = record.values
    for found in trace.attributions:
        arrays[f"{found.method}@{found.class_index}:{found.step}"] = found.values
    return npz_bytes(arrays)


def trace_json(trace: Trace) -> dict[str, Any]:
    """What the .npz of `trace_npz` holds, as plain values; `key` names the array in it.

    Boxes are display boxes: picture pixels, this picture's own threshold, round each step's best class.
    """
    records = [
        {
            "key": f"{r.name}:{r.step}",
            "path": r.path,
            "label": r.label,
            "family": r.family,
            "axes": list(r.axes),
            "step": r.step,
            "shape": list(r.values.shape),
            "unit": r.unit,
            "bounds": [finite(b) for b in r.bounds],
            "neutral": finite(r.neutral),
            "range": [finite(float(r.values.min())), finite(float(r.values.max()))],
            **({"not_finite": lost} if (lost := missing(r.values)) else {}),
        }
        for r in trace.records
    ]
    found = []
    for step in range(1, trace.steps + 1):
        heat = trace.class_map(step)
        for box in boxes(heat):
            found.append({"step": step, "class": heat.class_index, "xyxy": list(box.xyxy), "peak": finite(box.peak)})
    return {
        "trace_version": TRACE_VERSION,
        "picture": picture_entry(trace),
        "geometry": trace.geometry.as_json(),
        "model": model_entry(trace.card),
        "precision": trace.precision,
        "steps": trace.steps,
        "predictions": predictions_entry(trace),
        "records": records,
        "attributions": [
            {"key": f"{a.method}@{a.class_index}:{a.step}", **attribution_entry(a, trace.head.labels[a.class_index])}
            for a in trace.attributions
        ],
        "boxes": {"kind": "display", "threshold": DEFAULT_THRESHOLD, "found": found},
        "versions": versions(),
        **({"notes": list(trace.notes)} if trace.notes else {}),
    }
