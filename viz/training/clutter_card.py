"""The model cards of the four families, the figures of all runs, and the table made of them."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from viz.models.backbone import LITE0_PACKAGE, LITE0_SHA256
from viz.models.networks.lite0_families import build_family
from viz.training.card_text import PREPROCESSING
from viz.training.clutter_table import tables
from viz.training.clutter_text import DATA, DEVIATIONS, LIMITS, RESTS, SETS, SHARED, TASK, TITLES, WORDS
from viz.training.hashes import sha256_of

FAMILIES = ("psa", "ema", "vista", "paka")
# Families whose own map over places is asked to lie on the object.
WITH_MAP = ("psa", "ema", "vista")
SHIPPED = 0
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]


def bars(family: str, f: Figures) -> list[dict[str, Any]]:
    """Each bar with what it asks, what was measured and whether it is met."""

    def bar(what: str, asked: float, measured: float) -> dict[str, Any]:
        return {"bar": what, "at_least": round(asked, 4), "measured": round(measured, 4), "met": measured >= asked}

    found = []
    for group in ("unseen", "nette"):
        row = f[group]
        found += [
            bar(f"{SETS[group]}: top-1 minus plain", 0.03, row["gain"]["value"]),
            bar(
                f"{SETS[group]}: what gates at their means lose, over the gain",
                0.5,
                row["gates_loss"]["value"] / row["gain"]["value"] if row["gain"]["value"] > 0 else 0.0,
            ),
        ]
        if family in WITH_MAP:
            found.append(bar(f"{SETS[group]}: attention mass over area", 1.3, row["mass_over_area"]["value"]))
    for group in ("alone_nette", "alone_unseen"):
        found.append(bar(f"{SETS[group]}: top-1 minus plain", -0.02, f[group]["change"]["value"]))
    return found


def gather(out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All figures, curves and costs of a finished run, as one plain value."""
    costs = json.loads((out / "costs.json").read_text())
    rows: dict[str, Any] = {
        "tdam": {"seeds": {"0": json.loads((out / "lite0-tdam.figures.json").read_text())}, "cost": costs["tdam"]}
    }
    for family in FAMILIES:
        seeds, curves = {}, {}
        for path in sorted(out.glob(f"lite0-{family}-seed*.figures.json")):
            seed = path.name.split("seed")[1].split(".")[0]
            seeds[seed] = json.loads(path.read_text())
            curves[seed] = json.loads((out / f"lite0-{family}-seed{seed}.curve.json").read_text())
        rows[family] = {"seeds": seeds, "curves": curves, "cost": costs[family]}
    held = facts["held_out"]
    return {
        "unseen_classes": len(held["report_classes"]),
        "scenes": facts["scenes"],
        "views": facts["views"],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "rows": rows,
    }


