"""The pictures of README and of these pages, made from the bundled models: ``python docs/pictures.py [NAME ...]``.

``walk`` is the moving picture, ``figure`` and ``six`` are what the command line exports. Without a name all are made.
Run it from the root of a checkout; the files go to assets/readme/.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import viz  # noqa: E402
from viz.cli import main as searchlight  # noqa: E402
from viz.core.heatmap import Heatmap, overlay, palette, scale_for  # noqa: E402

ASSETS = ROOT / "assets"
OUT = ASSETS / "readme"
PICTURE = ASSETS / "clutter.jpg"
ASKED = "giant panda"
WALKED = "lite0-psa"
# The stops of PSA's slider that are maps.
STOPS = ("input", "pooling weights", "spatial score", "spatial gate")
WIDE, HIGH, DPI = 9.0, 4.4, 100
SECONDS = 1.6
PALETTE = "inferno"
INK, FAINT, ACCENT = "#1a1a1a", "#8a8a8a", "#b4411b"


def walk() -> None:
    """``walk.gif``: what plain Lite0 answers, stops of PSA's slider, and the class map of what was asked for."""
    plain = viz.load("lite0", "cpu").trace(PICTURE)
    trace = viz.load(WALKED, "cpu").trace(PICTURE)
    by_title = {stage.title: stage for stage in trace.stages}
    stages = [by_title[title] for title in STOPS]
    names = ["without attention", *STOPS, "with attention"]
    best, with_it = plain.top(-1, 1)[0], trace.top(-1, 1)[0]
    first = f"Plain Lite0 says {best.label} ({best.probability:.1%}). Shown: its class map of {best.label}."
    last = (
        f"{ASKED}: {_probability(plain):.1%} without, {_probability(trace):.1%} with attention (best class: "
        f"{with_it.label}). Shown: the class map of the {ASKED}."
    )
    shown: list[tuple[Heatmap, str]] = [
        (plain.class_map(), first),
        *((stage.heatmap(trace), stage.caption) for stage in stages),
        (trace.class_map(-1, ASKED), last[0].upper() + last[1:]),
    ]
    frames = [_drawn(heatmap, names, place, caption) for place, (heatmap, caption) in enumerate(shown)]
    # The first and the last frame stay longer.
    lengths = [int(1000 * SECONDS * (2 if i in (0, len(frames) - 1) else 1)) for i in range(len(frames))]
    coloured = [_quantized(frame) for frame in frames]
    coloured[0].save(OUT / "walk.gif", save_all=True, append_images=coloured[1:], duration=lengths, loop=0)


def _quantized(frame: Image.Image) -> Image.Image:
    """255 colours, of which the colour bar gets its share: by area alone it would have a few."""
    bar = Image.fromarray(palette(PALETTE)[None]).resize((frame.width, frame.height // 4))
    both = Image.new("RGB", (frame.width, frame.height + bar.height))
    both.paste(frame, (0, 0))
    both.paste(bar, (0, frame.height))
    table = np.array(both.quantize(255).getpalette()).reshape(-1, 3)
    table[table.min(axis=1) > 245] = 255  # paper stays white
    colours = Image.new("P", (1, 1))
    colours.putpalette(table.ravel().tolist())
    return frame.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)


def _probability(trace: viz.Trace) -> float:
    return next(p.probability for p in trace.top(-1, 1000) if p.label == ASKED)


def _drawn(heatmap: Heatmap, names: list[str], place: int, caption: str) -> Image.Image:
    """One frame: the part of the photo that the network saw under the map, its colour bar, the stops, the caption."""
    import matplotlib.pyplot as plt

    scale = scale_for(heatmap, "image")
    photo = np.asarray(Image.open(PICTURE).convert("RGB"))
    laid = overlay(photo, heatmap, scale, palette_name=PALETTE, opacity=0.6, interpolation="cells")
    rows, columns = heatmap.geometry.seen_pixels((photo.shape[0], photo.shape[1]))
    figure = plt.figure(figsize=(WIDE, HIGH), dpi=DPI, facecolor="white")
    side = (HIGH - 0.4) / HIGH
    picture = figure.add_axes((0.2 / WIDE, 0.2 / HIGH, side * HIGH / WIDE, side))
    picture.imshow(laid[rows, columns], interpolation="lanczos")
    picture.set_axis_off()
    left = (HIGH + 0.15) / WIDE
    figure.text(left, 0.93, f"{PICTURE.name}: a {ASKED} pasted into a rocket's photo", size=11, color=INK, va="top")
    for i, name in enumerate(names):
        y = 0.81 - 0.075 * i
        mark, colour, weight = ("\u25cf", INK, "bold") if i == place else ("\u25cb", FAINT, "normal")
        figure.text(left, y, mark, size=10, color=ACCENT if i == place else FAINT, va="center")
        figure.text(left + 0.025, y, name, size=11, color=colour, weight=weight, va="center")
    bar = figure.add_axes((left, 0.30, 1 - left - 0.03, 0.025))
    bar.imshow(palette(PALETTE)[None], aspect="auto", extent=(0, 1, 0, 1))
    bar.set_axis_off()
    figure.text(left, 0.275, f"{scale.low:.2g}", size=9, color=INK, va="top")
    figure.text(0.97, 0.275, f"{scale.high:.2g}", size=9, color=INK, va="top", ha="right")
    figure.text(left, 0.345, _ranged(heatmap), size=9, color=FAINT, va="bottom")
    figure.text(left, 0.205, "\n".join(textwrap.wrap(caption, 56)), size=10, color=INK, va="top", linespacing=1.3)
    held = BytesIO()
    figure.savefig(held, format="png", facecolor="white")
    plt.close(figure)
    return Image.open(held).convert("RGB")


def _ranged(heatmap: Heatmap) -> str:
    """What the colour bar measures."""
    unit = "logit per cell" if heatmap.name == "class_map" else heatmap.unit.partition(",")[0]
    return f"{unit}, range of this map"


def figure() -> None:
    """``figure.png``: what ``searchlight figure`` exports, without the files beside it."""
    made = OUT / "figure.png"
    _run("figure", str(ASSETS / "crocodile.jpg"), "--model", "lite0-psa", "--out", str(made), "--columns", "2",
         "--dpi", "170", "--no-sidecars")  # fmt: skip


def six() -> None:
    """``six.png``: what ``searchlight compare`` exports of the six networks on one photograph."""
    maps = {
        "lite0": "class_map",
        "lite0-tdam": "spatial_gate",
        "lite0-psa": "spatial_score",
        "lite0-ema": "mean(group_gate)",
        "lite0-vista": "total(structured)",
        "lite0-paka": "departure(kernel_attention)",
    }
    with tempfile.TemporaryDirectory() as folder:
        models = [word for name in maps for word in ("--model", name)]
        chosen = [word for source in maps.values() for word in ("--map", source)]
        _run("compare", str(PICTURE), *models, *chosen, "--class", ASKED, "--scale", "each", "--step", "3",
             "--no-boxes", "--format", "png", "--dpi", "200", "--out", folder)  # fmt: skip
        (made,) = Path(folder).rglob("*.png")
        (OUT / "six.png").write_bytes(made.read_bytes())


def _run(*words: str) -> None:
    if searchlight(words):
        raise SystemExit(f"searchlight {words[0]} failed")


MADE = {"walk": walk, "figure": figure, "six": six}


def main(names: list[str]) -> None:
    mpl.use("agg")
    torch.set_num_threads(1)
    for name in names or MADE:
        MADE[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
