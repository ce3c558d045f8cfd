"""The controls over a data set, chunk by chunk, so that they can be stopped, resumed and shared by processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from viz.capture.probe import probes_of
from viz.core.finite import check_answer
from viz.core.record import match
from viz.datasets import Dataset, Sample, open_sample
from viz.datasets.core import LEFT_OUT
from viz.environment import plain_torch
from viz.errors import NotFiniteError, ProbeError, VizError
from viz.geometry import prepare
from viz.measures.faithfulness.gates import GateBank, gate_bank
from viz.measures.faithfulness.passes import Passes
from viz.measures.faithfulness.report import PARTS, QUICK, Options, Part, measure, source_for
from viz.measures.faithfulness.results import plain
from viz.measures.faithfulness.set_result import KEY, Means, Requested, SetResult
from viz.measures.jobs.gather import Read as Seen
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.rows import MADE_FROM, ROWS_FORM, Row, digest, digest_of_file, names_of
from viz.measures.jobs.runner import Begin, reason_of, run
from viz.measures.jobs.task import Place, SetTask
from viz.picture import Picture
from viz.run.engine import Model, versions

# Pictures of a chunk: a few, because each takes hundreds of passes and a stopped run loses the chunk in work.
CHUNK = 4
EXAMPLES = 12
# Of a sample: its place, its label's class, its picture's sha256.
Read = tuple[int, int | None, str]


@dataclass(frozen=True)
class Request:
    """What a run over a data set is asked for.

    Attributes:
        sources, controls, step, options: as in `measure`.
        classes: ``predicted`` (what the network answers) or ``label`` (samples without an ImageNet class fail).
        threads: of one process on the CPU, part of the request because sums differ in their last digits with it.
    """

    sources: tuple[str, ...] = ("cam",)
    controls: tuple[Part, ...] = PARTS
    step: int = -1
    classes: str = "predicted"
    options: Options = QUICK
    threads: int = 1

    def __post_init__(self) -> None:
        strange = [c for c in self.controls if c not in PARTS]
        if strange or not self.controls:
            raise VizError(f"The controls are {', '.join(PARTS)}.")
        if self.classes not in ("predicted", "label"):
            raise VizError(f"The classes are those predicted or those of the label, not {self.classes[:40]!r}.")
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise VizError("Maps are needed, and each of them once.")


class FaithfulnessTask(SetTask):
    """A run of one model over a data set, for `viz.measures.jobs.runner.run`.

    Rows, one a sample: ``i`` its place; then ``failed`` (a sentence), or ``h`` (16 digits of the picture's sha256),
    ``of`` (digest of what the row is made from), ``bank`` (of the pictures that the mean gates are made from; None
    without them), ``class`` and ``values``: lists of control, source, variant, measure, value (None: no number), each
    named once. Every row is sealed, see `viz.measures.jobs.rows`.

    The mean gates need a pass over all pictures before the first chunk; each process makes it for itself, which costs
    one pass a picture where the controls cost hundreds.
    """

    def __init__(self, model: Model, data: Dataset, request: Request) -> None:
        super().__init__()
        if not len(data):
            raise VizError(f"The data set {data.name} has no sample.")
        self.model, self.data, self.asked = model, data, request
        self.samples = _once_each(data, request.classes)
        self.step = Passes.of(model, request.step).step
        self._bank: GateBank | None = None
        self._banked: str | None = None
        self._check()

    def _check(self) -> None:
        """A map that the network does not have is told before the first picture."""
        height, width = self.model.card.preprocessing.size
        x = torch.zeros((1, 3, height, width), dtype=self.model.dtype, device=self.model.device)
        strange = [p for p in self.asked.options.probes or () if not match(list(probes_of(self.model.network)), p)]
        if strange:
            raise ProbeError(f"{self.model.card.name} has no probe {strange[0][:60]!r}.")
        quick = replace(self.asked.options, attribution=replace(self.asked.options.attribution, n_steps=1))
        for text in self.asked.sources:
            with self.model.alone():
                source_for(self.model, text, self.step, quick)(self.model.network, x, torch.zeros(1).long())

    def request(self) -> dict[str, Any]:
        """What decides the rows."""
        card = self.model.card
        return {
            "kind": "faithfulness",
            "rows": ROWS_FORM,
            # Sums differ in their last digits between libraries and devices: rows of two must not be mixed.
            "versions": versions(),
            "device": self.model.device.type,
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
        """Digest of what a sample's row is made from: no box and no mask is read here, and a label only where asked."""
        sample = self.samples[place]
        label = sample.class_index if self.asked.classes == "label" else None
        return digest([picture or digest_of_file(sample.path), sample.id, sample.size, label])

    @property
    def _has_bank(self) -> bool:
        return "reliance" in self.asked.controls and self.model.network.family is not None

    def measured(self, chunk: int) -> list[Row]:
        rows: list[Row] = []
        inputs: list[Tensor] = []
        read: list[Read] = []
        for (i,) in self.places(chunk):
            sample = self.samples[i]
            try:
                if self.asked.classes == "label":
                    self._check_label(sample)
                picture = open_sample(sample)
                inputs.append(self._input(picture))
                read.append((i, sample.class_index, picture.sha256))
            except VizError as error:
                rows.append({"i": i, "failed": reason_of(error)})
        return rows + self._measured(torch.cat(inputs), read) if inputs else rows

    def _check_label(self, sample: Sample) -> None:
        if sample.class_index is None or sample.class_index >= len(self.model.labels):
            raise VizError(f"The label of {sample.id} is no class of this network.")

    def _input(self, picture: Picture) -> Tensor:
        return prepare(picture, self.model.card.preprocessing, self.model.geometry)[0]

    def _no_answer(self, logits: Tensor) -> str:
        try:
            check_answer(logits.numpy(), self.model.card.name, str(self.model.dtype).removeprefix("torch."))
        except NotFiniteError as error:
            return reason_of(error)
        return ""

    def _measured(self, x: Tensor, places: Sequence[Read]) -> list[Row]:
        asked = self.asked
        logits = Passes.of(self.model, self.step).logits(x)
        sound = logits.isfinite().all(dim=1)
        if not sound.all():  # without an answer there is nothing to measure, of these pictures alone
            lost = [{"i": i, "failed": self._no_answer(row)} for (i, _, _), row in zip(places, logits, strict=True)]
            rest = [p for p, good in zip(places, sound, strict=True) if good]
            failed: list[Row] = [row for row, good in zip(lost, sound, strict=True) if not good]
            return failed + (self._measured(x[sound], rest) if rest else [])
        classes = logits.argmax(dim=1)
        if asked.classes == "label":
            classes = torch.tensor([c for _, c, _ in places])
        found = measure(
            self.model,
            x,
            classes,
            asked.options,
            sources=asked.sources,
            controls=asked.controls,
            step=self.step,
            bank=self.bank(),
        )
        values: list[list[Any]] = [[] for _ in places]
        for r in found:
            values[r["item"]].append([*(r[k] for k in KEY), plain(r["value"])])
        return [
            {
                "i": i,
                "h": sha256[:16],
                MADE_FROM: self._made_from(i, sha256),
                "bank": self._banked,
                "class": int(c),
                "values": v,
            }
            for (i, _, sha256), c, v in zip(places, classes, values, strict=True)
        ]

    def bank(self) -> GateBank | None:
        """Mean gates of the whole set, made once; None where no control or no gate needs them."""
        if not self._has_bank:
            return None
        if self._bank is None:
            read: list[str] = []
            label = f"the {len(self.samples)} pictures of {self.data.name}"
            passes = Passes.of(self.model, self.step)
            self._bank = gate_bank(passes, self._inputs(read), label, self.asked.options.probes, examples=EXAMPLES)
            self._banked = digest(read)
        return self._bank

    def _inputs(self, read: list[str], batch: int = 16) -> Iterator[Tensor]:
        """Batches of all pictures; `read` gets the digest of each."""
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
    """Samples of a picture differ by their label alone: without labels one of them is enough."""
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
    """All controls over a data set, or what is left of an earlier run in the same folder.

    Returns:
        The result on the first process, None on the others.

    Raises:
        VizError and its kinds: one sentence each.
    """
    me = processes or Processes()
    torch.set_num_threads(request.threads)
    task = FaithfulnessTask(model, data, request)
    journal = run(task, folder, processes=me, device=model.device, begin=begin, check=task.check)
    if not me.first:
        return None
    read, means, banks = Seen(len(task.samples)), Means([s.group for s in task.samples]), set()
    for r in journal.rows():
        read.update(r)
        means.update(r)
        banks |= {r["bank"]} if "bank" in r else set()
    if len(read.failed) == len(task.samples):
        first = read.failed[min(read.failed)]
        raise VizError(f"None of the {len(read.failed)} pictures could be used; the first: {first}")
    if len(banks) > 1:
        raise VizError("A picture changed while the run was at work; run the same command again.")
    return SetResult(
        model.card.name,
        model.card.sha256,
        task.reported(),
        task.step,
        len(task.samples),
        data.whole,
        read.compute(),
        len(read.failed),
        tuple(read.listed(task.samples)),
        tuple(s.rounded() for s in means.compute()),
        left_out=tuple(p.id for p in data.problems if p.kind == LEFT_OUT),
    )
