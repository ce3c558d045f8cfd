"""What the commands share: options, each with one spelling, what is read from them, and messages to the user."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from viz.errors import PictureError, VizError
from viz.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from viz.core.methods import AttributionOptions
    from viz.run.engine import Model

# The grammar is that of `viz.core.map_spec`; docs/maps.md has all of it.
MAPS = (
    "Maps: cam or cam@CLASS; attention (the family's own map); a captured value, as in spatial_gate or bottom#3; "
    "mean(TAP), log(TAP), ...; output@CLASS of a network that predicts for each cell; gradcam, gradcam(TAP), "
    "integrated_gradients, guided_backprop, occlusion, ...; each with @CLASS where it is of a class, and :STEP where"
    " it is not the last one."
)
# `--model a b`, `--model a --model b`, or both.
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend"}
# Options of more than one command.
_OPTIONS: dict[str, dict[str, Any]] = {
    # model and machine
    "--model": {"metavar": "NAME", "help": "name listed by `searchlight models`, or a checkpoint file"},
    "--models": {"metavar": "DIR", "help": "folder with additional checkpoint files and model cards"},
    "--device": {"default": "auto", "help": "auto (default; CUDA if available), cpu, cuda, cuda:1, ..."},
    "--precision": {
        "choices": ("float32", "bfloat16", "float16"),
        "default": "float32",
        "help": "number format of the network; default float32",
    },
    "--geometry": {
        "choices": ("center_crop", "squash", "letterbox"),
        "help": "how a picture is fitted to the network input; default: the model's own",
    },
    # what is shown
    "--map": {**SEVERAL, "dest": "maps", "metavar": "MAP"},
    "--class": {},
    "--from": {"dest": "record", "metavar": "RECORD", "help": "redraw the figure of this JSON record"},
    # appearance
    "--preset": {"help": "ieee, cvpr (default), iccv, eccv, lncs, neurips, iclr, icml or aaai"},
    "--columns": {"type": int, "choices": (1, 2)},
    "--palette": {"choices": ("viridis", "inferno", "cividis", "grey", "diverging")},
    "--interpolation": {"choices": ("cells", "bilinear", "bicubic")},
    "--opacity": {"type": float, "metavar": "0..1", "help": "opacity of the maps over the photo"},
    "--threshold": {"type": float, "metavar": "0..1", "help": "threshold of the boxes; default 0.5"},
    "--components": {"choices": ("largest", "all"), "help": "components that get a box; default largest"},
    "--dpi": {"type": int, "metavar": "N", "help": "resolution of PNG; default 300"},
    # attribution methods
    "--baseline": {
        "choices": ("mean", "black"),
        "help": "baseline of integrated gradients and occlusion; default mean",
    },
    "--ig-steps": {
        "type": int,
        "dest": "n_steps",
        "metavar": "N",
        "help": "steps of integrated gradients; default 50",
    },
    "--window": {"type": int, "metavar": "PX", "help": "window of occlusion, in input pixels; default 32"},
    "--stride": {"type": int, "metavar": "PX", "help": "stride of occlusion, in input pixels; default 16"},
    # data sets
    "--data": {"required": True, "metavar": "DIR"},
    "--split": {"metavar": "S", "help": "split to evaluate"},
    "--layout": {"default": "auto", "help": "layout of the data set; default: detected"},
    "--limit": {"type": int, "metavar": "N", "help": "use N samples only, chosen by a hash of their names"},
    "--leave-out": {
        **SEVERAL,
        "metavar": "ID",
        "help": "samples of the evaluated split to leave out, as paths within the data set",
    },
    "--json": {"required": True, "metavar": "FILE", "help": "result; finished rows are kept in FILE.rows"},
    "--threads": {"type": int, "default": 1, "metavar": "N", "help": "CPU threads per process; default 1"},
    "--fresh": {"action": "store_true", "help": "discard finished rows of an earlier run"},
}
# Earlier spellings: accepted, and not shown.
_EARLIER = {"--ig-steps": "--n-steps", "--map": "--source", "--class": "--classes"}
ATTRIBUTION = ("baseline", "n_steps", "window", "stride")


def add(p: argparse._ActionsContainer, *names: str, **changes: Any) -> None:
    """Add shared options to a parser or a group of it; `changes` differ from what the other commands have."""
    for name in names:
        about = _OPTIONS[name] | changes
        action = p.add_argument(name, **about)
        if name in _EARLIER:
            p.add_argument(_EARLIER[name], **about | {"dest": action.dest, "help": argparse.SUPPRESS})


def add_run_options(p: argparse._ActionsContainer) -> None:
    """Add the options of a run on this machine."""
    add(p, "--models", "--device", "--precision")


def add_model_options(p: argparse.ArgumentParser) -> None:
    """Add the options that `load_model` reads."""
    model = p.add_argument_group("model")
    add(model, "--model", help=f"{_OPTIONS['--model']['help']}; default {DEFAULT_MODEL}")
    model.add_argument("--checkpoint", help=argparse.SUPPRESS)  # an earlier spelling of --model FILE
    add(model, "--geometry")
    add_run_options(model)


def add_attribution_options(p: argparse.ArgumentParser) -> None:
    """Add the options that `attribution_options` reads."""
    add(
        p.add_argument_group("attribution methods", "each option changes only the methods that use it"),
        *("--baseline", "--ig-steps", "--window", "--stride"),
    )


def model_named(args: argparse.Namespace) -> str | Path | None:
    """What ``--model`` says, also in its earlier spelling."""
    if args.model and args.checkpoint:
        usage("Give either --model or --checkpoint, not both.")
    return Path(args.checkpoint) if args.checkpoint else args.model


def load_model(args: argparse.Namespace) -> Model:
    """The model of ``--model``, or the default one."""
    from viz.run.engine import load

    name = model_named(args) or DEFAULT_MODEL
    return load(name, args.device, args.geometry, precision=args.precision, models=args.models)


def attribution_options(args: argparse.Namespace) -> AttributionOptions:
    """The options of the attribution methods; a value out of range ends the program."""
    from viz.core.methods import AttributionOptions

    try:
        return AttributionOptions(**given(args, ATTRIBUTION))
    except VizError as error:
        usage(str(error))


def given(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that were given, by name."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def say(message: object) -> None:
    """Print one line for the user, beside the results."""
    print(f"searchlight: {message}", file=sys.stderr)


def usage(message: str) -> NoReturn:
    """Report a usage error and end the program."""
    say(message)
    raise SystemExit(2)


def pictures_of(named: Iterable[str], out: str | None = None) -> list[Path]:
    """The files named, and those below the folders named, each once, in a fixed order; what is skipped is reported."""
    from viz.picture_files import pictures_below, skipped

    found: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for item in named:
        inside: Sequence[Path] = (Path(item),)
        if Path(item).is_dir():
            below = pictures_below(Path(item), None if out is None else Path(out))
            inside = below.pictures
            others |= {os.path.realpath(p): p for p in below.others}
            for note in below.notes:
                say(note)
            if not inside:
                why = f"; {skipped(below.others)}" if below.others else ""
                raise PictureError(f"The folder {item} contains no pictures{why}.")
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    # One that was named itself is not skipped.
    if left := [path for real, path in others.items() if real not in found]:
        say(f"{skipped(left)}.")
    return list(found.values())
