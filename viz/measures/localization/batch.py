"""One forward pass over a batch of pictures, squashed to the network's square, as traces; and their maps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from viz.attribution import AttributionOptions, attribute
from viz.capture.probe import capture
from viz.core.card import class_number
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS
from viz.core.output import output_of
from viz.core.trace import Trace
from viz.families.family import family_of
from viz.geometry import Geometry, Mode, prepare
from viz.picture import Picture
from viz.run.engine import Model
from viz.run.model import to_numpy

# Derived maps that read more probes of the module than the one they name.
_READ_MORE = ("gated", "ranks", "total")
Native = NDArray[np.float32]


def probes_for(sources: Sequence[MapSpec]) -> list[str] | None:
    """The probes to copy for these maps; None means all."""
    found: list[str] = []
    for source in sources:
        if source.kind in ("tap", "derived"):
            if source.name in _READ_MORE:
                return None
            found.append(source.probe or "")
    return list(dict.fromkeys(found))


def prepare_all(model: Model, pictures: Sequence[Picture], mode: Mode = "squash") -> tuple[Tensor, list[Geometry]]:
    """Inputs (N, 3, h, w) on the network's device and in its number format, and the geometry of each."""
    made = [prepare(p, model.card.preprocessing, mode) for p in pictures]
    x = torch.cat([m[0] for m in made])
    return x.to(device=model.device, dtype=model.dtype, non_blocking=True), [m[1] for m in made]


def trace_batch(
    model: Model,
    pictures: Sequence[Picture],
    x: Tensor,
    geometries: Sequence[Geometry],
    *,
    probes: Sequence[str] | None = (),
    mixed: torch.dtype | None = None,
) -> list[Trace]:
    """Traces of a batch, from one forward pass.

    Args:
        x, geometries: from `prepare_all`.
        probes: labels, names or globs to copy; None means all.
        mixed: number format of autocast, or None.

    Raises:
        ProbeError: a probe does not exist or did not fire.
    """
    network = model.network
    watching = capture(network, probes) if probes is None or len(probes) else contextlib.nullcontext()
    autocast = torch.autocast(x.device.type, mixed) if mixed else contextlib.nullcontext()
    with torch.inference_mode(), watching as sink, autocast:
        outputs = network.forward_steps(x)
    answers, features = to_numpy(outputs)
    precision = str(mixed or model.dtype).removeprefix("torch.")
    return [
        Trace(
            picture,
            geometry,
            model.card,
            output_of(model.network.output, [a[i] for a in answers], geometry, model.labels, model.card),
            tuple(f[i] for f in features),
            sink.records(i) if sink is not None else (),
            model.class_weights,
            family_of(model.card.family),
            precision,
        )
        for i, (picture, geometry) in enumerate(zip(pictures, geometries, strict=True))
    ]


def native_maps(
    model: Model,
    source: MapSpec,
    traces: Sequence[Trace],
    *,
    x: Tensor,
    classes: Sequence[int],
    options: AttributionOptions = DEFAULT_OPTIONS,
) -> list[Native]:
    """The map (h, w) of each picture of a batch, at its own resolution; `classes` are for maps that need one.

    Raises:
        VizError and its kinds: the model does not have it.
    """
    if source.cls is not None:
        classes = [class_number(model.labels, source.cls)] * len(traces)
    if source.kind == "attribution":
        step, targets = traces[0].step_number(source.step), torch.tensor(list(classes))
        found = attribute(
            model.network, x, targets, source, step=step, options=options, preprocessing=model.card.preprocessing
        )
        return [np.asarray(m, dtype=np.float32) for m in found.numpy()]
    if source.kind == "cam":
        return [t.class_map(source.step, c).native for t, c in zip(traces, classes, strict=True)]
    return [t.heatmap(source).native for t in traces]
