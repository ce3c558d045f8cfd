"""The controls over a data set, chunk by chunk, so that they can be stopped, resumed and shared by processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
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
from viz.measures.faithfulness.dataset import KEY, measure
from viz.measures.faithfulness.gates import GateBank, gate_bank
from viz.measures.faithfulness.passes import Passes
from viz.measures.faithfulness.report import PARTS, QUICK, Options, Part, source_for
from viz.measures.faithfulness.results import Row, plain
from viz.measures.faithfulness.set_result import SetResult, table_of
from viz.measures.jobs.kept import Check, request_key
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.runner import Begin, reason_of, run
from viz.measures.localization.described import MOST_FAILED, digest_of
from viz.measures.localization.proof import MADE_FROM, ROWS_FORM, digest, digest_of_file, is_sealed, names_of, sealed
from viz.picture import Picture
from viz.run.engine import Model, versions

# Pictures of a chunk: a few, because each takes hundreds of passes and a stopped run loses the chunk in work.
CHUNK = 4
EXAMPLES = 12
# Of a sample: its place, its label's class, its picture's sha256.
Place = tuple[int, int | None, str]


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


class FaithfulnessTask:
    """A run of one model over a data set, for `viz.measures.jobs.runner.run`.

    Rows, one a sample: ``i`` its place; then ``failed`` (a sentence), or ``h`` (16 digits of the picture's sha256),
    ``of`` (digest of what the row is made from), ``bank`` (of the pictures that the mean gates are made from; None
    without them), ``class`` and ``values``: lists of control, source, variant, measure, value (None: no number), each
    named once. Every row is sealed, see `viz.measures.localization.proof`.

    The mean gates need a pass over all pictures before the first chunk; each process makes it for itself, which costs
    one pass a picture where the controls cost hundreds.
    """

    def __init__(self, model: Model, data: Dataset, request: Request) -> None:
        if not len(data):
            raise VizError(f"The data set {data.name} has no sample.")
        self.model, self.data, self.asked = model, data, request
        self.samples = _once_each(data, request.classes)
        self.step = Passes.of(model, request.step).step
        self._bank: GateBank | None = None
        self._banked: str | None = None
        self._present: dict[int, str] = {}
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
            "model": [card.name, card.sha256, self.model.geometry, str(self.model.dtype)],
            "data": [self.data.name, self.data.split, names_of(self.data)],
            "asked": plain(self.asked),
        }

    def reported(self) -> dict[str, Any]:
        """The request as the result holds it."""
        found = {k: v for k, v in self.request().items() if k != "rows"}
        return found | {"data": [self.data.name, self.data.split, self.data.fingerprint]}

    @cached_property
    def key(self) -> str:
        """Of the request; rows are sealed with it."""
        return request_key(self.request())

    def check(self, chunk: int, rows: list[Row]) -> Check:
        """Whether rows of an earlier run are what this task wrote there, and from the files that are there now."""
        places = range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self.samples)))
        if chunk < 0 or not places or [row.get("i") for row in rows] != [*places]:
            return Check(whole=False)
        if not all(is_sealed(row, self.key) for row in rows):
            return Check(whole=False)
        changed = {i for i, row in zip(places, rows, strict=True) if row.get(MADE_FROM) != self._now(i)}
        shared = any(row.get("bank") != self._bank_now for row in rows)
        return Check(changed=frozenset(self.samples[i].group for i in changed), shared=shared)

    def _made_from(self, place: int, picture: str | None = None) -> str:
        """Digest of what a sample's row is made from: no box and no mask is read here, and a label only where asked."""
        sample = self.samples[place]
        label = sample.class_index if self.asked.classes == "label" else None
        return digest([picture or digest_of_file(sample.path), sample.id, sample.size, label])

    def _now(self, place: int) -> str:
        if place not in self._present:
            self._present[place] = self._made_from(place)
        return self._present[place]

    @cached_property
    def _bank_now(self) -> str | None:
        """Digest of all pictures as they are now, where the mean gates are made of them."""
        return digest([self._now(i) for i in range(len(self.samples))]) if self._has_bank else None

    @property
    def _has_bank(self) -> bool:
        return "reliance" in self.asked.controls and self.model.network.family is not None

    def chunks(self) -> int:
        return math.ceil(len(self.samples) / CHUNK)

    def size(self, chunk: int) -> int:
        return len(self.samples[chunk * CHUNK : (chunk + 1) * CHUNK])

    def run(self, chunk: int) -> list[Row]:
        start = chunk * CHUNK
        rows: list[Row] = []
        inputs: list[Tensor] = []
        places: list[Place] = []
        for i, sample in enumerate(self.samples[start : start + CHUNK], start):
            try:
                if self.asked.classes == "label":
                    self._check_label(sample)
                picture = open_sample(sample)
                inputs.append(self._input(picture))
                places.append((i, sample.class_index, picture.sha256))
            except VizError as error:
                rows.append({"i": i, "failed": reason_of(error)})
        if inputs:
            rows += self._measured(torch.cat(inputs), places)
        return [sealed(row, self.key) for row in sorted(rows, key=lambda r: int(r["i"]))]

    def _check_label(self, sample: Sample) -> None:
        if sample.class_index is None or sample.class_index >= len(self.model.head.labels):
            raise VizError(f"The label of {sample.id} is no class of this network.")

    def _input(self, picture: Picture) -> Tensor:
        return prepare(picture, self.model.card.preprocessing, self.model.geometry)[0]

    def _no_answer(self, logits: Tensor) -> str:
        try:
            check_answer(logits.numpy(), self.model.card.name, str(self.model.dtype).removeprefix("torch."))
        except NotFiniteError as error:
            return reason_of(error)
        return ""

    def _measured(self, x: Tensor, places: Sequence[Place]) -> list[Row]:
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
    failed = {int(r["i"]): str(r["failed"]) for r in journal.rows() if "failed" in r}
    if len(failed) == len(task.samples):
        raise VizError(f"None of the {len(failed)} pictures could be used; the first: {failed[min(failed)]}")
    table = tuple(table_of(journal.rows(), [s.group for s in task.samples]))
    card = model.card
    listed = tuple((task.samples[i].id, failed[i]) for i in sorted(failed)[:MOST_FAILED])
    digests = np.zeros(len(task.samples), np.uint64)
    banks = set()
    for r in journal.rows():
        if "h" in r:
            digests[int(r["i"])] = int(r["h"], 16)
            banks.add(r["bank"])
    if len(banks) > 1:
        raise VizError("A picture changed while the run was at work; run the same command again.")
    return SetResult(
        card.name,
        card.sha256,
        task.reported(),
        task.step,
        len(task.samples),
        data.whole,
        tuple(p.id for p in data.problems if p.kind == LEFT_OUT),
        digest_of(digests),
        len(failed),
        listed,
        table,
    )
