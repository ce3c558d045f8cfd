"""The rows of an evaluation: one for each model and sample, made batch by batch. See `viz.measures.jobs.runner`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from viz.core.finite import missing
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.datasets import Dataset, DatasetError, Sample, has_object, load_mask, open_sample
from viz.datasets.core import Box
from viz.errors import VizError
from viz.measures.jobs.kept import Check, Row, request_key
from viz.measures.jobs.runner import reason_of
from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
from viz.measures.localization.options import Options
from viz.measures.localization.proof import MADE_FROM, ROWS_FORM, is_sealed, made_from, names_of, sealed
from viz.measures.localization.protocol import resize_boxes, resize_mask
from viz.measures.localization.scores import Truth, floor_entries, map_entry
from viz.measures.localization.tdam_rule import filter_steps, rule_box
from viz.picture import Picture
from viz.run.engine import Model, load, versions

_MIXED = {None: None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Opened:
    """A sample whose picture could be read: `truth` on the protocol's square, `notes` on what was changed in it,
    `made_from` of `viz.measures.localization.proof`."""

    position: int
    sample: Sample
    picture: Picture
    truth: Truth
    notes: Row
    made_from: str


@dataclass(frozen=True)
class Chunk:
    """Chunk `number` is `count` samples from `start` of data set `data`, under model `model`."""

    model: int
    data: int
    start: int
    count: int


class EvaluationTask:
    """An evaluation as a task.

    Rows: ``m`` model, ``d`` data set (0 is reported, 1 tunes), ``i`` position; then either ``failed`` (a sentence) or
    ``h`` (digest of the picture's bytes), ``of`` (digest of all that the row is made from), ``rank`` (for each step the
    place of the sample's class, from 0; as many as there are classes where the answer is not finite), ``union`` (right
    by any step among the first 1, 5; unfiltered, filtered), ``c`` (1: a box was cut at the picture's edge, or left out
    beyond it), ``e`` (1: its mask is empty and not used), ``nf`` (what of the pass is not finite: sources, and "" for
    the answer; only where something is), ``s`` {source: entry of `viz.measures.localization.scores`}. Every row
    is sealed, see `viz.measures.localization.proof`.

    Args:
        models: names or files. checkpoints: their sha256, part of the request.
        sources: for each model what is read of it: (text in the result, source).
        data: the data set that is reported, then the one that thresholds are tuned on, if any.
        device: where the networks run. models_folder: with further checkpoints.
        readers: threads that open the pictures of the next chunk meanwhile; 0 opens them in turn.
    """

    def __init__(
        self,
        models: Sequence[str],
        checkpoints: Sequence[str],
        sources: Sequence[Sequence[tuple[str, MapSpec]]],
        data: Sequence[Dataset],
        options: Options,
        *,
        device: str = "cpu",
        models_folder: str | None = None,
        readers: int = 0,
    ) -> None:
        self.models, self.checkpoints, self.sources = tuple(models), tuple(checkpoints), tuple(sources)
        self.data, self.options = tuple(data), options
        self.device, self.models_folder = device, models_folder
        self._chunks = [
            Chunk(m, d, start, min(options.batch, len(one) - start))
            for m in range(len(models))
            for d, one in enumerate(data)
            for start in range(0, len(one), options.batch)
        ]
        self._loaded: tuple[int, Model] | None = None
        self._readers = ThreadPoolExecutor(readers) if readers else None
        self._ahead: dict[int, list[Future[Opened | Row]]] = {}
        self._present: dict[tuple[int, int], str] = {}

    def request(self) -> dict[str, Any]:
        """What decides the rows."""
        return {
            "kind": "evaluation",
            "rows": ROWS_FORM,
            # Sums differ in their last digits between libraries and devices: rows of two must not be mixed.
            "versions": versions(),
            "device": self.device.partition(":")[0],
            "models": [[Path(m).name, c] for m, c in zip(self.models, self.checkpoints, strict=True)],
            "data": [[d.name, d.split, names_of(d)] for d in self.data],
            "options": self.options.to_json(),
        }

    @cached_property
    def key(self) -> str:
        """Of the request; rows are sealed with it."""
        return request_key(self.request())

    def check(self, chunk: int, rows: list[Row]) -> Check:
        """Whether rows of an earlier run are what this task wrote there, and from the files that are there now."""
        if not 0 <= chunk < len(self._chunks):
            return Check(whole=False)
        here = self._chunks[chunk]
        places = [(here.model, here.data, i) for i in range(here.start, here.start + here.count)]
        found = [(row.get("m"), row.get("d"), row.get("i")) for row in rows]
        if found != places or not all(is_sealed(row, self.key) for row in rows):
            return Check(whole=False)
        return Check(
            changed=frozenset(
                self._name(d, i)
                for (_, d, i), row in zip(places, rows, strict=True)
                if row.get(MADE_FROM) != self._now(d, i)
            )
        )

    def _name(self, data: int, place: int) -> str:
        return f"{data}:{self.data[data][place].group}"

    def _now(self, data: int, place: int) -> str:
        """What a sample's row would be made from today: each file is read once, not once for each model."""
        if (data, place) not in self._present:
            self._present[data, place] = made_from(self.data[data][place])
        return self._present[data, place]

    def chunks(self) -> int:
        return len(self._chunks)

    def size(self, chunk: int) -> int:
        return self._chunks[chunk].count

    def model(self, number: int) -> Model:
        """The loaded model; only one is kept at a time."""
        if self._loaded is None or self._loaded[0] != number:
            self._loaded = None
            found = load(self.models[number], self.device, precision=self.options.precision, models=self.models_folder)
            if found.card.sha256 != self.checkpoints[number]:
                raise VizError(f"The checkpoint file of {found.card.name} changed while the run was at work.")
            self._loaded = (number, found)
        return self._loaded[1]

    def run(self, chunk: int) -> list[Row]:
        here = self._chunks[chunk]
        model = self.model(here.model)
        opened = self._open(chunk)
        rows: list[Row] = [o for o in opened if isinstance(o, dict)]
        good = [o for o in opened if not isinstance(o, dict)]
        if good:
            rows += self._measure(model, good, here.model)
        ordered = sorted(rows, key=lambda r: int(r["i"]))
        return [sealed({"m": here.model, "d": here.data} | row, self.key) for row in ordered]

    def _open(self, chunk: int) -> list[Opened | Row]:
        jobs = self._jobs(chunk)
        if self._readers is None:
            return [read_sample(*job) for job in jobs]
        waiting = self._ahead.pop(chunk, None) or [self._readers.submit(read_sample, *job) for job in jobs]
        # Only the plain next chunk is guessed; under several processes it may be another's, and the guess is lost.
        self._ahead.clear()
        if chunk + 1 < len(self._chunks):
            self._ahead[chunk + 1] = [self._readers.submit(read_sample, *job) for job in self._jobs(chunk + 1)]
        return [w.result() for w in waiting]

    def _jobs(self, chunk: int) -> list[tuple[int, Sample]]:
        here = self._chunks[chunk]
        return [(i, self.data[here.data][i]) for i in range(here.start, here.start + here.count)]

    def _measure(self, model: Model, opened: Sequence[Opened], number: int) -> list[Row]:
        options, sources = self.options, self.sources[number]
        x, geometries = prepare_all(model, [o.picture for o in opened])
        traces = trace_batch(
            model,
            [o.picture for o in opened],
            x,
            geometries,
            probes=probes_for([source for _, source in sources]),
            mixed=_MIXED[options.mixed],
        )
        rows = [_classified(o, t) for o, t in zip(opened, traces, strict=True)]
        lost = [[""] if missing(t.logits) else [] for t in traces]
        entries: list[dict[str, Any]] = [{} for _ in opened]
        if number == 0:  # floors look at no network: once is enough
            for found, one in zip(entries, opened, strict=True):
                found |= floor_entries(one.truth, options.thresholds)
        for text, source in sources:
            classes = [self._class_of(o, t, source) for o, t in zip(opened, traces, strict=True)]
            # A sample whose label is no class of the network has no class map; the result counts such samples.
            usable = [k for k, c in enumerate(classes) if c is not None]
            if not usable:
                continue
            maps = native_maps(
                model,
                source,
                [traces[k] for k in usable],
                x=x[usable] if len(usable) < len(opened) else x,
                classes=[c for c in classes if c is not None],
                options=options.attribution,
            )
            for k, native in zip(usable, maps, strict=True):
                entries[k][text] = map_entry(native, opened[k].truth, options.thresholds)
                if missing(native):
                    lost[k].append(text)
        return [
            row | ({"nf": names} if names else {}) | {"s": found}
            for row, names, found in zip(rows, lost, entries, strict=True)
        ]

    def _class_of(self, opened: Opened, trace: Trace, source: MapSpec) -> int | None:
        if not source.needs_class:
            return 0
        if self.options.classes == "label":
            return opened.sample.class_index
        return int(trace.logits[trace.step_number(source.step) - 1].argmax())


