"""Captured values that act as gates, and their replacements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from viz.capture.probe import Edit, Probe, capture, probes_of
from viz.core.record import match
from viz.environment import plain_torch
from viz.errors import ProbeError
from viz.families.family import family_of
from viz.measures.faithfulness.passes import Passes
from viz.models.networks.base import StepNetwork

Key = tuple[str, int]
Values = Mapping[Key, Tensor]


def gate_values(passes: Passes, x: Tensor, probes: Sequence[str] | None = None) -> dict[Key, Tensor]:
    """Gate values of a batch by (full probe name, step), float32 on the CPU, batch first, up to the step of `passes`.

    Empty where the network has no gate, or none fires up to that step.

    Args:
        x: (N, 3, h, w). probes: names, labels or globs; None takes the family's gates.

    Raises:
        ProbeError: a requested probe does not exist, or does not fire up to that step.
    """
    family, known = family_of(passes.network.family), list(probes_of(passes.network))
    wanted = family.gates + family.optional_gates if probes is None else probes
    names = [name for label in wanted for name in match(known, label)]
    for label in probes or ():
        if not match(known, label):
            raise ProbeError(f"This network has no probe {label!r}.")
    found: dict[Key, list[Tensor]] = {}
    for part in torch.split(x, passes.batch) if names else ():
        with torch.inference_mode(), passes.alone(), capture(passes.network) as sink:
            passes.network(part.to(passes.device, passes.dtype), passes.step)
        for tap, step, value in sink.batches:
            if tap.name in names and step <= passes.step:
                found.setdefault((tap.name, step), []).append(value)
    fired = list(dict.fromkeys(name for name, _ in found))
    for label in probes or ():
        if not match(fired, label):
            raise ProbeError(f"The probe {label!r} does not fire up to step {passes.step}.")
    return {key: torch.cat(values) for key, values in found.items()}


def input_keys(x: Tensor) -> tuple[str, ...]:
    """A fingerprint of each input of a batch, to exclude a picture from its own comparison."""
    return tuple(hashlib.sha256(item.float().cpu().contiguous().numpy().tobytes()).hexdigest() for item in x)


@dataclass(frozen=True, eq=False)
class GateBank:
    """Gate values of other pictures.

    Attributes:
        label: what these pictures are, in words. count: number of pictures behind the means.
        means: (1, ...) by (full probe name, step).
        examples: values of the first pictures, (M, ...). keys: fingerprints of the examples' inputs.
    """

    label: str
    count: int
    means: Values = field(repr=False)
    examples: Values = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Full names of its probes."""
        return tuple(dict.fromkeys(name for name, _ in self.means))


@plain_torch()
def gate_bank(
    passes: Passes,
    inputs: Iterable[Tensor],
    label: str,
    probes: Sequence[str] | None = None,
    *,
    examples: int = 12,
) -> GateBank:
    """Means and examples of the gates over a stream of batches (N, 3, h, w); memory does not grow with its length.

    Args:
        label: what the pictures are, such as ``the bundled samples``. probes: as in `gate_values`.
        examples: number of the first pictures that are kept as "another picture".
    """
    sums: dict[Key, Tensor] = {}
    kept: dict[Key, list[Tensor]] = {}
    keys: tuple[str, ...] = ()
    count = 0
    for x in inputs:
        count += len(x)
        room = examples - len(keys)
        keys += input_keys(x[:room]) if room > 0 else ()
        for key, value in gate_values(passes, x, probes).items():
            total = value.sum(dim=0, keepdim=True, dtype=torch.float64)
            sums[key] = sums[key] + total if key in sums else total
            if room > 0:
                kept.setdefault(key, []).append(value[:room])
    means = {key: (total / count).to(torch.float32) for key, total in sums.items()}
    return GateBank(label, count, means, {key: torch.cat(values) for key, values in kept.items()}, keys)


def neutral_edits(network: StepNetwork, names: Sequence[str]) -> dict[str, Edit] | None:
    """Edits to the values that jointly make the network plain; None where there are none."""
    values = network.joint_neutral(names)
    if values is None:
        return None

    def edit_of(neutral: float) -> Edit:
        return lambda value, step: torch.full_like(value, neutral)

    return {name: edit_of(value) for name, value in values.items()}


def flat_edits(network: StepNetwork, names: Sequence[str]) -> dict[str, Edit]:
    """Edits to a gate's own mean, over the channels of a channel gate, else over places: its strength without its
    pattern."""
    known = probes_of(network)

    def edit_of(probe: Probe) -> Edit:
        axes = (1,) if probe.tap.is_vector else (-2, -1)
        return lambda value, step: value.mean(dim=axes, keepdim=True).expand_as(value)

    return {name: edit_of(known[name]) for name in names}


def fixed_edits(values: Values, names: Sequence[str]) -> dict[str, Edit]:
    """Edits to given values (1, ...) of each step; a step without one keeps its own value."""

    def edit_of(name: str) -> Edit:
        def edit(value: Tensor, step: int) -> Tensor:
            other = values.get((name, step))
            return value if other is None else other.to(value).expand_as(value)

        return edit

    return {name: edit_of(name) for name in names}
