"""Forward passes of the controls, batch by batch, and the probability of one class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from viz.capture.probe import Edit, edited
from viz.core.card import step_number
from viz.core.finite import check_answer
from viz.core.output import output_type
from viz.errors import ModelError
from viz.models.networks.base import StepNetwork

if TYPE_CHECKING:
    from viz.run.engine import Model

BATCH = 16


@dataclass(frozen=True, eq=False)
class Passes:
    """Passes up to one step of a network.

    Attributes:
        network: in evaluation mode. step: 1-based step whose answer counts. device, dtype: of the network.
        batch: inputs per pass. alone: entered for one pass at a time, so that others can use the network in between.
        cells: of a dense answer, the cells (row by row) over which each class's logits are averaged; None takes all.
    """

    network: StepNetwork = field(repr=False)
    step: int
    device: torch.device
    dtype: torch.dtype = torch.float32
    batch: int = BATCH
    alone: Callable[[], AbstractContextManager[object]] = field(default=nullcontext, repr=False)
    cells: tuple[int, ...] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, model: Model, step: int = -1, batch: int = BATCH) -> Passes:
        """Passes of a loaded model; `step` counts from 1, or from -1 (last).

        Raises:
            ModelError: no such step, or an answer without class probabilities.
        """
        kind = output_type(model.network.output)
        if not kind.probable:
            raise ModelError(
                f"Faithfulness measures the probability of a class, but {model.card.name} predicts {kind.words}."
            )
        number = step_number(step, model.network.steps, model.card.name)
        return cls(model.network, number, model.device, model.dtype, batch, model.alone)

    def of_copy(self, network: StepNetwork) -> Passes:
        """The same for a private copy of the network."""
        return replace(self, network=network, alone=nullcontext)

    def placed(self, x: Tensor) -> Tensor:
        """x on the network's device, float32."""
        return x.to(self.device, torch.float32)

    @torch.inference_mode()
    def logits(self, x: Tensor, edits: Mapping[str, Edit] | None = None) -> Tensor:
        """Logits of the step, float64 (N, classes) on the CPU, for x (N, 3, h, w).

        `edits` see batches, so they must not depend on the position in the batch.
        """
        found = []
        for part in torch.split(x, self.batch):
            with self.alone(), edited(self.network, edits) if edits else nullcontext():
                logits = self.network(part.to(self.device, self.dtype), self.step)
            if logits.ndim == 4:
                flat = logits.flatten(2)
                logits = (flat if self.cells is None else flat[:, :, list(self.cells)]).float().mean(dim=2)
            found.append(logits.to("cpu", torch.float64))
        return torch.cat(found)

    def maps(self, source: Callable[[StepNetwork, Tensor, Tensor], Tensor], x: Tensor, classes: Tensor) -> Tensor:
        """Maps (N, h', w') for x (N, 3, h, w) and classes (N,)."""
        found = []
        for part, targets in zip(torch.split(x, self.batch), torch.split(classes, self.batch), strict=True):
            with self.alone():
                found.append(source(self.network, self.placed(part), targets))
        return torch.cat(found)


def check_logits(model: Model, logits: Tensor) -> Tensor:
    """The logits.

    Raises:
        NotFiniteError: a value is not finite.
    """
    check_answer(logits.numpy(), model.card.name, str(model.dtype).removeprefix("torch."))
    return logits


def probability(logits: Tensor, classes: Tensor) -> Tensor:
    """(N,) softmax probability of one class per input; `logits` (N, classes), `classes` (N,)."""
    return logits.softmax(dim=1).gather(1, classes.cpu()[:, None])[:, 0]


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """(N,) natural logarithm of p / (1 - p), from the logits, so that it is finite where p rounds to 1."""
    chosen = classes.cpu()[:, None]
    own = logits.gather(1, chosen)[:, 0]
    return own - logits.scatter(1, chosen, float("-inf")).logsumexp(dim=1)