def read_sample(position: int, sample: Sample) -> Opened | Row:
    """The picture and truth of a sample, or the row that says why it cannot be used."""
    try:
        picture = open_sample(sample)
        proof = made_from(sample, picture.sha256)
        inside = _inside(sample, picture.size)
        boxes = resize_boxes(inside, picture.size) if inside else None
        mask = None if sample.mask is None else load_mask(sample)
        if mask is not None and mask.shape != picture.size:
            raise DatasetError(f"The mask of {sample.id} has another size than its picture.")
    except VizError as error:
        return {"i": position, "failed": reason_of(error)}
    notes: Row = {"c": 1} if inside != sample.boxes else {}
    if mask is not None and not has_object(mask):
        mask, notes = None, notes | {"e": 1}
    truth = Truth(boxes, None if mask is None else resize_mask(mask))
    return Opened(position, sample, picture, truth, notes, proof)


def _inside(sample: Sample, size: tuple[int, int]) -> tuple[Box, ...]:
    """The boxes cut at the picture's edges, where only the picture could tell its size; what lies outside goes."""
    if sample.size is not None:
        return sample.boxes
    height, width = (float(v) for v in size)
    cut = [(x0, y0, min(x1, width), min(y1, height)) for x0, y0, x1, y1 in sample.boxes]
    return tuple(box for box in cut if box[0] < width and box[1] < height)


