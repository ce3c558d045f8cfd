"""`evaluate`: models, sources of maps and a data set in; the table that a paper needs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from viz.attribution import AttributionOptions
from viz.capture.probe import probes_of
from viz.core.card import class_number
from viz.core.map_spec import MapSpec
from viz.core.record import match
from viz.datasets import Dataset
from viz.environment import plain_torch
from viz.errors import ModelError, ProbeError, VizError
from viz.families.family import family_of
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.runner import Begin, run
from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
from viz.measures.localization.described import Setting
from viz.measures.localization.options import Options
from viz.measures.localization.results import Result
from viz.measures.localization.summary import summarise
from viz.measures.localization.task import EvaluationTask
from viz.measures.localization.tuning import SPLITS, Tuning
from viz.picture import open_picture
from viz.run.engine import Model, load, pick_device, versions

# What the labels of a data set are read as.
IMAGENET = 1000
NO_MAP = "it has no such map"


@dataclass(frozen=True, eq=False)
class Plan:
    """An evaluation before its first picture.

    Attributes:
        setting: models' cards, data, options, tuning. models: their names or files.
        sources: for each model what is read of it. left_out: (model, source, why).
    """

    setting: Setting
    models: tuple[str, ...]
    sources: tuple[tuple[tuple[str, MapSpec], ...], ...]
    left_out: tuple[tuple[str, str, str], ...]
    device: str
    models_folder: str | None = None

    def task(self, readers: int = 0) -> EvaluationTask:
        """The plan as a task for `viz.measures.jobs.runner.run`."""
        return EvaluationTask(
            self.models,
            [card.sha256 for card in self.setting.cards],
            self.sources,
            self.setting.data,
            self.setting.options,
            device=self.device,
            models_folder=self.models_folder,
            readers=readers,
        )


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
    """Check an evaluation: every model loads, every source is there, the data can be tuned on.

    Args:
        tune_on: another split, for thresholds. tuning: default ``split`` where `tune_on` is given, else
            ``cross-validated``. folds: of the cross-validation. splits: random splits into folds that its numbers are
            the mean over.

    Raises:
        VizError and its kinds: one sentence each.
    """
    if not models or len(set(models)) != len(models):
        raise VizError("An evaluation needs at least one model, and each of them once.")
    chosen: Tuning = tuning or ("split" if tune_on is not None else "cross-validated")
    if (chosen == "split") != (tune_on is not None):
        raise VizError("Thresholds are tuned on another split where one is given, and only there.")
    if options.classes == "label" and any(s.needs_class for s in options.sources):
        # Every row is over the same samples; what is left out is counted among the problems of the index.
        data, tune_on = _with_classes(data), None if tune_on is None else _with_classes(tune_on)
    _check_data(data, tune_on)
    if not any(s.boxes for s in data):  # PxAP needs no threshold
        folds = min(folds, data.pictures)
    elif chosen == "cross-validated" and not 2 <= folds <= data.pictures:
        raise VizError(_folds(folds, data.pictures))
    if not 1 <= splits <= 1000:
        raise VizError(f"The number of splits must lie between 1 and 1000, not {splits}.")
    target = str(pick_device(device))
    cards, sources, left_out = [], [], []
    for name in models:
        model = load(name, target, precision=options.precision, models=models_folder)
        cards.append(model.card)
        classes = len(model.head.labels)
        if options.classes == "label" and classes != IMAGENET:
            raise VizError(
                f"{model.card.name} answers {classes} classes, but labels are read as the {IMAGENET} ImageNet classes; "
                "evaluate it with the predicted class."
            )
        found, missing = _sources_of(options.sources, model)
        sources.append(found)
        left_out += [(model.card.name, text, why) for text, why in missing]
    for source in options.sources:
        if all((card.name, str(source), NO_MAP) in left_out for card in cards):
            raise ProbeError(f"None of the models has {source}.")
    both = (data, *([] if tune_on is None else [tune_on]))
    setting = Setting(tuple(cards), both, options, chosen, folds, target.partition(":")[0], splits)
    return Plan(setting, tuple(models), tuple(sources), tuple(left_out), target, models_folder)


def _folds(folds: int, pictures: int) -> str:
    if pictures < 2:
        return "One picture cannot be cross-validated; tune on another split (--tune-on), or --same-pictures."
    return f"Cross-validation needs 2 to {pictures} folds, one a picture at most; give --folds, not {folds}."


def _with_classes(data: Dataset) -> Dataset:
    kept = data.with_classes()
    if len(data) and not len(kept):
        raise VizError(
            f"No label of {data.name} is a class of the networks; choose attention as source, or the predicted class."
        )
    return kept


def _check_data(data: Dataset, tune_on: Dataset | None) -> None:
    for one in (data, tune_on):
        if one is None:
            continue
        if not len(one):
            raise VizError(f"The data set {one.name} has no sample" + (f" in {one.split}." if one.split else "."))
        if not any(s.boxes or s.mask is not None for s in one):
            split = f" has in its split {one.split}" if one.split else " has"
            raise VizError(
                f"The data set {one.name}{split} neither boxes nor masks, so nothing can be localized in it."
            )
    if tune_on is not None and {s.group for s in data} & {s.group for s in tune_on}:
        raise VizError("The split that thresholds are tuned on shares pictures with the one that is reported.")


def _sources_of(
    asked: Sequence[MapSpec], model: Model
) -> tuple[tuple[tuple[str, MapSpec], ...], list[tuple[str, str]]]:
    """What a model has of the sources, each map once, and (source, why) of the others."""
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
    """The source as this model has it, or None where it does not."""
    own = family_of(model.network.family).own
    if source.kind == "attention" and own is None:
        return None
    found = source if own is None or source.kind != "attention" else own.at(source.step)
    steps = model.network.steps
    if not -steps <= found.step <= steps:
        return None
    names = list(probes_of(model.network))
    if found.probe is not None and not match(names, found.probe):
        return None
    if found.cls is not None and not _has_class(model, found.cls):
        return None
    if found.probe is not None or found.kind == "feature":
        try:
            _tried(found, model)
        except (ModelError, ProbeError):
            return None
    return found


def _has_class(model: Model, cls: int | str) -> bool:
    try:
        class_number(model.head.labels, cls)
    except ModelError:
        return False
    return True


def _tried(source: MapSpec, model: Model) -> None:
    """Ask for the map of a grey picture: a value that does not exist at a step is told before hours of work.

    Raises:
        ProbeError: the model does not have it.
    """
    grey = open_picture(np.full((64, 64, 3), 127, np.uint8))
    x, geometries = prepare_all(model, [grey])
    traces = trace_batch(model, [grey], x, geometries, probes=probes_for([source]))
    quick = AttributionOptions(n_steps=1)
    native_maps(model, source, traces, x=x, classes=[0], options=quick)


def some_of(data: Dataset, count: int) -> Dataset:
    """`count` of the samples, chosen by a hash of their names: the same ones every time, from all over the set."""
    if count < 1:
        raise VizError(f"At least one sample must be kept, not {count}.")
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
    """Run a plan, or go on where an earlier run stopped, and summarise.

    The number of threads is set for the whole process, as sums of a network differ in their last digits with it.

    Args:
        folder: where finished rows are kept. processes: who this process is; default alone.
        begin: makes the progress bar, see `viz.measures.jobs.runner.run`. readers: threads that open pictures ahead.

    Returns:
        The result on the first process, None on the others.
    """
    me = processes or Processes()
    torch.set_num_threads(made.setting.options.threads)
    task = made.task(readers)
    journal = run(task, folder, processes=me, device=torch.device(made.device), begin=begin, check=task.check)
    return summarise(journal, made.setting, versions()) if me.first else None
