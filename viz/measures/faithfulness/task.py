"""The controls over a data set, chunk by chunk: resumable, and shared by processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from viz.capture.probe import probes_of
from viz.core.record import match
from viz.datasets import Dataset, Sample, open_sample
from viz.datasets.core import LEFT_OUT
from viz.environment import plain_torch
from viz.errors import NotFiniteError, ProbeError, VizError
from viz.geometry import prepare
from viz.measures.codec import plain
from viz.measures.faithfulness.control import PARTS, QUICK, Options, Part, check_parts
from viz.measures.faithfulness.gates import GateBank, gate_bank
from viz.measures.faithfulness.passes import Passes, check_logits
from viz.measures.faithfulness.report import measure, source_for
from viz.measures.faithfulness.set_result import KEY, Means, Requested, SetResult
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.rows import MADE_FROM, Read, Row, digest, digest_of_file, names_of
from viz.measures.jobs.runner import Begin, Place, Task, reason_of, run
from viz.picture import Picture
from viz.run.engine import Model

# Pictures per chunk: few, as each takes hundreds of passes and an interrupted run loses the current chunk.
CHUNK = 4
EXAMPLES = 12
# Position of a sample, the sample, sha256 of its picture as it was read, and the input (1, 3, h, w).
Opened = tuple[int, Sample, str, Tensor]


@dataclass(frozen=True)
class Request:
    """What a run over a data set measures.

    Attributes:
        sources, controls, step, options: as in `measure`.
        classes: ``predicted`` (by the network) or ``label`` (samples without an ImageNet class fail).
        threads: per process on the CPU; sums differ in their last digits with it.
    """

    sources: tuple[str, ...] = ("cam",)
    controls: tuple[Part, ...] = PARTS
    step: int = -1
    classes: str = "predicted"
    options: Options = QUICK
    threads: int = 1

    def __post_init__(self) -> None:
        check_parts(self.controls)
        if not self.controls:
            raise VizError(f"Specify at least one control. Choose from: {', '.join(PARTS)}.")
        if self.classes not in ("predicted", "label"):
            raise VizError(f"Unknown classes {self.classes[:40]!r}. Choose one of: predicted, label.")
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise VizError("Specify at least one map, without duplicates.")


class FaithfulnessTask(Task):
    """A run of one model over a data set, for `viz.measures.jobs.runner.run`.

    Rows, one per sample: ``i`` its position; then ``failed`` (the reason), or ``h`` (16 digits of the picture's
    sha256), ``of`` (digest of the row's inputs), ``bank`` (digest of the pictures behind the mean gates; None without
    them), ``class`` and ``values``: lists of control, source, variant, measure and value (None where missing), without
    duplicates. Every row is sealed, see `viz.measures.jobs.rows`.

    The mean gates need one pass over all pictures before the first chunk. Each process makes it for itself, as the
    controls cost hundreds of passes per picture.
    """

    def __init__(self, model: Model, data: Dataset, request: Request) -> None:
        super().__init__("faithfulness", model.device.type)
        if not len(data):
            raise VizError(f"The data set {data.name} has no samples.")
        self.model, self.data, self.asked = model, data, request
        self.samples = _once_each(data, request.classes)
        self.step = Passes.of(model, request.step).step
        self._check()

    def _check(self) -> None:
        """Report a map or probe that the network does not have before the first picture."""
        height, width = self.model.card.preprocessing.size
        x = torch.zeros((1, 3, height, width), dtype=self.model.dtype, device=self.model.device)
        known, options = list(probes_of(self.model.network)), self.asked.options
        for probe in options.probes or ():
            if not match(known, probe):
                raise ProbeError(f"{self.model.card.name} has no probe {probe[:60]!r}.")
        quick = replace(options, attribution=replace(options.attribution, n_steps=1))
        for text in self.asked.sources:
            with self.model.alone():
                source_for(self.model, text, self.step, quick)(self.model.network, x, torch.zeros(1).long())

    def asked_for(self) -> Row:
        card = self.model.card
        return {
            "model": (card.name, card.sha256, self.model.geometry, str(self.model.dtype)),
            "data": [self.data.name, self.data.split, names_of(self.data)],
            "asked": plain(self.asked),
        }

    def reported(self) -> Requested:
        """The request as the result holds it."""
        found = self.request() | {"data": (self.data.name, self.data.split, self.data.fingerprint)}
        return Requested(*(found[k] for k in ("kind", "versions", "device", "model", "data", "asked")))

    def chunks(self) -> int:
        return math.ceil(len(self.samples) / CHUNK)

    def places(self, chunk: int) -> list[Place]:
        return [(i,) for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self.samples)))]

    def made_from(self, sample: Place) -> str:
        return self._made_from(sample[0])

    def picture(self, place: Place) -> str:
        return self.samples[place[0]].group

    def shared(self) -> Row:
        """Digest of all pictures as they are now, where the mean gates are made of them."""
        every = [self._now((i,)) for i in range(len(self.samples))] if self._has_bank else []
        return {"bank": digest(every) if self._has_bank else None}

    def _made_from(self, place: int, picture: str | None = None) -> str:
        """Digest of a row's inputs: no box and no mask is read, and a label only on request."""
        sample = self.samples[place]
        label = sample.class_index if self.asked.classes == "label" else None
        return digest([picture or digest_of_file(sample.path), sample.id, sample.size, label])

    @property
    def _has_bank(self) -> bool:
        return "reliance" in self.asked.controls and self.model.network.family is not None

    def read(self, place: Place) -> Opened:
        sample = self.samples[place[0]]
        if self.asked.classes == "label" and not self._has_class(sample):
            raise VizError(f"The label of {sample.id} is not a class of this network.")
        picture = open_sample(sample)
        return place[0], sample, picture.sha256, self._input(picture)

    def _has_class(self, sample: Sample) -> bool:
        return sample.class_index is not None and sample.class_index < len(self.model.labels)

    def _input(self, picture: Picture) -> Tensor:
        return prepare(picture, self.model.card.preprocessing, self.model.geometry)[0]

    def measured(self, chunk: int, read: list[Opened]) -> list[Row]:
        rows: list[Row] = []
        x, sound = torch.cat([opened[-1] for opened in read]), []
        logits = Passes.of(self.model, self.step).logits(x)
        for k, one in enumerate(logits):
            try:
                check_logits(self.model, one)
                sound.append(k)
            except NotFiniteError as error:  # without an answer there is nothing to measure
                rows.append({"i": read[k][0], "failed": reason_of(error)})
        if not sound:
            return rows
        asked = self.asked
        classes = logits[sound].argmax(dim=1)
        if asked.classes == "label":
            classes = torch.tensor([read[k][1].class_index for k in sound])
        bank, digest_of_bank = self.bank
        how: dict[str, Any] = {"sources": asked.sources, "controls": asked.controls, "step": self.step, "bank": bank}
        values: list[list[Any]] = [[] for _ in sound]
        for r in measure(self.model, x[sound], classes, asked.options, **how):
            values[r["item"]].append([*(r[k] for k in KEY), plain(r["value"])])
        for k, c, v in zip(sound, classes, values, strict=True):
            place, _, sha256, _ = read[k]
            head = {"i": place, "h": sha256[:16], MADE_FROM: self._made_from(place, sha256)}
            rows.append(head | {"bank": digest_of_bank, "class": int(c), "values": v})
        return rows

    @cached_property
    def bank(self) -> tuple[GateBank | None, str | None]:
        """Mean gates of the whole set and the digest of their pictures; None where nothing needs them."""
        if not self._has_bank:
            return None, None
        read: list[str] = []
        label = f"the {len(self.samples)} pictures of {self.data.name}"
        passes = Passes.of(self.model, self.step)
        return gate_bank(passes, self._inputs(read), label, self.asked.options.probes, examples=EXAMPLES), digest(read)

    def _inputs(self, read: list[str], batch: int = 16) -> Iterator[Tensor]:
        """Batches of all pictures; the digest of each is appended to `read`."""
        held: list[Tensor] = []
        for place, sample in enumerate(self.samples):
            sha256 = None
            try:
                picture = open_sample(sample)
                sha256 = picture.sha256
                held.append(self._input(picture))
            except VizError:
                pass  # counted where its rows are made
            read.append(self._made_from(place, sha256))
            if len(held) == batch:
                yield torch.cat(held)
                held = []
        if held:
            yield torch.cat(held)


