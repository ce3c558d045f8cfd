"""The effect of the random channel vectors of published VISTA on its maps: mean and spread over many draws.

The published code (see `graph.py`) draws its channel vectors anew at every pass. One map is therefore one of many: the
mean over draws shows what does not depend on the draw, the spread how much does.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from viz.capture.probe import capture
from viz.core.record import Record
from viz.environment import plain_torch
from viz.errors import ProbeError

MOST_DRAWS = 10_000


@dataclass(frozen=True, eq=False)
class DrawStatistics:
    """Statistics of one probe over draws.

    Attributes:
        record: the mean, as a record of the same probe. spread: standard deviation, float32, same shape.
        sentence: the numbers in words, for a caption.
    """

    record: Record
    spread: NDArray[np.float32]
    sentence: str

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean over the draws, float32, shape of the probe's value."""
        return self.record.values


@plain_torch()
def draw_statistics(
    module: nn.Module,
    inputs: Sequence[Tensor],
    draws: int = 32,
    *,
    seed: int = 0,
    probes: Sequence[str] | None = None,
    item: int = 0,
) -> Mapping[str, DrawStatistics]:
    """Run a module many times with different random channel vectors; mean and spread of all captured values.

    Args:
        module: one whose ``forward`` takes ``draws``: `StructuredAttention`, `GatedMessage`, `AttentionGraph`.
        inputs: its other arguments, batch first.
        draws: number of passes, 2 to 10000. seed: of the generator of all vectors, in one sequence.
        probes: names, labels or globs; None takes all. item: index of the picture in the batch.

    Returns:
        Statistics by full probe name, in order of firing. Values that do not depend on a draw have spread 0.

    Raises:
        ProbeError: a module without random draws, too few or too many draws, an unknown picture or probe.
    """
    if "draws" not in inspect.signature(module.forward).parameters:
        raise ProbeError(f"{type(module).__name__} makes no random draws; there is nothing to average.")
    if not 2 <= draws <= MOST_DRAWS:
        raise ProbeError(f"The number of draws must be 2 to {MOST_DRAWS}, not {draws}.")
    if not inputs or not 0 <= item < len(inputs[0]):
        raise ProbeError(f"This batch has no picture {item}.")
    generator = torch.Generator().manual_seed(seed)
    first: dict[str, Record] = {}
    mean: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    for i in range(1, draws + 1):
        with torch.inference_mode(), capture(module, probes) as sink:
            module(*inputs, draws=generator)
        for r in sink.records(item):
            value = r.values.astype(np.float64)
            if i == 1:
                first[r.name], mean[r.name], squares[r.name] = r, value, np.zeros_like(value)
                continue
            # Welford's update keeps the digits of the mean of nearly equal numbers.
            step = value - mean[r.name]
            mean[r.name] = mean[r.name] + step / i
            squares[r.name] = squares[r.name] + step * (value - mean[r.name])
    return {name: _made(first[name], mean[name], np.sqrt(squares[name] / (draws - 1)), draws) for name in first}


def _made(record: Record, mean: NDArray[np.float64], spread: NDArray[np.float64], draws: int) -> DrawStatistics:
    tap = replace(record.tap, unit=f"{record.unit}, mean of {draws} draws")
    made = replace(record, tap=tap, values=mean.astype(np.float32))
    words = record.label.replace("_", " ")
    largest, extent = float(spread.max()), float(mean.max() - mean.min())
    if largest == 0:
        text = f"{words}: the same in all {draws} draws of the random channel vectors."
    else:
        text = (
            f"{words}: mean of {draws} draws of the random channel vectors, which are neither learned nor inferred; "
            f"standard deviation of one draw {float(spread.mean()):.2g} (at most {largest:.2g}), range of the mean "
            f"{extent:.2g}."
        )
    return DrawStatistics(made, spread.astype(np.float32), text)
