"""Where a map comes from: a function ``(network, x, classes) -> (N, h, w)``, the same for every control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from viz.attention.probe import AttentionRecord, capture, match
from viz.attribution import attribute
from viz.errors import ProbeError, VizError
from viz.geometry import Geometry
from viz.kernels import facts_of, strengths_of
from viz.networks.base import StepNetwork
from viz.parts import derive, split_name
from viz.sources import MapSource, of_family, parse_source

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


def source_of(text: str, step: int, family: str | None = None) -> Source:
    """A source by its word.

    Args:
        text: as `viz.sources.parse_source` reads it: ``cam``, ``attention:spatial_gate``, ``attention:mean(bottom)``,
            ``gradcam``, ``centre_gaussian``, ...; an attribution method may also be written ``attribution:METHOD``.
        step: 1-based, for a word that names no step of its own.
        family: of the network, for ``attention`` alone: the family's own map.

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
    return Source(asked.text, _attribution(asked.name, step), step)


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
        strengths = strengths_of(facts_of(network))
        height, width = int(x.shape[2]), int(x.shape[3])
        whole = (0.0, 0.0, float(width), float(height))
        geometry = Geometry("squash", (height, width), (height, width), whole, whole)
        return torch.stack([_one(sink.records(i), asked, step, geometry, strengths) for i in range(len(x))])

    return function


def _one(
    records: tuple[AttentionRecord, ...],
    asked: MapSource,
    step: int,
    geometry: Geometry,
    strengths: dict[str, float],
) -> Tensor:
    """The value in force at the step: that of the latest step up to it, of the deepest module that matches."""
    probe, part = split_name(asked.name)
    channel = asked.channel
    up_to = [r for r in records if r.step <= step]
    names = match(list(dict.fromkeys(r.name for r in up_to)), probe)
    if not names:
        have = ", ".join(dict.fromkeys(r.label for r in up_to)) or "none"
        raise ProbeError(f"No probe {probe!r} has a value up to step {step}; there are: {have}.")
    record = max((r for r in up_to if r.name == names[-1]), key=lambda r: r.step)
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


def _attribution(method: str, step: int) -> MapFunction:
    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        return attribute(network, _like(network, x), classes, method, step=step)

    return function
