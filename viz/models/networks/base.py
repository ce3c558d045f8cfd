"""What every network of Searchlight offers: logits, its own computation steps, and the weights of its class maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from viz.capture.probe import taps_of
from viz.errors import ModelError


@dataclass(frozen=True)
class StepOutput:
    """What one computation step gives.

    `logits` (N, classes); `features` (N, C, h, w): the maps whose spatial mean the classifier weighs, so that a class
    map is ``class_weights[c] . features``.
    """

    logits: Tensor
    features: Tensor


class StepNetwork(nn.Module, ABC):
    """A classifier with one or more computation steps.

    `family` names the attention modules it carries (None for a plain network); `steps` is how many steps it was built
    for. The number of steps to run is always an argument: no call leaves a state behind.
    """

    family: ClassVar[str | None] = None
    steps: int = 1

    @abstractmethod
    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        """Outputs of step 1 .. `steps` (default: all) for x (N, 3, h, w)."""

    @abstractmethod
    def class_weights(self) -> Tensor:
        """(classes, C): weights of the linear classifier over the features' spatial means."""

    def neutrals(self) -> Mapping[str, float | None]:
        """Neutral values of probes by full name, where they follow from this network; see `Tap`."""
        return {}

    def joint_neutral(self, names: Sequence[str]) -> dict[str, float] | None:
        """Values of several probes (full names) that make the network plain when all of them are set and everything
        else stays as computed; None where no values do.

        Two gates that each have none can have one together: PSA's gates multiply each other. By default each probe's
        own neutral value, where all have one.
        """
        known = taps_of(self)
        values = {name: known[name].neutral for name in names}
        return None if None in values.values() else {name: float(v) for name, v in values.items() if v is not None}

    def class_layer(self) -> nn.Module:
        """The module, without parameters, whose output is `StepOutput.features`; of several firings in one call of
        `forward` the last one belongs to the logits that are returned.

        Raises:
            ModelError: the network has no such module (Grad-CAM needs one).
        """
        raise ModelError("This network does not name the module that gives its class features.")

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Logits (N, classes) of the last step."""
        return self.forward_steps(x, steps)[-1].logits

    def checked_steps(self, steps: int | None) -> int:
        """`steps`, or all of them; ValueError outside 1 .. self.steps."""
        if steps is None:
            return self.steps
        if not 1 <= steps <= self.steps:
            raise ValueError(f"this network has {self.steps} step(s); {steps} were asked for")
        return steps