def write_all(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Copy the weights of the shipped seed and write cards, ``measured/clutter.json`` and ``measured/clutter.md``."""
    data = gather(out, facts)
    measured = folder / "measured"
    measured.mkdir(parents=True, exist_ok=True)
    (measured / "clutter.json").write_text(json.dumps(data, indent=1) + "\n")
    (measured / "clutter.md").write_text(tables(data) + "\n")
    for family in FAMILIES:
        _write_card(folder, out, family, facts, data["rows"][family])


def _write_card(folder: Path, out: Path, family: str, facts: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    target = folder / f"lite0-{family}.safetensors"
    shutil.copyfile(out / f"lite0-{family}-seed{SHIPPED}.safetensors", target)
    target.chmod(0o644)
    with safe_open(target, framework="pt") as file:
        meta = dict(file.metadata())
        scale = file.get_tensor("scale")
    config = json.loads(meta["config"])
    figures = row["seeds"][str(SHIPPED)]
    card: dict[str, Any] = {
        "name": f"lite0-{family}",
        "family": family,
        "title": TITLES[family],
        "network": "lite0_family",
        "arguments": config["arguments"],
        "file": target.name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "steps": build_family(meta["config"]).steps,
        "source": "trained by viz.training.clutter; the backbone comes from " + LITE0_PACKAGE,
        "backbone": {"package": LITE0_PACKAGE, "sha256": LITE0_SHA256, "licence": "Apache-2.0", "frozen": True},
        "licence": "Apache-2.0",
        "preprocessing": PREPROCESSING,
        "classes": "imagenet-1k",
        "task": TASK,
        "data": {"folders": DATA, **facts},
        "recipe": json.loads(meta["recipe"]),
        "curve": row["curves"][str(SHIPPED)],
        "seed": SHIPPED,
        "minutes": float(meta["minutes"]),
        "cost": row["cost"],
        "scale": round(float(scale), 4),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "figures": [{"set": g, "name": n, **v} for g, values in figures.items() for n, v in values.items()],
        "bars": bars(family, figures),
        "bars_of_other_seeds": {
            seed: [b["met"] for b in bars(family, f)] for seed, f in row["seeds"].items() if seed != str(SHIPPED)
        },
        "deviations": [*SHARED, *DEVIATIONS[family]],
        "notes": LIMITS,
    }
    (folder / f"lite0-{family}.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / f"lite0-{family}.md").write_text(page(card))


def page(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    missed = [b["bar"] for b in card["bars"] if not b["met"]]
    said = "Every bar below is met." if not missed else "Missed: " + "; ".join(missed) + "."
    recipe = "; ".join(f"{k} {v}" for k, v in card["recipe"].items())
    arguments = "; ".join(f"{k} {v}" for k, v in card["arguments"].items()) or "none"
    rests = RESTS.get(card["family"], "").format(1 / card["scale"])
    lines = [
        f"# {card['name']}",
        card["title"] + ".",
        card["task"],
        said,
        "\n".join(
            [
                "| | |",
                "| --- | --- |",
                f"| arguments | {arguments} |",
                f"| parameters of the module | {card['cost']['parameters']:,.0f} |",
                f"| multiply-adds over plain | {card['cost']['added_macs']:+.1f} M |",
                f"| CPU time over plain | {card['cost']['cpu_ratio']:.2f} |",
                f"| learned number times the result | {card['scale']:.3f}{rests} |",
                f"| file | {card['file']}, {card['bytes']} bytes, sha256 `{card['sha256']}` |",
                f"| source | {card['source']} |",
                f"| licence | {card['licence']} |",
                f"| preprocessing | {card['preprocessing']['rule']} |",
                f"| recipe | {recipe} |",
                f"| training | {card['minutes']} minutes |",
                f"| versions | {'; '.join(f'{k} {v}' for k, v in card['versions'].items())} |",
            ]
        ),
        "## Bars",
        "\n".join(
            [
                "| bar | at least | measured | | other seeds |",
                "| --- | --- | --- | --- | --- |",
                *(
                    f"| {b['bar']} | {b['at_least']} | {b['measured']} | {'met' if b['met'] else 'MISSED'} | "
                    + ", ".join("met" if m[k] else "MISSED" for m in card["bars_of_other_seeds"].values())
                    + " |"
                    for k, b in enumerate(card["bars"])
                ),
            ]
        ),
        "## Figures",
        "On pictures never trained on and not used for choices; 95 % bootstrap intervals.",
        *(_set_table(card, name) for name in SETS),
        "## Where this differs from the paper",
        "\n".join(f"- {d}" for d in card["deviations"]),
        "## What a reader must know",
        "\n".join(f"- {n}" for n in card["notes"]),
        "## Data",
        "\n".join(f"- {d['name']}: {d['licence']}" for d in card["data"]["folders"]),
        f"Classes trained on: {card['data']['trained_classes']}; held-out classes are listed in the JSON file.",
    ]
    return "\n\n".join(lines) + "\n"


def _set_table(card: Mapping[str, Any], name: str) -> str:
    rows = [f for f in card["figures"] if f["set"] == name]
    lines = [
        f"### {SETS[name][0].upper()}{SETS[name][1:]}",
        "",
        "| figure | value | 95 % | n |",
        "| --- | --- | --- | --- |",
    ]
    for f in rows:
        words = WORDS.get(f["name"], f["name"].replace("_", " "))
        lines.append(f"| {words} | {f['value']:.3f} | {f['low']:.3f} to {f['high']:.3f} | {f['n']:.0f} |")
    return "\n".join(lines)
