"""Which module Captum attributes to.

A probe passes its value through a module of our own while the block runs (an edit of this context): Captum's hooks
stand on that module and never on the shared network, and of several firings only the one that counts goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe, edited, probes_of
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import METHODS
from viz.core.record import match
from viz.errors import MapError, ProbeError
from viz.models.networks.base import StepNetwork


class Steps(nn.Module):
    """The network up to one step, as a plain classifier; `passed` is called after each of its passes."""

    def __init__(self, network: StepNetwork, step: int, passed: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.network, self.step, self.passed = network, step, passed

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x, steps=self.step)
        if self.passed is not None:
            self.passed()
        return logits


def method_of(text: str | MapSpec) -> MapSpec:
    """An attribution method from its text.

    Raises:
        MapError: not a map, or not an attribution.
    """
    spec = parse(text)
    if spec.kind != "attribution":
        raise MapError(f"Unknown attribution method {str(spec)[:60]!r}; choose one of {', '.join(METHODS)}.")
    return spec


def find_probe(network: nn.Module, pattern: str) -> tuple[str, Probe]:
    """Full name and probe of a full name or a label (then the deepest module that has it).

    Raises:
        ProbeError: unknown, or its values are no maps.
    """
    known = probes_of(network)
    names = match(list(known), pattern)
    if not names:
        have = ", ".join(sorted({p.label for p in known.values() if p.tap.is_map or p.tap.is_maps})) or "none"
        raise ProbeError(f"This network has no probe {pattern!r} to attribute to; it has: {have}.")
    probe = known[names[-1]]
    if not (probe.tap.is_map or probe.tap.is_maps):
        raise ProbeError(
            f"{names[-1]} is of kind {probe.tap.kind}; attribution needs a probe of kind spatial or joint."
        )
    return names[-1], probe


@contextmanager
def tapped(model: Steps, name: str, x: Tensor, target: Tensor) -> Iterator[nn.Module]:
    """A module through which the probe's last firing that the logits use passes; channels second, (N, C, h, w).

    Args:
        name: full name of the probe; a value that is one map gets a channel for Captum.
        x, target: pictures and classes; the first one finds out which firing is used.

    Raises:
        ProbeError: the step makes no use of the probe.
    """
    one_map = probes_of(model.network)[name].tap.is_map
    wanted = _used_firing(model, name, x[:1], target[:1])
    tap = nn.Identity()
    fired = 0

    def through(value: Tensor, step: int) -> Tensor:
        nonlocal fired
        fired += 1
        if fired - 1 != wanted:
            return value
        seen: Tensor = tap(value[:, None])[:, 0] if one_map else tap(value)
        return seen

    def start(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal fired
        fired = 0

    handle = model.register_forward_pre_hook(start)
    try:
        with edited(model.network, {name: through}):
            yield tap
    finally:
        handle.remove()


def _used_firing(model: Steps, name: str, x: Tensor, target: Tensor) -> int:
    """Index of the last firing of the probe in one pass on which the logit depends."""
    seen: list[Tensor] = []

    def note(value: Tensor, step: int) -> Tensor:
        # A copy for each firing: a module may report one tensor at several steps.
        copy = value.clone() if value.requires_grad else value.detach().clone().requires_grad_()
        seen.append(copy)
        return copy

    with torch.enable_grad(), edited(model.network, {name: note}):
        logit = model.network(x.detach().clone().requires_grad_(), steps=model.step)[0, int(target[0])]
        grads = torch.autograd.grad(logit, seen, allow_unused=True) if seen else ()
    used = [i for i, g in enumerate(grads) if g is not None]
    if not used:
        raise ProbeError(f"Step {model.step} makes no use of {name}; choose a later step or another probe.")
    return used[-1]