def _classified(opened: Opened, trace: Trace) -> Row:
    """Where the sample's class stands in each step's answer, and the union over steps."""
    row: Row = {"i": opened.position, "h": opened.picture.sha256[:16], MADE_FROM: opened.made_from} | opened.notes
    wanted = opened.sample.class_index
    if wanted is None:
        return row
    row["rank"] = [_rank(z, wanted) for z in trace.logits]
    if trace.steps > 1:
        row["union"] = _union(trace, wanted)
    return row


def _rank(logits: NDArray[np.float32], wanted: int) -> int:
    """Classes before the wanted one; of equal logits the lower class comes first, as in a stable sort.

    In half precision a pass can overflow. Comparisons with NaN are all false and would put the class first.
    """
    if not np.isfinite(logits).all():
        return len(logits)
    return int((logits > logits[wanted]).sum() + (logits[:wanted] == logits[wanted]).sum())


def _union(trace: Trace, wanted: int) -> list[list[int]]:
    """Whether any step has the class among its first 1, 5: unfiltered, and after the step filter of `tdam_rule`."""
    maps = [trace.class_map(t).native for t in range(1, trace.steps + 1)]
    # In half precision a pass can overflow; a map without numbers has no box.
    boxes = [rule_box(m) if np.isfinite(m).all() else (0, 0, 0, 0) for m in maps]
    filtered = filter_steps(trace.logits[:, None], np.array(boxes)[:, None])[:, 0]
    return [[int(_any_among(z, wanted, k)) for k in (1, 5)] for z in (trace.logits, filtered)]


def _any_among(logits: NDArray[np.float32], wanted: int, count: int) -> bool:
    return any(_rank(z, wanted) < count for z in logits)
