"""Per-pixel kernels in picture coordinates: where the taps of a cell's kernel lie, and in which direction it pulls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viz.core.record import Record
from viz.errors import ProbeError
from viz.geometry import Geometry, Rect


@dataclass(frozen=True)
class KernelTap:
    """One tap of one cell's kernel.

    Attributes:
        index: row-major number of the tap. row, column: the input cell under it.
        value: of the kernel. box: that cell in picture pixels (x0, y0, x1, y1).
        inside: False if the tap reads padding.
    """

    index: int
    row: int
    column: int
    value: float
    box: Rect
    inside: bool


def kernel_size(values: NDArray[np.float32]) -> int:
    """k of kernels (k*k, h, w).

    Raises:
        ProbeError: the number of taps is not an odd square.
    """
    size = math.isqrt(values.shape[0])
    if values.ndim != 3 or size * size != values.shape[0] or size % 2 == 0:
        raise ProbeError(f"Kernels need the shape (k*k, h, w) with an odd k, not {values.shape}.")
    return size


def kernel_at(
    values: NDArray[np.float32],
    cell: tuple[int, int],
    geometry: Geometry,
    *,
    dilation: int = 1,
    stride: int = 1,
) -> tuple[KernelTap, ...]:
    """The taps of one output cell's kernel, with their places in the picture.

    Tap j of cell (r, c) reads the input cell (s r + d (j // k - k // 2), s c + d (j % k - k // 2)), with stride s and
    dilation d. Input cells tile the network's input evenly; there are s times as many as output cells (exact if the
    stride divides their number).

    Args:
        values: (k*k, h, w), taps row-major. cell: (row, column) of the output cell.

    Raises:
        ProbeError: no such cell, or values that are not kernels.
    """
    k, (h, w) = kernel_size(values), values.shape[1:]
    if not (0 <= cell[0] < h and 0 <= cell[1] < w):
        raise ProbeError(f"The map has rows 0 to {h - 1} and columns 0 to {w - 1}; there is no cell {cell}.")
    rows, columns = h * stride, w * stride
    high, wide = geometry.network[0] / rows, geometry.network[1] / columns
    taps = []
    for j in range(k * k):
        row = stride * cell[0] + dilation * (j // k - k // 2)
        column = stride * cell[1] + dilation * (j % k - k // 2)
        box = geometry.box_to_picture((column * wide, row * high, (column + 1) * wide, (row + 1) * high))
        x0, y0, x1, y1 = (float(v) for v in box)
        inside = 0 <= row < rows and 0 <= column < columns
        taps.append(KernelTap(j, row, column, float(values[j, cell[0], cell[1]]), (x0, y0, x1, y1), inside))
    return tuple(taps)


def cell_at(point: tuple[float, float], shape: tuple[int, int], geometry: Geometry) -> tuple[int, int] | None:
    """(row, column) of the cell of a (h, w) map under a picture point (x, y), or None outside what the network saw."""
    x0, y0, x1, y1 = geometry.seen
    if not (x0 <= point[0] < x1 and y0 <= point[1] < y1):
        return None
    x, y = geometry.to_network(point)
    row, column = int(y * shape[0] / geometry.network[0]), int(x * shape[1] / geometry.network[1])
    return min(row, shape[0] - 1), min(column, shape[1] - 1)


def composed_reach(records: Sequence[Record], record: Record) -> int:
    """Reach in cells of all kernels of this label up to this step together: the sum of dilation x (k // 2)."""
    upto = [r for r in records if r.label == record.label and r.step <= record.step]
    return sum(r.tap.dilation * (kernel_size(r.values) // 2) for r in upto)


def directions(values: NDArray[np.float32], neutral: float | None) -> NDArray[np.float32]:
    """The direction in which each cell's kernel pulls: float32 (2, h, w), x to the right and y down.

    The mean over the off-centre taps of (value - neutral) times the unit vector towards the tap: 0 for a symmetric
    kernel, at most about 0.6 for a 3x3 kernel whose values differ from neutral by 1.

    Args:
        values: (k*k, h, w). neutral: value of a tap without effect; None means 0.
    """
    k = kernel_size(values)
    steps = np.arange(k, dtype=np.float64) - k // 2
    y, x = (a.ravel() for a in np.meshgrid(steps, steps, indexing="ij"))
    length = np.hypot(x, y)
    towards = np.stack([x, y]) / np.where(length > 0, length, 1.0)
    pulls = np.tensordot(towards, values.astype(np.float64) - (neutral or 0.0), axes=1) / max(1, k * k - 1)
    return pulls.astype(np.float32)
