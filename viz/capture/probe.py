"""Probes: identity modules around the values to show, and the sinks that copy them.

A probe adds no parameter, no buffer and no state_dict key, so original checkpoints load strictly. It reports to the
sink found in a `ContextVar`: nothing is registered on the model, nothing can be left behind, and two threads that run
the same model at once each see only their own values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from viz.core.record import Axes, Record, Tap, match
from viz.errors import ProbeError

Edit = Callable[[Tensor, int], Tensor]


class Probe(nn.Module):
    """Identity around one value of an attention module.

    Args:
        family: family of the module that holds the probe.
        axes: axes of the value after the batch, see `viz.core.record`.
        label: name of the value, the same word in every family.
        facts: further fields of its `Tap`, but for the neutral value: that depends on the network around the module,
            often on learned numbers, and is given by `viz.models.networks.base.StepNetwork.neutrals`.
    """

    def __init__(self, family: str, axes: Axes, label: str, **facts: Any) -> None:
        super().__init__()
        self.tap = Tap("", label, family, axes, **facts)

    @property
    def label(self) -> str:
        """Name of the value."""
        return self.tap.label

    def forward(self, value: Tensor, step: int = 1) -> Tensor:
        """Return `value` (batch first), unchanged unless an edit is active; report it to the sink of this context."""
        edits = _EDITS.get()
        edit = None if edits is None else edits.get(id(self))
        if edit is not None:
            value = edit(value, step)
        sink = _SINK.get()
        if sink is not None:
            sink.take(self, value, step)
        return value

    def extra_repr(self) -> str:
        return f"{self.tap.kind} {self.label}"


@dataclass
class Sink:
    """Collects copies of probed values during one forward pass.

    `taps` maps ``id(probe)`` to its tap; only these probes are copied. `batches` keeps, in order of firing, tap, step
    and a float32 CPU copy with the batch first.
    """

    taps: Mapping[int, Tap]
    batches: list[tuple[Tap, int, Tensor]] = field(default_factory=list)

    def take(self, probe: Probe, value: Tensor, step: int) -> None:
        """Copy a value (batch first) if its probe is to be captured."""
        tap = self.taps.get(id(probe))
        if tap is not None:
            self.batches.append((tap, step, value.detach().to("cpu", torch.float32, copy=True)))

    def records(self, item: int = 0) -> tuple[Record, ...]:
        """Records of one picture of the batch, in order of firing."""
        return tuple(Record(tap, step, np.array(v[item].numpy())) for tap, step, v in self.batches)


_SINK: ContextVar[Sink | None] = ContextVar("searchlight_sink", default=None)
_EDITS: ContextVar[Mapping[int, Edit] | None] = ContextVar("searchlight_edits", default=None)


def probes_of(network: nn.Module) -> dict[str, Probe]:
    """All probes of a network by their full name: the path of their module and their label."""
    found: dict[str, Probe] = {}
    for path, module in network.named_modules():
        if isinstance(module, Probe):
            parent = path.rpartition(".")[0]
            found[f"{parent}.{module.label}" if parent else module.label] = module
    return found


def taps_of(network: nn.Module) -> dict[str, Tap]:
    """The taps of all probes by their full name, with the current values of learned numbers.

    Raises:
        KeyError: the network gives a neutral value to a probe that it does not have.
    """
    modules = dict(network.named_modules())
    found = {}
    for name, probe in probes_of(network).items():
        path = name.rpartition(".")[0]
        # Learned factor on the message of its module, where it has one.
        strength = getattr(modules[path], "strength", None)
        found[name] = replace(probe.tap, path=path, strength=None if strength is None else float(strength.detach()))
    # Only a `StepNetwork` gives neutral values.
    for name, neutral in getattr(network, "neutrals", dict)().items():
        found[name] = replace(found[name], neutral=neutral)
    return found


def _select(network: nn.Module, patterns: Sequence[str]) -> dict[str, list[str]]:
    known = list(probes_of(network))
    chosen = {pattern: match(known, pattern) for pattern in patterns}
    for pattern, names in chosen.items():
        if not names:
            have = ", ".join(sorted({n.rpartition(".")[2] for n in known})) or "none"
            raise ProbeError(f"This network has no probe {pattern!r}; its probes are: {have}.")
    return chosen


@contextmanager
def capture(network: nn.Module, patterns: Sequence[str] | None = None) -> Iterator[Sink]:
    """Copy the values at the probes of `network` while the block runs, in this thread or task only.

    Args:
        network: the network whose forward is called inside the block.
        patterns: full names, labels or globs; None captures every probe that fires.

    Raises:
        ProbeError: a pattern matches no probe, or a requested probe did not fire.
    """
    known = probes_of(network)
    chosen = None if patterns is None else _select(network, patterns)
    names = known if chosen is None else {n: known[n] for found in chosen.values() for n in found}
    taps = taps_of(network)
    sink = Sink({id(probe): taps[name] for name, probe in names.items()})
    token = _SINK.set(sink)
    try:
        yield sink
    finally:
        _SINK.reset(token)
    if chosen is not None:
        fired = {tap.name for tap, _, _ in sink.batches}
        for pattern, found in chosen.items():
            silent = [n for n in found if n not in fired]
            if silent:
                raise ProbeError(f"The probe {silent[0]!r} (requested as {pattern!r}) did not fire in this pass.")


@contextmanager
def muted() -> Iterator[None]:
    """Silence all probes while the block runs (for passes that repeat a stage)."""
    token = _SINK.set(None)
    try:
        yield
    finally:
        _SINK.reset(token)


@contextmanager
def edited(network: nn.Module, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Replace probed values while the block runs: ``edits[pattern](value, step) -> value``, batch first.

    Raises:
        ProbeError: a pattern matches no probe.
    """
    known = probes_of(network)
    chosen = _select(network, list(edits))
    table = {id(known[name]): edits[pattern] for pattern, names in chosen.items() for name in names}
    token = _EDITS.set(table)
    try:
        yield
    finally:
        _EDITS.reset(token)


def listening(probe: Probe) -> bool:
    """Whether a capture or an edit of this thread or task needs the value at `probe`."""
    edits, sink = _EDITS.get(), _SINK.get()
    return (edits is not None and id(probe) in edits) or (sink is not None and id(probe) in sink.taps)
