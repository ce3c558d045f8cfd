"""Maps as functions ``(network, x, classes) -> (N, h, w)``, for every control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from viz.attribution import AttributionOptions, attribute
from viz.capture.probe import capture, probes_of
from viz.core.card import class_number
from viz.core.derived import derive
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS
from viz.core.output import output_type
from viz.core.outputs.class_scores import ClassScores
from viz.core.outputs.dense_classes import DenseClasses
from viz.core.record import Record, match
from viz.core.target import CellsTarget
from viz.core.words import words
from viz.errors import ModelError, ProbeError, VizError
from viz.families.family import family_of
from viz.geometry import Geometry, Preprocessing
from viz.models.networks.base import StepNetwork

MapFunction = Callable[[StepNetwork, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Source:
    """A map to test.

    Attributes:
        name: its specification. step: computation step that it belongs to.
        function: (network, x (N, 3, h, w), classes (N,)) to maps (N, h', w'), float32 on the CPU or x's device.
    """

    name: str
    function: MapFunction = field(repr=False)
    step: int

    def __call__(self, network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        """Maps float32 (N, h', w') on the CPU, detached."""
        maps = self.function(network, x, classes).detach().to("cpu", torch.float32)
        if maps.ndim != 3 or len(maps) != len(x):
            raise VizError(f"The map {self.name} has shape {tuple(maps.shape)}; it must be one map (h, w) per picture.")
        return maps


def source_of(
    text: str | MapSpec,
    step: int,
    family: str | None = None,
    *,
    steps: int | None = None,
    labels: Sequence[str] = (),
    options: AttributionOptions = DEFAULT_OPTIONS,
    preprocessing: Preprocessing | None = None,
    cells: tuple[int, ...] | None = None,
) -> Source:
    """A map to test.

    Args:
        text: see `viz.core.map_spec`.
        step: 1-based, for a map without a step of its own: a captured value is then the latest one up to that step. A
            map with a step is the value of exactly that step, as in `Trace.record`.
        family: of the network, for ``attention``. steps: of the network, for steps counted from the last.
        labels: of the network's classes, for a class by name.
        options: of attributions; their baseline ``black`` needs `preprocessing`.
        cells: of a dense answer, those that attributions explain; None means all.

    Raises:
        MapError: not a map. VizError: the network does not have it, or it does not rank pixels.
    """
    asked = parse(text)
    if asked.region is not None:
        raise VizError("Give the region as the argument `region`, not in the map.")
    if asked.kind == "attention":
        own = family_of(family).own
        if own is None:
            raise VizError("This network has no attention map of its own; choose a tap, or try `cam`.")
        asked = replace(own, channel=asked.channel, step=asked.step)
    if asked.step < -1:
        if steps is None or -asked.step > steps:
            raise ModelError(f"This network has no step {asked.step}; count from 1, or from -1 (the last).")
        asked = asked.at(steps + 1 + asked.step)
    step = step if asked.step == -1 else asked.step
    if asked.kind == "attribution":
        made: MapFunction = partial(
            _attribution, asked=asked, step=step, options=options, preprocessing=preprocessing, cells=cells
        )
    else:
        made = _function(asked, step)
    if asked.cls is not None:
        number = class_number(labels, asked.cls) if isinstance(asked.cls, str) else asked.cls
        made = partial(_of_class, function=made, cls=number)
    return Source(str(asked), made, step)


def _function(asked: MapSpec, step: int) -> MapFunction:
    """The function of a map that is not an attribution."""
    if asked.kind == "baseline":
        if asked.name != "centre_gaussian":
            raise VizError(f"{words(asked)} does not rank pixels; use centre_gaussian.".capitalize())
        return _centre
    if asked.kind == "feature":
        return partial(_feature, channel=asked.channel or 0, step=step)
    if asked.kind in ("tap", "derived"):
        return partial(_captured, asked=asked, step=step)
    return partial(_class_map, step=step) if asked.kind == "cam" else partial(_answer, asked=asked, step=step)


def centre(x: Tensor, size: int = 28) -> Tensor:
    """A centre Gaussian with a standard deviation of a quarter of the side, (N, size, size)."""
    axis = (torch.arange(size, dtype=torch.float32) + 0.5) / size - 0.5
    bell = torch.exp(-(axis**2) / (2 * 0.25**2))
    return (bell[:, None] * bell[None, :]).expand(len(x), size, size)


def _centre(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
    return centre(x)


def _of_class(network: StepNetwork, x: Tensor, classes: Tensor, *, function: MapFunction, cls: int) -> Tensor:
    """The map of one class, whichever class is asked for."""
    return function(network, x, torch.full_like(classes, cls))


def _placed(network: StepNetwork, x: Tensor) -> Tensor:
    """x on the network's device and in its number format."""
    return x.to(next(network.parameters()))