def _once_each(data: Dataset, classes: str) -> tuple[Sample, ...]:
    """Samples of a picture differ by their label alone: without labels, one of them is enough."""
    if classes == "label":
        return data.samples
    first: dict[str, Sample] = {}
    for sample in data.samples:
        first.setdefault(sample.group, sample)
    return tuple(first.values())


@plain_torch()
def measure_set(
    model: Model,
    data: Dataset,
    request: Request,
    folder: Path,
    *,
    processes: Processes | None = None,
    begin: Begin | None = None,
) -> SetResult | None:
    """All controls over a data set; resumes an earlier run in the same folder.

    Returns:
        The result on the first process, None on the others.

    Raises:
        VizError and its kinds: one sentence each.
    """
    me = processes or Processes()
    torch.set_num_threads(request.threads)
    task = FaithfulnessTask(model, data, request)
    journal = run(task, folder, processes=me, device=model.device, begin=begin)
    if not me.first:
        return None
    read, means, banks = Read(task.samples), Means([s.group for s in task.samples]), set()
    for r in journal.rows():
        read.update(r)
        means.update(r)
        banks |= {r["bank"]} if "bank" in r else set()
    if len(read.failed) == len(task.samples):
        first = read.failed[min(read.failed)]
        raise VizError(f"None of the {len(read.failed)} pictures could be used; the first: {first}")
    if len(banks) > 1:
        raise VizError("A picture changed during the run; run the same command again.")
    return SetResult(
        model.card.name,
        model.card.sha256,
        task.reported(),
        task.step,
        len(task.samples),
        data.whole,
        read.digest(),
        len(read.failed),
        tuple(read.listed()),
        means.compute(),
        left_out=tuple(p.id for p in data.problems if p.kind == LEFT_OUT),
    )
