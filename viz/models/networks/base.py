"""The interface of all networks: the answer of each computation step, and the weights of class activation maps."""

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
    """The output of one computation step.

    `answer`: batch of raw answers as for `viz.core.output.output_of`; of a classifier logits (N, classes).
    `features` (N, C, h, w): the input of global average pooling and a linear classifier, so that a class map is
    ``class_weights[c] . features``; None in other networks.
    """

    answer: Tensor
    features: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """The answer of a classifier."""
        return self.answer

    @property
    def class_features(self) -> Tensor:
        """The features of a network that has them.

        Raises:
            ModelError: it has none.
        """
        if self.features is None:
            raise ModelError("This network has no features before a linear classifier.")
        return self.features


class StepNetwork(nn.Module, ABC):
    """A network with one or more computation steps.

    `output` is the type of its answers, as on a card; `family` names its attention modules (None for a plain network);
    `steps` is the number of steps it was built for. The number of steps to run is always an argument, so that no call
    changes the network's state.
    """

    output: ClassVar[str] = "class_scores"
    family: ClassVar[str | None] = None
    steps: int = 1

    @abstractmethod
    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        """Outputs of step 1 .. `steps` (default: all) for x (N, 3, h, w)."""

    def class_weights(self) -> Tensor | None:
        """(classes, C): weights of the linear classifier over the features' spatial means; None without one, and then
        there is no class activation map."""
        return None

    def neutrals(self) -> Mapping[str, float | None]:
        """Neutral values of probes by full name, if this network defines them; see `Tap`."""
        return {}

    def joint_neutral(self, names: Sequence[str]) -> dict[str, float] | None:
        """Values of several probes (full names) that make the network plain if all of them are set and everything else
        stays as computed; None if there are none.

        Two gates without a neutral value can have a joint one: PSA's gates multiply each other. By default each
        probe's own neutral value, if all have one.
        """
        known = taps_of(self)
        values = {name: known[name].neutral for name in names}
        return None if None in values.values() else {name: float(v) for name, v in values.items() if v is not None}

    def class_layer(self) -> nn.Module:
        """The module, without parameters, whose output is `StepOutput.features`; its last call in one `forward`
        belongs to the returned logits.

        Raises:
            ModelError: the network has no such module (Grad-CAM needs one).
        """
        raise ModelError("This network does not name the module of its class features; Grad-CAM needs it.")

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """The answer of the last step."""
        return self.forward_steps(x, steps)[-1].answer

    def checked_steps(self, steps: int | None) -> int:
        """`steps`, or all of them; ValueError outside 1 .. self.steps."""
        if steps is None:
            return self.steps
        if not 1 <= steps <= self.steps:
            raise ValueError(f"steps must be 1 to {self.steps} for this network, not {steps}")
        return steps
