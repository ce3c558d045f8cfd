"""`evaluate`: from models, maps and a data set to the numbers of a paper's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from viz.attribution import AttributionOptions
from viz.core.card import class_number
from viz.core.map_spec import MapSpec
from viz.datasets import Dataset
from viz.environment import plain_torch
from viz.errors import ModelError, ProbeError, VizError
from viz.families.family import family_of
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.runner import Begin, run
from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
from viz.measures.localization.options import Maps, Options, Plan
from viz.measures.localization.results import Result
from viz.measures.localization.summary import summarise
from viz.measures.localization.task import EvaluationTask
from viz.measures.localization.tuning import SPLITS, Tuning
from viz.picture import open_picture
from viz.run.engine import Engine, Model, pick_device, versions

# Labels of a data set are read as ImageNet classes.
IMAGENET = 1000
NO_MAP = "it has no such map"


@plain_torch()
def plan(
    models: Sequence[str],
    data: Dataset,
    options: Options,
    *,
    tune_on: Dataset | None = None,
    tuning: Tuning | None = None,
    folds: int = 5,
    splits: int = SPLITS,
    device: str = "auto",
    models_folder: str | None = None,
) -> Plan:
    """Check an evaluation: every model loads, every map exists, thresholds can be tuned on the data.

    Args:
        tune_on: another split, for thresholds. tuning: default ``split`` where `tune_on` is given, else
            ``cross-validated``. folds: of the cross-validation. splits: random splits into folds to average over.

    Raises:
        VizError and its kinds: one sentence each.
    """
    if not models or len(set(models)) != len(models):
        raise VizError("Specify at least one model, without duplicates.")
    chosen: Tuning = tuning or ("split" if tune_on is not None else "cross-validated")
    if (chosen == "split") != (tune_on is not None):
        raise VizError("Give another split to tune thresholds on exactly when the tuning is 'split'.")
    if options.classes == "label" and any(s.needs_class for s in options.sources):
        # Every row is over the same samples; samples left out here are counted among the problems of the index.
        data, tune_on = _with_classes(data), None if tune_on is None else _with_classes(tune_on)
    _check_data(data, tune_on)
    if not any(s.boxes for s in data):  # PxAP needs no threshold
        folds = min(folds, data.pictures)
    elif chosen == "cross-validated" and data.pictures < 2:
        raise VizError("One picture cannot be cross-validated; use --tune-on with another split, or --same-pictures.")
    elif chosen == "cross-validated" and not 2 <= folds <= data.pictures:
        raise VizError(f"Cross-validation of {data.pictures} pictures needs 2 to {data.pictures} folds, not {folds}.")
    if not 1 <= splits <= 1000:
        raise VizError(f"The number of splits must lie between 1 and 1000, not {splits}.")
    engine = Engine(str(pick_device(device)), options.precision, models_folder)
    cards, sources, left_out = [], [], []
    for name in models:
        model = engine.model(name)
        cards.append(model.card)
        classes = len(model.labels)
        if options.classes == "label" and classes != IMAGENET:
            raise VizError(
                f"{model.card.name} has {classes} classes, but labels are read as the {IMAGENET} ImageNet classes; "
                "evaluate it with the predicted class."
            )
        found, missing = _maps_of(options.sources, model)
        sources.append(found)
        left_out += [(model.card.name, text, why) for text, why in missing]
    for source in options.sources:
        if all((card.name, str(source), NO_MAP) in left_out for card in cards):
            raise ProbeError(f"None of the models has {source}.")
    both = (data, *([] if tune_on is None else [tune_on]))
    if chosen != "cross-validated":
        folds = splits = 1
    return Plan(
        tuple(models), tuple(cards), tuple(sources), tuple(left_out), both, options, chosen, folds, splits, engine
    )


def _with_classes(data: Dataset) -> Dataset:
    kept = data.with_classes()
    if len(data) and not len(kept):
        raise VizError(
            f"No label of {data.name} is a class of the networks; evaluate `attention`, or use the predicted class."
        )
    return kept


def _check_data(data: Dataset, tune_on: Dataset | None) -> None:
    for one in (data, tune_on):
        if one is None:
            continue
        name = f"The split {one.split} of the data set {one.name}" if one.split else f"The data set {one.name}"
        if not len(one):
            raise VizError(f"{name} has no samples.")
        if not any(s.boxes or s.mask is not None for s in one):
            raise VizError(f"{name} has neither boxes nor masks, so localization cannot be evaluated.")
    if tune_on is not None and {s.group for s in data} & {s.group for s in tune_on}:
        raise VizError("The split that thresholds are tuned on shares pictures with the reported one.")


def _maps_of(asked: Sequence[MapSpec], model: Model) -> tuple[Maps, list[tuple[str, str]]]:
    """The maps that a model has, without duplicates, and (map, why) of the others."""
    found: dict[MapSpec, tuple[str, MapSpec]] = {}
    missing = []
    for source in asked:
        one = _of_model(source, model)
        if one is None:
            missing.append((str(source), NO_MAP))
            continue
        same = one.at(one.step if one.step > 0 else model.network.steps + 1 + one.step)
        if same in found:
            missing.append((str(source), f"it is the same as {found[same][0]} here"))
        else:
            found[same] = (str(source), one)
    return tuple(found.values()), missing


def _of_model(source: MapSpec, model: Model) -> MapSpec | None:
    """The map as this model has it; None where it does not exist."""
    own, steps = family_of(model.network.family).own, model.network.steps
    if source.kind == "attention":
        if own is None:
            return None
        source = own.at(source.step)
    if not -steps <= source.step <= steps:
        return None
    try:
        if source.cls is not None:
            class_number(model.labels, source.cls)
        if source.probe is not None or source.kind == "feature":
            _try(source, model)
    except (ModelError, ProbeError):
        return None
    return source


def _try(source: MapSpec, model: Model) -> None:
    """Compute the map of a grey picture, so that a missing value is reported before hours of work.

    Raises:
        ModelError, ProbeError: the model does not have it.
    """
    grey = open_picture(np.full((64, 64, 3), 127, np.uint8))
    x, geometries = prepare_all(model, [grey])
    traces = trace_batch(model, [grey], x, geometries, probes=probes_for([source]))
    native_maps(model, source, traces, x=x, classes=[0], options=AttributionOptions(n_steps=1))


def some_of(data: Dataset, count: int) -> Dataset:
    """`count` samples, chosen by a hash of their names: reproducible, and from all over the set."""
    if count < 1:
        raise VizError(f"The number of samples must be at least 1, not {count}.")
    order = sorted(data, key=lambda s: sha256(s.id.encode("utf-8", "replace")).digest())[:count]
    if len(order) == len(data):
        return data
    return replace(data, samples=tuple(sorted(order, key=lambda s: s.index)), whole=data.whole or len(data))


@plain_torch()
def evaluate(
    made: Plan,
    folder: Path,
    *,
    processes: Processes | None = None,
    begin: Begin | None = None,
    readers: int = 0,
) -> Result | None:
    """Run a plan, or resume an interrupted run, and summarise it.

    The number of threads is set for the whole process, as a network's sums differ in their last digits with it.

    Args:
        folder: of the finished rows. processes: default one process.
        begin: makes the progress bar, see `viz.measures.jobs.runner.run`. readers: threads that read pictures ahead.

    Returns:
        The result on the first process, None on the others.
    """
    me = processes or Processes()
    torch.set_num_threads(made.options.threads)
    journal = run(EvaluationTask(made, readers), folder, processes=me, device=torch.device(made.device), begin=begin)
    return summarise(journal, made, versions()) if me.first else None
