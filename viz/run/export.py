"""Export of traces: every value as .npz, and a JSON index that describes the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """The identity of a model, without paths."""
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
    """The identity of a picture."""
    height, width = trace.picture.size
    return {
        "name": trace.picture.name,
        "sha256": trace.picture.sha256,
        "height": height,
        "width": width,
        "notes": list(trace.picture.notes),
    }


def predictions_entry(trace: Trace, count: int = 5) -> list[dict[str, Any]]:
    """The answer of each step; for a classifier its best classes."""
    return [trace.output.entry(step, count) for step in range(1, trace.steps + 1)]


def attribution_entry(found: Attribution, trace: Trace) -> dict[str, Any]:
    """Everything needed to reproduce an attribution, as plain values."""
    return {
        "method": found.method,
        "layer": found.layer,
        "step": found.step,
        "class": found.class_index,
        "label": trace.output.subject(found.class_index),
        **({} if found.region is None else {"region": list(found.region)}),
        "options": dict(found.options),
        "unit": found.unit,
        "captum": found.captum,
    }


def trace_npz(trace: Trace) -> bytes:
    """All values of a trace: the answer (``logits`` (steps, classes) of a classifier), ``features:STEP`` (C, h, w),
    ``path.label:STEP``, and ``METHOD@CLASS:STEP`` of its attributions (of the same map the newest)."""
    arrays = trace.output.arrays()
    for step, features in enumerate(trace.features, 1):
        arrays[f"features:{step}"] = features
    for record in trace.records:
        arrays[f"{record.name}:{record.step}"] = record.values
    for found in trace.attributions:
        arrays[found.key] = found.values
    return npz_bytes(arrays)


def trace_json(trace: Trace) -> dict[str, Any]:
    """The index of `trace_npz` as plain values; `key` names the array.

    Boxes are display boxes of each step's best class: in picture pixels, with a threshold per picture.
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
    for heat in trace.output_maps():
        for box in boxes(heat):
            entry = {"step": heat.step, "class": heat.class_index, "xyxy": list(box.xyxy), "peak": finite(box.peak)}
            found.append(entry)
    return {
        "trace_version": TRACE_VERSION,
        "picture": picture_entry(trace),
        "geometry": trace.geometry.as_json(),
        "model": model_entry(trace.card),
        "precision": trace.precision,
        "steps": trace.steps,
        "predictions": predictions_entry(trace),
        "records": records,
        "attributions": [{"key": a.key, **attribution_entry(a, trace)} for a in trace.attributions],
        **({"objects": objects} if (objects := trace.output.objects_in(trace.geometry)) is not None else {}),
        "boxes": {"kind": "display", "threshold": DEFAULT_THRESHOLD, "found": found},
        "versions": versions(),
        **({"notes": list(trace.notes)} if trace.notes else {}),
    }
