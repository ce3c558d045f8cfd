"""Where a map comes from: a function ``(network, x, classes) -> (N, h, w)``, the same for every control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from viz.attribution import AttributionOptions, attribute
from viz.attribution.methods import DEFAULT_OPTIONS
from viz.capture.probe import AttentionRecord, capture, match, probes_of
from viz.core.derived import derive, split_name
from viz.core.kernels import facts_of, strengths_of
from viz.core.sources import MapSource, of_family, parse_source
from viz.errors import ProbeError, VizError
from viz.geometry import Geometry, Preprocessing
from viz.models.networks.base import StepNetwork

MapFunction = Callable[[StepNetwork, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Source:
    """A map to be tested.

    Attributes:
        name: as it is asked for, see `source_of`.
        function: (network, x (N, 3, h, w), classes (N,)) to maps (N, h', w'), float32 on the CPU or x's device.
        step: computation step the map belongs to.
    """

    name: str
    function: MapFunction = field(repr=False)
    step: int

    def __call__(self, network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        """Maps float32 (N, h', w') on the CPU, detached."""
        maps = self.function(network, x, classes).detach().to("cpu", torch.float32)
        if maps.ndim != 3 or len(maps) != len(x):
            raise VizError(f"The map {self.name} has shape {tuple(maps.shape)}; one map for each picture is needed.")
        return maps


def source_of(
    text: str,
    step: int,
    family: str | None = None,
    *,
    options: AttributionOptions = DEFAULT_OPTIONS,
    preprocessing: Preprocessing | None = None,
) -> Source:
    """A source by its word.

    Args:
        text: as `parse_source` reads it: ``cam``, ``attention:spatial_gate``, ``attention:mean(bottom)``,
            ``gradcam``, ``centre_gaussian``, ...; an attribution method may also be written ``attribution:METHOD``.
        step: 1-based, for a word that names no step of its own: attention is then the value in force at that step. A
            word with a step asks for the value made at that step, as in `Trace.record`.
        family: of the network, for ``attention`` alone: the family's own map.
        options: of attribution methods; their baseline ``black`` needs `preprocessing`.

    Raises:
        VizError: no such source.
    """
    asked = of_family(parse_source(text.removeprefix("attribution:")), family)
    if asked is None:
        raise VizError("This network has no attention map of its own; name a probe, or use cam.")
    if asked.step < -1:
        raise VizError(f"Give the step of {text[:60]!r} as 1, 2, ...; it is counted from the first here.")
    step = step if asked.step == -1 else asked.step
    if asked.kind == "floor":
        if asked.name != "centre_gaussian":
            raise VizError(f"{asked.words()} puts pixels in no order; use centre_gaussian.".capitalize())
        return Source(asked.text, lambda network, x, classes: centre(x), step)
    if asked.kind == "class map":
        return Source(asked.text, _class_map(step), step)
    if asked.kind == "attention":
        return Source(asked.text, _attention(asked, step), step)
    return Source(asked.text, _attribution(asked.name, step, options, preprocessing), step)


def centre(x: Tensor, size: int = 28) -> Tensor:
    """A Gaussian round the middle with a deviation of a quarter of the side, (N, size, size)."""
    axis = (torch.arange(size, dtype=torch.float32) + 0.5) / size - 0.5
    bell = torch.exp(-(axis**2) / (2 * 0.25**2))
    return (bell[:, None] * bell[None, :]).expand(len(x), size, size)


def _like(network: StepNetwork, x: Tensor) -> Tensor:
    """x where the network lives, in its number format."""
    return x.to(next(network.parameters()))


def _class_map(step: int) -> MapFunction:
    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        with torch.inference_mode():
            features = network.forward_steps(_like(network, x), step)[-1].features.float()
            weights = network.class_weights().to(features)[classes.to(features.device)]
            return torch.einsum("nc,nchw->nhw", weights, features)

    return function


def _attention(asked: MapSource, step: int) -> MapFunction:

    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        with torch.inference_mode(), capture(network) as sink:
            network(_like(network, x), step)
        known = list(probes_of(network))
        strengths = strengths_of(facts_of(network))
        height, width = int(x.shape[2]), int(x.shape[3])
        whole = (0.0, 0.0, float(width), float(height))
        geometry = Geometry("squash", (height, width), (height, width), whole, whole)
        maps = []
        for i in range(len(x)):
            up_to = [r for r in sink.records(i) if r.step <= step]
            maps.append(_one(up_to, _record(up_to, known, asked, step), asked, geometry, strengths))
        return torch.stack(maps)

    return function


def _record(records: Sequence[AttentionRecord], known: list[str], asked: MapSource, step: int) -> AttentionRecord:
    """Of the deepest module that matches: of its own step where one is named, else what is in force at the step."""
    probe, _ = split_name(asked.name)
    exact = asked.step != -1
    names = match(known if exact else list(dict.fromkeys(r.name for r in records)), probe)
    if not names:
        have = ", ".join(dict.fromkeys(r.label for r in records)) or "none"
        raise ProbeError(f"No probe {probe!r} has a value up to step {step}; there are: {have}.")
    found = [r for r in records if r.name == names[-1] and (r.step == step or not exact)]
    if not found:
        raise ProbeError(f"{names[-1]} has no value at step {step}.")
    return max(found, key=lambda r: r.step)


def _one(
    up_to: Sequence[AttentionRecord],
    record: AttentionRecord,
    asked: MapSource,
    geometry: Geometry,
    strengths: dict[str, float],
) -> Tensor:
    """The map of a record, or what follows from it and those beside it."""
    _, part = split_name(asked.name)
    channel = asked.channel
    if part is not None:
        native = derive(up_to, record, part, geometry, channel=channel, strengths=strengths).native
        return torch.from_numpy(native.copy())
    if record.kind in ("joint", "kernel") and channel is not None:
        if channel >= len(record.values):
            raise ProbeError(f"{record.name} has channels 0 to {len(record.values) - 1}, not {channel}.")
        return torch.from_numpy(record.values[channel].copy())
    if record.kind != "spatial":
        raise ProbeError(f"{record.name} is of kind {record.kind}, not one map; write mean({record.label}), say.")
    return torch.from_numpy(record.values.copy())


def _attribution(
    method: str, step: int, options: AttributionOptions, preprocessing: Preprocessing | None
) -> MapFunction:
    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        like = _like(network, x)
        return attribute(network, like, classes, method, step=step, options=options, preprocessing=preprocessing)

    return function
