"""Probes: identity modules around the values worth seeing, and the sinks that copy them.

A probe adds no parameter, no buffer and no state_dict key, so original checkpoints load strictly. It reports to the
sink found in a `ContextVar`: nothing is registered on the model, nothing can be left behind, and two threads that run
the same model at once each see only their own values.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from viz.errors import ProbeError
from viz.read_only import ReadOnlyArrays

Kind = Literal["channel", "spatial", "joint", "kernel"]
Edit = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class AttentionRecord(ReadOnlyArrays):
    """One captured value of one picture.

    Attributes:
        path: dotted path of the attention module inside the network, e.g. ``layer4.0.RA_block``.
        family: ``tdam``, ``psa``, ``ema``, ``vista`` or ``paka``.
        kind: ``channel`` (C,), ``spatial`` (h, w), ``joint`` (C, h, w) or ``kernel`` (k*k, h, w).
        label: what the value is, e.g. ``spatial_gate``.
        step: the computation step that uses the value, 1-based.
        values: float32 copy, shape by kind.
        bounds: the range the operation can take; infinite where it has no bound.
        neutral: the one value that makes the network plain, that is, as it answers without its attention, when all of
            this probe's values are set to it and everything else stays as computed; None where no single value does.
        unit: in words, e.g. ``gate`` or ``logit``.
    """

    path: str
    family: str
    kind: Kind
    label: str
    step: int
    values: NDArray[np.float32]
    bounds: tuple[float, float]
    neutral: float | None
    unit: str

    @property
    def name(self) -> str:
        """Full probe name, ``path.label``."""
        return f"{self.path}.{self.label}" if self.path else self.label


class Probe(nn.Module):
    """Identity around one value of an attention module.

    Args:
        family: family of the module that holds the probe.
        kind: what the axes after the batch mean, see `AttentionRecord`.
        label: name of the value, the same word in every family.
        bounds: range the operation can take.
        neutral: see `AttentionRecord`. What it is depends on the network around the module, often on learned numbers:
            the network says so (`viz.models.networks.base.StepNetwork.neutrals`), and `probes_of` keeps it up to date.
        unit: unit in words.
    """

    def __init__(
        self,
        family: str,
        kind: Kind,
        label: str,
        *,
        bounds: tuple[float, float] = (-np.inf, np.inf),
        neutral: float | None = None,
        unit: str = "",
    ) -> None:
        super().__init__()
        self.family = family
        self.kind: Kind = kind
        self.label = label
        self.bounds = bounds
        self.neutral = neutral
        self.unit = unit

    def forward(self, value: Tensor, step: int = 1) -> Tensor:
        """Return `value` (batch first) unchanged, unless an edit is in force; tell the sink of this context."""
        edits = _EDITS.get()
        if edits is not None:
            edit = edits.get(id(self))
            if edit is not None:
                value = edit(value, step)
        sink = _SINK.get()
        if sink is not None:
            sink.take(self, value, step)
        return value

    def extra_repr(self) -> str:
        return f"{self.kind} {self.label}"


@runtime_checkable
class SaysNeutral(Protocol):
    """A network that says which values of its probes make it plain."""

    def neutrals(self) -> Mapping[str, float | None]:
        """Neutral values by full probe name, see `AttentionRecord`; probes that are left out keep their own."""
        ...


@dataclass
class Sink:
    """Collects copies of probed values during one forward pass.

    `names` maps ``id(probe)`` to its dotted name; only these probes are copied. `batches` keeps, in order of firing,
    the probe, its module's path, the step and a float32 CPU copy with the batch first.
    """

    names: Mapping[int, str]
    batches: list[tuple[Probe, str, int, Tensor]] = field(default_factory=list)

    def take(self, probe: Probe, value: Tensor, step: int) -> None:
        name = self.names.get(id(probe))
        if name is not None:
            copy = value.detach().to("cpu", torch.float32, copy=True)
            self.batches.append((probe, name.rpartition(".")[0], step, copy))

    def records(self, item: int = 0) -> tuple[AttentionRecord, ...]:
        """Records of one picture of the batch, in order of firing."""
        return tuple(
            AttentionRecord(
                path, p.family, p.kind, p.label, step, np.array(v[item].numpy()), p.bounds, p.neutral, p.unit
            )
            for p, path, step, v in self.batches
        )


_SINK: ContextVar[Sink | None] = ContextVar("searchlight_sink", default=None)
_EDITS: ContextVar[Mapping[int, Edit] | None] = ContextVar("searchlight_edits", default=None)


def probes_of(network: nn.Module) -> dict[str, Probe]:
    """All probes of a network by their full name: the path of their module and their label.

    Their neutral values are brought up to date: training or loading may have changed the numbers behind them.
    """
    found: dict[str, Probe] = {}
    for path, module in network.named_modules():
        if isinstance(module, Probe):
            parent = path.rpartition(".")[0]
            found[f"{parent}.{module.label}" if parent else module.label] = module
    if isinstance(network, SaysNeutral):
        for name, neutral in network.neutrals().items():
            found[name].neutral = neutral
    return found


def match(names: Sequence[str], pattern: str) -> list[str]:
    """Names that a pattern selects: a full name, a bare label, or a glob over full names."""
    return [n for n in names if n == pattern or n.rpartition(".")[2] == pattern or fnmatch.fnmatchcase(n, pattern)]


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
    """Copy what the probes of `network` see while the block runs, in this thread or task only.

    Args:
        network: the network whose forward is called inside the block.
        patterns: full names, labels or globs; None takes whatever fires.

    Raises:
        ProbeError: a pattern matches no probe, or a probe that was asked for did not fire.
    """
    known = probes_of(network)
    chosen = None if patterns is None else _select(network, patterns)
    names = known if chosen is None else {n: known[n] for found in chosen.values() for n in found}
    sink = Sink({id(probe): name for name, probe in names.items()})
    token = _SINK.set(sink)
    try:
        yield sink
    finally:
        _SINK.reset(token)
    if chosen is not None:
        fired = {f"{path}.{p.label}" if path else p.label for p, path, _, _ in sink.batches}
        for pattern, found in chosen.items():
            silent = [n for n in found if n not in fired]
            if silent:
                raise ProbeError(f"The probe {silent[0]!r} (asked for as {pattern!r}) did not fire in this pass.")


@contextmanager
def muted() -> Iterator[None]:
    """Let no probe report while the block runs (for passes that repeat a stage)."""
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
    """Whether a capture or an edit of this thread or task waits for `probe`; if not, it need not be made."""
    edits, sink = _EDITS.get(), _SINK.get()
    return (edits is not None and id(probe) in edits) or (sink is not None and id(probe) in sink.names)
