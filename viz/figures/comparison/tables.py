"""A comparison as tables: JSON with every step, CSV with one line per pair, mean and spread over many pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from viz.core.finite import finite
from viz.figures.comparison.data import Compared
from viz.files import csv_text
from viz.run.engine import versions

MEASURES = ("spearman", "top_iou", "top_share", "box_iou")
FIELDS = (
    *("picture", "sha256", "step", "kind", "a", "b", "map_a", "map_b", "step_a", "step_b"),
    *(*MEASURES, "rows", "columns", "reason"),
)
PAIR = ("a", "b", *MEASURES, "rows", "columns", "region", "reason")
GROUP = ("step", "kind", "a", "b", "map_a", "map_b")


def rows_of(made: Compared) -> list[dict[str, Any]]:
    """One row for each step and pair of columns (kind ``pair``), and for each column with the user's box (``mine``)."""
    out = []
    columns, picture = made.columns, made.picture
    for step in range(1, made.steps + 1):
        overlap, mine = made.box_iou(step), made.user_iou(step)
        common = {"picture": picture.name, "sha256": picture.sha256, "step": step}
        for i, j in combinations(range(len(columns)), 2):
            a, b, found = columns[i], columns[j], made.agreements[step - 1][i][j]
            row = common | {"kind": "pair", "a": a.label, "b": b.label, "map_a": str(a.asked), "map_b": str(b.asked)}
            row |= {"step_a": a.own_step(step), "step_b": b.own_step(step)}
            row |= {name: finite(getattr(found, name)) for name in ("spearman", "top_iou", "top_share")}
            row |= {"box_iou": finite(overlap[i, j]), "rows": found.rows, "columns": found.columns}
            out.append(row | {"region": list(found.region), "reason": found.reason})
        for i, a in enumerate(columns if made.box is not None else ()):
            row = dict.fromkeys(FIELDS) | common | {"kind": "mine", "a": a.label, "b": "mine"}
            row |= {"map_a": str(a.asked), "step_a": a.own_step(step), "box_iou": finite(mine[i])}
            out.append(row | {"map_b": "", "reason": ""})
    return out


def as_json(made: Compared) -> dict[str, Any]:
    """A comparison as plain values; undefined numbers are None, and `reason` says why."""
    height, width = made.picture.size
    steps, rows = [], rows_of(made)
    for step in range(1, made.steps + 1):
        mine = made.user_iou(step)
        columns = [
            {
                "label": c.label,
                "own_step": c.own_step(step),
                "has_value": c.heatmaps[step - 1] is not None,
                "boxes": [{"xyxy": list(b.xyxy), "peak": finite(b.peak)} for b in c.boxes[step - 1]],
                "iou_with_mine": finite(mine[i]),
            }
            for i, c in enumerate(made.columns)
        ]
        pairs = [{k: r[k] for k in PAIR} for r in rows if r["step"] == step and r["kind"] == "pair"]
        steps.append({"step": step, "columns": columns, "pairs": pairs})
    return {
        "comparison_version": 1,
        "picture": {"name": made.picture.name, "sha256": made.picture.sha256, "height": height, "width": width},
        "class": made.class_label,
        "scale": made.scale_mode,
        "columns": [_column_entry(made, i) for i in range(len(made.columns))],
        "box": None if made.box is None else list(made.box),
        "boxes": {"kind": "display", "threshold": made.threshold, "components": made.components},
        "measures": {
            "spearman": "rank correlation over a grid as fine as the finer of the two maps, inside what both saw",
            "top_iou": "strongest 10 % of the grid's points, intersection over union",
            "top_share": "the same intersection as a share of the smaller set",
            "box_iou": "intersection over union of the largest display boxes",
        },
        "notes": list(made.notes),
        "steps": steps,
        "versions": versions(),
    }


def _column_entry(made: Compared, index: int) -> dict[str, Any]:
    c, scale = made.columns[index], made.scale(index)
    return {
        "label": c.label,
        "model": c.trace.card.name,
        "family": c.trace.card.family,
        "checkpoint_sha256": c.trace.card.sha256,
        "precision": c.trace.precision,
        "asked": str(c.asked),
        "map": str(c.map),
        "quantity": c.quantity,
        "unit": c.unit,
        "cells": next(list(h.native.shape) for h in c.heatmaps if h is not None),
        "steps": c.trace.steps,
        "geometry": c.trace.geometry.as_json(),
        "range": [scale.low, scale.high],
    }


def rows_from_json(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that `summary` needs, from a comparison's JSON."""
    asked = {c["label"]: c["asked"] for c in data["columns"]} | {"mine": ""}
    out: list[dict[str, Any]] = []
    for entry in data["steps"]:
        found = [(pair["a"], pair["b"], "pair", {m: pair[m] for m in MEASURES}) for pair in entry["pairs"]]
        if data["box"] is not None:
            columns = ((c["label"], {"box_iou": c["iou_with_mine"]}) for c in entry["columns"])
            found += [(label, "mine", "mine", dict.fromkeys(MEASURES) | iou) for label, iou in columns]
        for a, b, kind, numbers in found:
            names = {"step": entry["step"], "kind": kind, "a": a, "b": b, "map_a": asked[a], "map_b": asked[b]}
            out.append(names | numbers)
    return out


def same_numbers(data: Mapping[str, Any], table: str) -> bool:
    """Whether the JSON of a comparison and the CSV beside it agree; False where one was altered or damaged."""
    try:
        rows = rows_from_json(data)
        fields = list(rows[0]) if rows else []
        again = list(csv.DictReader(io.StringIO(csv_text(rows, fields))))
        written = list(csv.DictReader(io.StringIO(table)))
        return bool(rows) and [{k: row[k] for k in fields} for row in written] == again
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error):
        return False


SUMMARY_FIELDS = (*GROUP, *(f"{m}_{s}" for m in MEASURES for s in ("mean", "sd", "pictures")))


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, standard deviation (n - 1; None for one picture) and number of pictures, for each step and pair.

    Pictures without a number are left out of its mean; the count says how many were in it.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in GROUP), []).append(row)
    out = []
    for key, members in groups.items():
        entry: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        for measure in MEASURES:
            found = np.array([m[measure] for m in members if m[measure] is not None], dtype=np.float64)
            entry[f"{measure}_mean"] = float(found.mean()) if found.size else None
            entry[f"{measure}_sd"] = float(found.std(ddof=1)) if found.size > 1 else None
            entry[f"{measure}_pictures"] = int(found.size)
        out.append(entry)
    return out
