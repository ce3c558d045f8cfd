"""One forward pass under probes: pictures in, traces out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from viz.capture.probe import capture
from viz.core.card import ModelCard
from viz.core.finite import check_answer
from viz.core.output import ClassHead
from viz.core.record import Record
from viz.core.trace import Trace
from viz.environment import plain_torch
from viz.families.family import family_of
from viz.geometry import Mode, prepare
from viz.models.networks.base import StepNetwork
from viz.picture import Picture

FloatArray = NDArray[np.float32]


@plain_torch()
def trace_picture(
    network: StepNetwork,
    card: ModelCard,
    head: ClassHead,
    picture: Picture,
    *,
    mode: Mode | None = None,
    probes: Sequence[str] | None = None,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Trace:
    """Run the network once on one picture and keep copies of everything worth seeing.

    Args:
        mode: geometry; default the card's own.
        probes: which probes to copy (names, labels, globs); None takes all that fire.
        steps: computation steps; default all the network was built for.
        device, dtype: where and in which number format the network lives; copies are float32 on the CPU.

    Raises:
        ProbeError: a probe that was asked for does not exist or did not fire.
        NotFiniteError: the network's answer holds NaN or infinity.
    """
    x, geometry = prepare(picture, card.preprocessing, mode or card.geometry)
    with torch.inference_mode(), capture(network, probes) as sink:
        outputs = network.forward_steps(x.to(device=device, dtype=dtype), steps)
        logits = torch.stack([o.logits[0] for o in outputs]).to("cpu", torch.float32)
        features = tuple(o.features[0].to("cpu", torch.float32, copy=True) for o in outputs)
    precision = str(dtype).removeprefix("torch.")
    check_answer(logits.numpy(), card.name, precision)
    return Trace(
        picture,
        geometry,
        card,
        _read_only(logits.numpy()),
        tuple(_read_only(f.numpy()) for f in features),
        # A module that always computes all of its steps reports those that were not asked for, too.
        tuple(_locked(r) for r in sink.records() if r.step <= len(outputs)),
        head,
        family_of(card.family),
        precision,
    )


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array


def _locked(record: Record) -> Record:
    return replace(record, values=_read_only(record.values))
