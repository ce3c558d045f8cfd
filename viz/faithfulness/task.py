"""The controls over a data set, chunk by chunk, so that they can be stopped, resumed and shared by processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from viz.attention.probe import match, probes_of
from viz.datasets import Dataset, Sample, open_sample
from viz.engine import Model, versions
from viz.environment import plain_torch
from viz.errors import ProbeError, VizError
from viz.evaluation.described import MOST_FAILED, digest_of
from viz.evaluation.processes import Processes
from viz.evaluation.runner import Begin, reason_of, run
from viz.faithfulness.dataset import KEY, Summary, measure
from viz.faithfulness.gates import GateBank, gate_bank
from viz.faithfulness.passes import Passes
from viz.faithfulness.report import PARTS, QUICK, Options, Part, source_for
from viz.faithfulness.results import Row, plain
from viz.geometry import prepare
from viz.intervals import interval
from viz.picture import Picture

# Pictures of a chunk: a few, because each takes hundreds of passes and a stopped run loses the chunk in work.
CHUNK = 4
EXAMPLES = 12
# Of a sample: its place, its label's class, the first digits of its picture's sha256.
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
    """A run of one model over a data set, for `viz.evaluation.runner.run`.

    Rows, one a sample: ``i`` its place; then ``failed`` (a sentence), or ``h`` (16 digits of the picture's sha256),
    ``class`` and ``values``: lists of control, source, variant, measure, value (None: no number), each named once.

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
            with self.model._lock:
                source_for(self.model, text, self.step, quick)(self.model.network, x, torch.zeros(1).long())

    def request(self) -> dict[str, Any]:
        """What decides the rows."""
        card = self.model.card
        return {
            "kind": "faithfulness",
            # Sums differ in their last digits between libraries and devices: rows of two must not be mixed.
            "versions": versions(),
            "device": self.model.device.type,
            "model": [card.name, card.sha256, self.model.geometry, str(self.model.dtype)],
            "data": [self.data.name, self.data.split, self.data.fingerprint],
            "asked": plain(self.asked),
        }

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
                places.append((i, sample.class_index, picture.sha256[:16]))
            except VizError as error:
                rows.append({"i": i, "failed": reason_of(error)})
        if inputs:
            rows += self._measured(torch.cat(inputs), places)
        return sorted(rows, key=lambda r: int(r["i"]))

    def _check_label(self, sample: Sample) -> None:
        if sample.class_index is None or sample.class_index >= len(self.model.head.labels):
            raise VizError(f"The label of {sample.id} is no class of this network.")

    def _input(self, picture: Picture) -> Tensor:
        return prepare(picture, self.model.card.preprocessing, self.model.geometry)[0]

    def _measured(self, x: Tensor, places: Sequence[Place]) -> list[Row]:
        asked = self.asked
        classes = Passes.of(self.model, self.step).logits(x).argmax(dim=1)
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
            {"i": i, "h": digest, "class": int(c), "values": v}
            for (i, _, digest), c, v in zip(places, classes, values, strict=True)
        ]

    def bank(self) -> GateBank | None:
        """Mean gates of the whole set, made once; None where no control or no gate needs them."""
        if "reliance" not in self.asked.controls or self.model.network.family is None:
            return None
        if self._bank is None:
            label = f"the {len(self.samples)} pictures of {self.data.name}"
            passes = Passes.of(self.model, self.step)
            self._bank = gate_bank(passes, self._inputs(), label, self.asked.options.probes, examples=EXAMPLES)
        return self._bank

    def _inputs(self, batch: int = 16) -> Iterator[Tensor]:
        held: list[Tensor] = []
        for sample in self.samples:
            try:
                held.append(self._input(open_sample(sample)))
            except VizError:
                continue  # counted where its rows are made
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


@dataclass(frozen=True)
class SetResult:
    """The controls of one model over a data set.

    `table` of means; `samples`, and of how many they were chosen (None: all there are); `failed_count`, and the first
    that `failed` (id, reason); `request`: what was asked for; `picture_bytes`: digest of all pictures that were read.
    """

    model: str
    sha256: str
    request: dict[str, Any]
    step: int
    samples: int
    chosen_of: int | None
    picture_bytes: str
    failed_count: int
    failed: tuple[tuple[str, str], ...]
    table: tuple[Summary, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        found: dict[str, Any] = plain(self)
        return found


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
    journal = run(task, folder, processes=me, device=model.device, begin=begin)
    if not me.first:
        return None
    failed = {int(r["i"]): str(r["failed"]) for r in journal.rows() if "failed" in r}
    if len(failed) == len(task.samples):
        raise VizError(f"None of the {len(failed)} pictures could be used; the first: {failed[min(failed)]}")
    table = tuple(_table(journal.rows(), [s.group for s in task.samples]))
    card = model.card
    listed = tuple((task.samples[i].id, failed[i]) for i in sorted(failed)[:MOST_FAILED])
    digests = np.zeros(len(task.samples), np.uint64)
    for r in journal.rows():
        if "h" in r:
            digests[int(r["i"])] = int(r["h"], 16)
    return SetResult(
        card.name,
        card.sha256,
        task.request(),
        task.step,
        len(task.samples),
        data.whole,
        digest_of(digests),
        len(failed),
        listed,
        table,
    )


def _table(rows: Iterable[Row], groups: Sequence[str]) -> Iterator[Summary]:
    """Mean and interval of every measure: eight bytes a number are kept, whatever order the rows come in."""
    columns: dict[tuple[str, ...], NDArray[np.float64]] = {}
    there: dict[tuple[str, ...], NDArray[np.bool_]] = {}
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    for r in rows:
        place = int(r["i"])
        for position, (*key, value) in enumerate(r.get("values", ())):
            name = tuple(key)
            if name not in columns:
                columns[name] = np.full(len(groups), np.nan)
                there[name] = np.zeros(len(groups), np.bool_)
                first[name] = (place, position)
            columns[name][place] = math.nan if value is None else float(value)
            there[name][place] = True
            first[name] = min(first[name], (place, position))
    for name in sorted(columns, key=lambda n: first[n]):
        made = interval(columns[name], groups)
        control, source, variant, measure_ = name
        missing = int(there[name].sum()) - made.n
        yield Summary(control, source, variant, measure_, made.value, made.low, made.high, made.n, missing)