@torch.inference_mode()
def _features(network: StepNetwork, x: Tensor, step: int) -> Tensor:
    return network.forward_steps(_placed(network, x), step)[-1].class_features.float()


@torch.inference_mode()
def _class_map(network: StepNetwork, x: Tensor, classes: Tensor, *, step: int) -> Tensor:
    features, weights = _features(network, x, step), network.class_weights()
    if weights is None:
        raise ModelError(
            "This network has no linear classifier over pooled features, so it has no class activation map."
        )
    return torch.einsum("nc,nchw->nhw", weights.to(features)[classes.to(features.device)], features)


def _feature(network: StepNetwork, x: Tensor, classes: Tensor, *, channel: int, step: int) -> Tensor:
    features = _features(network, x, step)
    if channel >= features.shape[1]:
        raise ModelError(f"This network's features have channels 0 to {features.shape[1] - 1}, not {channel}.")
    return features[:, channel]


def _captured(network: StepNetwork, x: Tensor, classes: Tensor, *, asked: MapSpec, step: int) -> Tensor:
    """A captured value, or a map derived from it."""
    with torch.inference_mode(), capture(network) as sink:
        network(_placed(network, x), step)
    known = list(probes_of(network))
    height, width = int(x.shape[2]), int(x.shape[3])
    whole = (0.0, 0.0, float(width), float(height))
    geometry = Geometry("squash", (height, width), (height, width), whole, whole)
    maps = []
    for i in range(len(x)):
        up_to = [r for r in sink.records(i) if r.step <= step]
        maps.append(_one(up_to, _record(up_to, known, asked, step), asked, geometry))
    return torch.stack(maps)


def _record(records: Sequence[Record], known: list[str], asked: MapSpec, step: int) -> Record:
    """The record of the deepest matching module: of the map's own step, else the latest up to `step`."""
    probe, exact = asked.probe or "", asked.step != -1
    names = match(known if exact else list(dict.fromkeys(r.name for r in records)), probe)
    if not names:
        have = ", ".join(dict.fromkeys(r.label for r in records)) or "none"
        raise ProbeError(f"No probe {probe!r} has a value up to step {step}; these have: {have}.")
    found = [r for r in records if r.name == names[-1] and (r.step == step or not exact)]
    if not found:
        raise ProbeError(f"{names[-1]} has no value at step {step}.")
    return max(found, key=lambda r: r.step)


def _one(up_to: Sequence[Record], record: Record, asked: MapSpec, geometry: Geometry) -> Tensor:
    """The map of a record, or the map derived from it and the others."""
    channel, values = asked.channel, record.values
    if asked.kind == "derived":
        values = derive(up_to, record, asked.name, geometry, channel=channel).native
    elif values.ndim == 3 and channel is not None:
        if channel >= len(values):
            raise ProbeError(f"{record.name} has channels 0 to {len(values) - 1}, not {channel}.")
        values = values[channel]
    elif not record.tap.is_map:
        raise ProbeError(f"{record.name} is of kind {record.kind}, not one map; try mean({record.label}).")
    return torch.from_numpy(values.copy())


def _attribution(
    network: StepNetwork,
    x: Tensor,
    classes: Tensor,
    *,
    asked: MapSpec,
    step: int,
    options: AttributionOptions,
    preprocessing: Preprocessing | None,
    cells: tuple[int, ...] | None,
) -> Tensor:
    whole, x = output_type(network.output) is ClassScores, _placed(network, x)
    targets = classes if whole else [CellsTarget(cells, int(c)) for c in classes]
    return attribute(network, x, targets, asked, step=step, options=options, preprocessing=preprocessing)


def _answer(network: StepNetwork, x: Tensor, classes: Tensor, *, asked: MapSpec, step: int) -> Tensor:
    """The score or the probability of the class at each cell of a dense answer."""
    kind = output_type(network.output)
    if kind is not DenseClasses:
        raise ModelError(f"This network predicts {kind.words}; it has no map {asked.name}.")
    with torch.inference_mode():
        answer = network(_placed(network, x), step).float()
    maps = answer.softmax(dim=1) if asked.name == "probability" else answer
    return maps[torch.arange(len(x)), classes.to(maps.device)]
