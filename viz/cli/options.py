"""All options of the commands in one table, each with one spelling."""

from __future__ import annotations

import argparse
from typing import Any

from viz.models import DEFAULT_MODEL

# The grammar is that of `viz.core.map_spec`; docs/maps.md has all of it.
MAPS = (
    "Maps: cam or cam@CLASS; attention (the family's own map); a captured value, as in spatial_gate or bottom#3; "
    "mean(TAP), log(TAP), ...; output@CLASS of a network that predicts for each cell; gradcam, gradcam(TAP), "
    "integrated_gradients, guided_backprop, occlusion, ... Add @CLASS to a map of a class, and :STEP for another step "
    "than the last."
)
MODELS = "names listed by `searchlight models`, or checkpoint files"
# `--model a b`, `--model a --model b`, or both.
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend"}
_IDS: dict[str, Any] = {**SEVERAL, "metavar": "ID"}
_LIST: dict[str, Any] = {"action": "append", "default": []}
_FLAG: dict[str, Any] = {"action": "store_true"}
# `--NAME` or `--no-NAME`; None if neither is given.
_SWITCH: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
_NUMBER: dict[str, Any] = {"type": int, "metavar": "N"}
_PIXELS: dict[str, Any] = {"type": int, "metavar": "PX"}
_SHARE: dict[str, Any] = {"type": float, "metavar": "0..1"}
_FILE: dict[str, Any] = {"metavar": "FILE"}
_FORMATS = ("float32", "bfloat16", "float16")
_FITS = ("center_crop", "squash", "letterbox")
_PALETTES = ("viridis", "inferno", "cividis", "grey", "diverging")
_FIGURE_SCALES = ("raw", "image", "steps", "fixed")
# Every option, by subject. Entries without a help text get one from each command, see `add`.
_OPTIONS: dict[str, dict[str, Any]] = {
    # model and machine
    "--model": {"metavar": "NAME", "help": "name listed by `searchlight models`, or a checkpoint file"},
    "--checkpoint": {"help": argparse.SUPPRESS},  # an earlier spelling of --model FILE
    "--models": {"metavar": "DIR", "help": "folder with additional checkpoint files and model cards"},
    "--device": {"default": "auto", "help": "auto (default; CUDA if available), cpu, cuda, cuda:1, ..."},
    "--precision": {"choices": _FORMATS, "default": "float32", "help": "number format of the network; default float32"},
    "--mixed-precision": {"choices": _FORMATS[1:], "help": "number format of the forward pass under autocast"},
    "--geometry": {"choices": _FITS, "help": "how a picture is fitted to the network input; default: the model's own"},
    # maps
    "--map": {**SEVERAL, "dest": "maps", "metavar": "MAP"},
    "--class": {},
    "--step": {},
    "--box": {"metavar": "X0,Y0,X1,Y1", "help": "your own box in picture pixels; X1 and Y1 are exclusive"},
    "--threshold": {**_SHARE, "help": "threshold of the boxes; default 0.5"},
    "--components": {"choices": ("largest", "all"), "help": "components that get a box; default largest"},
    # figures
    "--from": {"dest": "record", "metavar": "RECORD", "help": "redraw the figure of this JSON record"},
    "--panels": {"action": "append", "metavar": "LIST", "help": "comma-separated panels; may be repeated"},
    "--format": {"choices": ("pdf", "svg", "png"), "default": "pdf", "help": "file format; default pdf"},
    "--preset": {"help": "ieee, cvpr (default), iccv, eccv, lncs, neurips, iclr, icml or aaai"},
    "--columns": {"type": int, "choices": (1, 2)},
    "--per-row": {**_NUMBER, "help": "panels per row; default: as many as fit"},
    "--scale": {"choices": _FIGURE_SCALES, "help": "range that the colours cover"},
    "--fixed": {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH"), "help": "limits of a fixed range"},
    "--shared-scale": {**_SWITCH, "help": "one range and one colour bar for all panels of a quantity (default)"},
    "--palette": {"choices": _PALETTES, "help": "colours of the maps"},
    "--interpolation": {
        "choices": ("cells", "bilinear", "bicubic"),
        "help": "interpolation between the cells of a map",
    },
    "--opacity": {**_SHARE, "help": "opacity of the maps over the photo"},
    "--view": {"choices": ("picture", "seen"), "help": "the whole picture, or the network's input crop"},
    "--font": {"choices": ("serif", "sans"), "help": "font of all text"},
    "--letters": {**_SWITCH, "help": "letter of each panel; drawn by default"},
    "--titles": {**_SWITCH, "help": "title of each panel; drawn by default"},
    "--colour-bar": {**_SWITCH, "help": "colour bars; drawn by default"},
    "--crop-frame": {**_SWITCH, "help": "frame of the network's input crop; drawn by default"},
    "--dpi": {**_NUMBER, "help": "resolution of PNG; default 300"},
    "--no-figure": {**_FLAG, "help": "write the tables only"},
    "--no-boxes": {**_FLAG, "help": "draw no boxes"},
    "--no-sidecars": {**_FLAG, "help": "write the figure only"},
    # attribution methods
    "--baseline": {
        "choices": ("mean", "black"),
        "help": "baseline of integrated gradients and occlusion; default mean",
    },
    "--ig-steps": {**_NUMBER, "dest": "n_steps", "help": "steps of integrated gradients; default 50"},
    "--window": {**_PIXELS, "help": "window of occlusion, in input pixels; default 32"},
    "--stride": {**_PIXELS, "help": "stride of occlusion, in input pixels; default 16"},
    # data sets
    "--data": {"required": True, "metavar": "DIR"},
    "--split": {"metavar": "S", "help": "split to evaluate"},
    "--layout": {"default": "auto", "help": "layout of the data set; default: detected"},
    "--limit": {**_NUMBER, "help": "use only N samples, chosen by a hash of their names"},
    "--leave-out": {**_IDS, "help": "samples of the evaluated split to leave out, as paths within the data set"},
    # localization
    "--tune-on": {"metavar": "S2", "help": "split on which thresholds are tuned; default: cross-validation"},
    "--folds": {**_NUMBER, "default": 5, "help": "folds of the cross-validation; default 5"},
    "--splits": {**_NUMBER, "default": 20, "help": "random splits into folds to average over; default 20"},
    "--same-pictures": {**_FLAG, "help": "tune on the evaluated pictures (optimistic)"},
    "--interval": {"type": float, "default": 0.01, "help": "spacing of the thresholds; default 0.01"},
    # faithfulness
    "--controls": {**SEVERAL, "metavar": "CONTROL"},
    "--probe": {**SEVERAL, "metavar": "PROBE", "help": "gates to replace; default: those of the family"},
    "--unit": {
        "choices": ("pixels", "cells"),
        "default": "pixels",
        "help": "unit that the curves remove; default pixels",
    },
    "--points": {**_NUMBER, "help": "points of the deletion and insertion curves; default 8"},
    "--road-points": {**_NUMBER, "help": "points of the ROAD curves; default 4"},
    "--random-maps": {**_NUMBER, "dest": "seeds", "help": "random maps per curve; default 2"},
    "--draws": {**_NUMBER, "help": "noise draws; default 4"},
    "--samples": {**_NUMBER, "help": "samples of sensitivity_max and infidelity; default 8"},
    "--seed": {**_NUMBER, "help": "random seed; default 0"},
    # results
    "--json": {**_FILE, "required": True, "help": "result; finished rows are kept in FILE.rows"},
    "--csv": _FILE,
    "--latex": {**_FILE, "help": "a table for a paper"},
    "--markdown": {**_FILE, "help": "a short table for a README"},
    "--html": {**_FILE, "help": "a self-contained page with the best and worst cases"},
    # work
    "--batch": {**_NUMBER, "help": "batch size; default 2 on a CPU, 32 on a GPU"},
    "--threads": {**_NUMBER, "default": 1, "help": "CPU threads per process; default 1"},
    "--readers": {**_NUMBER, "help": "threads that read pictures ahead; default 4 on a GPU"},
    "--fresh": {**_FLAG, "help": "discard finished rows of an earlier run"},
    "--resume": {**_FLAG, "help": "keep the files of an earlier run with the same request"},
    # page
    "--host": {"default": "127.0.0.1", "help": "address to listen on; default 127.0.0.1, this machine only"},
    "--port": {**_NUMBER, "help": "port; default: the first free one from 7860"},
    "--no-browser": {"action": "store_false", "dest": "open_browser", "help": "do not open a browser"},
    "--allow-host": {
        **_LIST,
        "dest": "allow_hosts",
        "metavar": "NAME",
        "help": "additional host name to answer to, such as that of a reverse proxy; may be repeated",
    },
    "--allow-frame": {
        **_LIST,
        "dest": "allow_frames",
        "metavar": "ORIGIN",
        "help": "origin whose pages may embed this one in a frame, such as a notebook server's; may be repeated",
    },
}
# Earlier spellings: accepted, and not shown.
_EARLIER = {"--ig-steps": "--n-steps", "--map": "--source", "--class": "--classes"}
ATTRIBUTION = ("baseline", "n_steps", "window", "stride")
RUN = ("--models", "--device", "--precision")


def add(p: argparse._ActionsContainer, *names: str, **changes: Any) -> None:
    """Add options to a parser or a group of it; `changes` are what this command has different."""
    for name in names:
        about = _OPTIONS[name] | changes
        action = p.add_argument(name, **about)
        if name in _EARLIER:
            p.add_argument(_EARLIER[name], **about | {"dest": action.dest, "help": argparse.SUPPRESS})


def add_model_options(p: argparse.ArgumentParser) -> None:
    """Add the options that `viz.cli.common.load_model` reads."""
    model = p.add_argument_group("model")
    add(model, "--model", help=f"{_OPTIONS['--model']['help']}; default {DEFAULT_MODEL}")
    add(model, "--checkpoint", "--geometry", *RUN)


def add_attribution_options(p: argparse.ArgumentParser) -> None:
    """Add the options that `viz.cli.common.attribution_options` reads."""
    group = p.add_argument_group("attribution methods", "each option changes only the methods that use it")
    add(group, "--baseline", "--ig-steps", "--window", "--stride")
