"""Golden cases of networks that only Python can be given: the tiny one, and the families' vivid ones on real Lite0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import viz
from tests.golden.cases import Case, Tools
from tests.golden.inside import ASSETS, NETS, drawn_picture, gates, net, write_json, write_trace

METHODS = ("gradcam", "integrated_gradients", "guided_backprop", "occlusion")
QUICK = ("nets/tiny/trace", "nets/tiny/figure", "nets/vivid-paka/trace", "nets/compare")


def cases() -> list[Case]:
    """The cases."""
    found: list[tuple[str, Callable[[Path, Tools], None]]] = []
    for name in NETS:
        found.append((f"nets/{name}/trace", partial(_trace, name)))
        found.append((f"nets/{name}/figure", partial(_figure, name)))
        found.append((f"nets/{name}/faithful", partial(_faithful, name)))
    found.append(("nets/compare", _compare))
    return [Case(name, fill, name in QUICK) for name, fill in found]


def _trace(name: str, folder: Path, tools: Tools) -> None:
    """Every captured value, attribution, map and box, of a drawn picture and of a photograph."""
    model, options = net(name), viz.AttributionOptions(n_steps=4, stride=32)
    for title, picture in (("drawn", drawn_picture(name)), ("coffee", ASSETS / "coffee.jpg")):
        trace = model.trace(picture)
        if title == "drawn":
            for method in METHODS:
                trace = model.attribute(trace, method, options=options)
        write_trace(trace, folder / title)
        maps = {f"class_map@{t}": trace.class_map(t) for t in range(1, trace.steps + 1)}
        maps |= {f"{r.name}@{r.step}": heat for r, heat in gates(trace)}
        if title == "drawn":
            maps |= {method: trace.attribution(method) for method in METHODS}
        arrays: dict[str, Any] = {name: heat.native for name, heat in maps.items()}
        arrays |= {f"picture.{name}": heat.values for name, heat in maps.items()}
        arrays |= {f"boxes.{name}": _boxes(heat) for name, heat in maps.items()}
        np.savez(folder / f"{title}-maps.npz", probabilities=trace.probabilities, **arrays)


def _boxes(heat: viz.Heatmap) -> np.ndarray:
    found = [box.xyxy for components in ("largest", "all") for box in viz.boxes(heat, components=components)]
    return np.array(found, np.int64).reshape(-1, 4)


def _figure(name: str, folder: Path, tools: Tools) -> None:
    trace = net(name).trace(drawn_picture(name))
    made = viz.figure(trace)
    for ending in ("png", "svg", "pdf"):
        made.save(folder / f"figure.{ending}", 120)


def _faithful(name: str, folder: Path, tools: Tools) -> None:
    model = net(name)
    controls: dict[str, tuple[str, ...]] = {"cam": ("deletion",), "attention": ("reliance", "deletion", "insertion")}
    for source, parts in controls.items():
        report = viz.faithful(model, drawn_picture(name), source=source, parts=parts)  # type: ignore[arg-type]
        write_json(report.to_json(), folder / f"{source}.json")
        (folder / f"{source}.csv").write_text(report.to_csv(), encoding="utf-8")


def _compare(folder: Path, tools: Tools) -> None:
    for title, names in (("vivid", NETS[1:]), ("mixed", NETS[:2])):
        made = viz.compare(ASSETS / "panda.jpg", [net(name) for name in names], box=(40, 50, 200, 180))
        made.to_figure().save(folder / f"{title}.pdf")
        write_json(made.to_json(), folder / f"{title}-agreement.json")
        (folder / f"{title}-agreement.csv").write_text(made.to_csv(), encoding="utf-8")
        arrays: dict[str, Any] = {"box_iou": made.box_iou(), "user_iou": made.user_iou()}
        arrays |= {"spearman": made.matrix("spearman"), "top_iou": made.matrix("top_iou")}
        np.savez(folder / f"{title}-matrices.npz", **arrays)
