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
from viz.core.output import output_of
from viz.core.record import Record
from viz.core.trace import Trace
from viz.environment import plain_torch
from viz.families.family import family_of
from viz.geometry import Mode, prepare
from viz.models.networks.base import StepNetwork, StepOutput
from viz.picture import Picture

FloatArray = NDArray[np.float32]


@plain_torch()
def trace_picture(
    network: StepNetwork,
    card: ModelCard,
    class_weights: FloatArray | None,
    labels: tuple[str, ...],
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
        answers, features = to_numpy(outputs)
    precision = str(dtype).removeprefix("torch.")
    check_answer(np.stack(answers), card.name, precision, "logits" if card.output == "class_scores" else "values")
    output = output_of(network.output, [a[0] for a in answers], geometry, labels, card)
    return Trace(
        picture,
        geometry,
        card,
        output,
        tuple(_read_only(f[0]) for f in features),
        # A module that always computes all of its steps reports those that were not asked for, too.
        tuple(_locked(r) for r in sink.records() if r.step <= len(outputs)),
        class_weights,
        family_of(card.family),
        precision,
    )


def to_numpy(outputs: Sequence[StepOutput]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Answers and features of each step as copies, float32 (N, ...); no features of a network without them."""
    answers = [o.answer.to("cpu", torch.float32, copy=True).numpy() for o in outputs]
    found = [o.features.to("cpu", torch.float32, copy=True).numpy() for o in outputs if o.features is not None]
    return answers, found


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array


def _locked(record: Record) -> Record:
    return replace(record, values=_read_only(record.values))
