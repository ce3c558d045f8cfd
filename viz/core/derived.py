"""Maps that are not captured: derived maps (means, logarithms and sums of captured values), and baselines.

- ``mean``: mean over the channels or groups of maps, or over the taps of a kernel.
- ``log``: log2 of a share times the number of cells, so that 0 is the uniform share. For values that sum to 1 over the
  cells.
- ``gated``: the module's input after its channel gate, mean over the channels.
- ``departure``: mean over the taps of \\|A - 1\\| of a kernel attention A (0 everywhere is plain convolution);
  of other kernels \\|A\\|.
- ``directions``: length of each cell's kernel pull, see `viz.core.kernels.directions`.
- ``ranks``: sum of the outer products of the ranks up to this one (``ranks(spatial_map_2)`` adds v1 m1 + v2 m2), mean
  over the channels or one channel.
- ``total``: the value's mean over the channels, summed over all modules that have it at this step, each times the
  learned strength of its module if it has one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from viz.core.heatmap import Heatmap
from viz.core.kernels import directions, kernel_size
from viz.core.map_spec import BASELINES, DERIVED, MapSpec
from viz.core.record import Record
from viz.core.words import RANK, derived_words
from viz.errors import MapError, ProbeError
from viz.geometry import Geometry

Floats = NDArray[np.float32]
# Far below any float32 softmax share on a map; keeps the logarithm of 0 finite.
_LEAST_SHARE = 1e-30
# Shares rounded to bfloat16 sum to 1 within 0.4 %.
_SUM_TOLERANCE = 5e-3


# Cells per side of a baseline map, and the standard deviation of its Gaussian as a share of the side.
_CELLS, _DEVIATION = 28, 0.25


def baseline(spec: MapSpec, geometry: Geometry) -> Heatmap:
    """A centre Gaussian, or a map whose level sets are centred squares: 1 in the centre, 0 at the edge."""
    axis = (np.arange(_CELLS) + 0.5) / _CELLS - 0.5
    if spec.name == "centre_gaussian":
        bell = np.exp(-((axis / _DEVIATION) ** 2) / 2)
        native = bell[:, None] * bell[None, :]
    else:
        native = 1 - 2 * np.maximum(np.abs(axis)[:, None], np.abs(axis)[None, :])
    title = BASELINES[spec.name]
    return Heatmap(native.astype(np.float32), geometry, title, "ignores the image", (0.0, 1.0), spec=spec.at(1))


def derive(
    records: Sequence[Record], record: Record, name: str, geometry: Geometry, *, channel: int | None = None
) -> Heatmap:
    """A derived map of one record; `records` are all those of its trace.

    Raises:
        MapError: unknown derived map. ProbeError: it does not apply to this tap, or needs values not captured.
    """
    if name not in DERIVED:
        raise MapError(f"Unknown derived map {name[:60]!r}. Choose one of: {', '.join(DERIVED)}.")
    if channel is not None and name not in ("ranks", "log", "gated"):
        raise ProbeError(f"{name} of {record.name} is a single map; it takes no channel.")
    values, unit, bounds, neutral = _DERIVED[name](records, record, channel)
    # A total belongs to all modules, not to the one that was named.
    tap = record.label if name == "total" else record.name
    return Heatmap(
        values.astype(np.float32),
        geometry,
        f"{derived_words(record.label, name, channel)}, step {record.step}",
        unit=unit,
        bounds=bounds,
        neutral=neutral,
        spec=MapSpec(name, tap, channel, step=record.step),
    )


# Values, unit, bounds, neutral value.
_Made = tuple[NDArray[np.floating], str, tuple[float, float], float | None]
_ENDLESS = (-np.inf, np.inf)


def _refused(record: Record, name: str, needs: str) -> ProbeError:
    return ProbeError(f"{name} needs {needs}; {record.name} is of kind {record.kind} with shape {record.values.shape}.")


def _mean(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    if not (record.tap.is_maps or record.tap.is_kernel):
        raise _refused(record, "mean", "a joint value or a kernel")
    over = mean_over(record)
    return record.values.mean(axis=0), f"{record.unit}, mean over the {over}", record.bounds, record.tap.centre


def mean_over(record: Record) -> str:
    """The plural of the first axis: ``channels``, ``groups`` or ``taps``."""
    return f"{record.axes[0]}s"


def one_of(record: Record, channel: int) -> str:
    """One map of several, in words: ``channel 17``; groups and taps count from 1."""
    first = record.axes[0]
    if first == "group":
        return f"group {channel + 1}"
    if first == "tap":
        k = kernel_size(record.values)
        return f"tap row {channel // k + 1}, column {channel % k + 1}"
    return f"channel {channel}"


def _log(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    values = record.values
    if record.tap.is_maps:
        values = values.mean(axis=0) if channel is None else channel_of(record, channel)
    if not (record.tap.is_maps or record.tap.is_map) or not _are_shares(record, values):
        raise _refused(record, "log", "shares that sum to 1 over the cells")
    share = np.maximum(values.astype(np.float64), _LEAST_SHARE) * values.size
    return np.log2(share), "log2 of share x cells, 0 is even", _ENDLESS, 0.0


def _are_shares(record: Record, values: Floats) -> bool:
    """Whether values sum to 1 over the cells; if the pass overflowed, whether they should."""
    if not np.isfinite(values).all():
        return record.tap.shares
    return bool(values.min() >= 0) and abs(float(values.sum(dtype=np.float64)) - 1) <= _SUM_TOLERANCE


def _gated(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    if not record.tap.is_maps:
        raise _refused(record, "gated", "a joint value")
    for r in records:
        beside = r.path == record.path and r.step == record.step
        if beside and r.label == "channel_gate" and len(r.values) == len(record.values):
            if channel is not None:
                return channel_of(record, channel) * r.values[channel], record.unit, _ENDLESS, None
            gated = np.tensordot(r.values, record.values, axes=1) / len(r.values)
            return gated, f"{record.unit} x gate, mean over the channels", _ENDLESS, None
    raise ProbeError(f"No channel gate for {record.name} was captured at step {record.step}.")


def _departure(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    if not record.tap.is_kernel:
        raise _refused(record, "departure", "a kernel")
    middle = record.tap.centre or 0.0
    most = max(abs(b - middle) for b in record.bounds)
    plain = "plain convolution" if record.label == "kernel_attention" else "no weight"
    return np.abs(record.values - middle).mean(axis=0), f"mean |A - {middle:g}|, 0 is {plain}", (0.0, most), None


def _directions(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    if not record.tap.is_kernel:
        raise _refused(record, "directions", "a kernel")
    pull = directions(record.values, record.tap.centre)
    return np.hypot(pull[0], pull[1]), "length of the mean pull, 0 is even", (0.0, np.inf), None


def _ranks(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    rank = RANK.fullmatch(record.label)
    if rank is None:
        raise _refused(record, "ranks", "a map of one rank (spatial_map_1, spatial_map_2, ...)")
    here = {r.label: r for r in records if r.path == record.path and r.step == record.step}
    total: NDArray[np.floating] = np.zeros(record.values.shape)
    for t in range(1, int(rank[1]) + 1):
        try:
            vector, spatial = here[f"channel_vector_{t}"].values, here[f"spatial_map_{t}"].values
        except KeyError:
            raise ProbeError(f"The map or vector of rank {t} of {record.path} was not captured.") from None
        if channel is not None and not 0 <= channel < len(vector):
            raise ProbeError(f"{record.path} has channels 0 to {len(vector) - 1}, not {channel}.")
        total = total + spatial.astype(np.float64) * (vector.mean() if channel is None else vector[channel])
    return total, "sum of v m" + (", mean over the channels" if channel is None else ""), (0.0, np.inf), None


def _total(records: Sequence[Record], record: Record, channel: int | None) -> _Made:
    if not record.tap.is_maps:
        raise _refused(record, "total", "a joint value")
    alike = [r for r in records if r.label == record.label and r.step == record.step and r.tap.is_maps]
    shape = record.values.shape[1:]
    if any(r.values.shape[1:] != shape for r in alike):
        raise ProbeError(f"The maps of {record.label!r} differ in size and cannot be added.")
    weights = [1.0 if r.tap.strength is None else r.tap.strength for r in alike]
    total = np.zeros(shape)
    ends = np.zeros(2)
    for r, weight in zip(alike, weights, strict=True):
        total = total + weight * r.values.mean(axis=0, dtype=np.float64)
        ends = ends + np.sort(weight * np.array(r.bounds)) if weight else ends
    weighed = " x strength" if any(r.tap.strength is not None for r in alike) else ""
    unit = f"{record.unit}{weighed}, mean over the channels, sum of {len(alike)}"
    return total, unit, (float(ends[0]), float(ends[1])), None


def channel_of(record: Record, channel: int) -> Floats:
    """One channel, group or tap of a record.

    Raises:
        ProbeError: no such channel.
    """
    if not 0 <= channel < record.values.shape[0]:
        raise ProbeError(f"{record.name} has channels 0 to {record.values.shape[0] - 1}, not {channel}.")
    return record.values[channel]


_DERIVED = {
    "mean": _mean,
    "log": _log,
    "gated": _gated,
    "departure": _departure,
    "directions": _directions,
    "ranks": _ranks,
    "total": _total,
}
