"""The module that Captum attributes to.

For a probe, an edit passes its value through a module of our own while the block runs. Captum's hooks are on that
module, never on the shared network, and of several firings only the relevant one passes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe, edited, probes_of
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import METHODS
from viz.core.record import match
from viz.core.target import Target
from viz.errors import MapError, ProbeError
from viz.models.networks.base import StepNetwork


class Steps(nn.Module):
    """The network up to one step, as Captum needs it: one number per target, (N, targets).

    Args:
        passed: called after each pass. targets: None for the classes of a classifier.
    """

    def __init__(
        self,
        network: StepNetwork,
        step: int,
        passed: Callable[[], None] | None = None,
        targets: Sequence[Target] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.step, self.passed, self.targets = network, step, passed, targets

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x, steps=self.step)
        if self.passed is not None:
            self.passed()
        return self.asked(answer)

    def asked(self, answer: Tensor) -> Tensor:
        """The targets' numbers of an answer."""
        return answer if self.targets is None else torch.stack([t(answer) for t in self.targets], dim=1)


def method_of(text: str | MapSpec) -> MapSpec:
    """The map specification of an attribution method.

    Raises:
        MapError: not an attribution.
    """
    spec = parse(text)
    if spec.kind != "attribution":
        raise MapError(f"Unknown attribution method {str(spec)[:60]!r}. Choose one of: {', '.join(METHODS)}.")
    return spec


def find_probe(network: nn.Module, pattern: str) -> tuple[str, Probe]:
    """The probe of a full name or a label (of the deepest module that has it), with its full name.

    Raises:
        ProbeError: unknown probe, or its values are not maps.
    """
    known = probes_of(network)
    names = match(list(known), pattern)
    if not names:
        have = ", ".join(sorted({p.label for p in known.values() if p.tap.is_map or p.tap.is_maps})) or "none"
        raise ProbeError(f"This network has no probe {pattern!r} to attribute to. Choose one of: {have}.")
    probe = known[names[-1]]
    if not (probe.tap.is_map or probe.tap.is_maps):
        raise ProbeError(
            f"{names[-1]} is of kind {probe.tap.kind}; attribution needs a probe of kind spatial or joint."
        )
    return names[-1], probe


@contextmanager
def tapped(model: Steps, name: str, x: Tensor, target: Tensor) -> Iterator[nn.Module]:
    """A module that passes on the probe's last firing on which the target depends, with channels second (N, C, h, w).

    Args:
        name: full name of the probe; a single map gets a channel axis for Captum.
        x, target: pictures and target indices; the first pair determines the firing.

    Raises:
        ProbeError: the step does not use the probe.
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
    """Index of the probe's last firing in one pass on which the target depends."""
    seen: list[Tensor] = []

    def note(value: Tensor, step: int) -> Tensor:
        # A copy per firing, because a module may report one tensor at several steps.
        copy = value.clone() if value.requires_grad else value.detach().clone().requires_grad_()
        seen.append(copy)
        return copy

    with torch.enable_grad(), edited(model.network, {name: note}):
        answer = model.network(x.detach().clone().requires_grad_(), steps=model.step)
        asked = model.asked(answer)[0, int(target[0])]
        grads = torch.autograd.grad(asked, seen, allow_unused=True) if seen else ()
    used = [i for i, g in enumerate(grads) if g is not None]
    if not used:
        raise ProbeError(f"Step {model.step} makes no use of {name}; choose a later step or another probe.")
    return used[-1]
