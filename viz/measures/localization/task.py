"""The rows of an evaluation: one per model and sample, made batch by batch. See `viz.measures.jobs.runner`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from viz.core.finite import missing
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.datasets import DatasetError, Sample, has_object, load_mask, open_sample
from viz.datasets.core import Box
from viz.errors import VizError
from viz.measures.jobs.rows import MADE_FROM, Row, made_from, names_of
from viz.measures.jobs.runner import Place, Task
from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
from viz.measures.localization.options import Plan
from viz.measures.localization.protocol import resize_boxes, resize_mask
from viz.measures.localization.scores import Truth, baseline_entries, map_entry
from viz.measures.localization.tdam_rule import filter_steps, rule_box
from viz.picture import Picture
from viz.run.engine import Model

_MIXED = {None: None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Opened:
    """A sample whose picture was read: `truth` on the protocol's square, `notes` on what was changed in it, `made_from`
    of `viz.measures.jobs.rows`."""

    position: int
    sample: Sample
    picture: Picture
    truth: Truth
    notes: Row
    made_from: str


class EvaluationTask(Task):
    """An evaluation as a task.

    Rows: ``m`` model, ``d`` data set (0 is reported, 1 tunes), ``i`` position; then either ``failed`` (the reason) or
    ``h`` (digest of the picture's bytes), ``of`` (digest of the row's inputs), ``rank`` (rank of the sample's class at
    each step, from 0; the number of classes where the answer is not finite), ``union`` (right at any step among the
    first 1, 5; unfiltered, filtered), ``c`` (1: a box was clipped at the edge of the picture, or dropped beyond it),
    ``e`` (1: the mask is empty and ignored), ``nf`` (what is not finite, if anything: maps, and "" for the answer),
    ``s`` {map: entry of `viz.measures.localization.scores`}. Every row is sealed, see `viz.measures.jobs.rows`.

    Args:
        readers: threads that read the pictures of the next chunk ahead; 0 reads them in turn.
    """

    NAMES = ("m", "d", "i")

    def __init__(self, plan: Plan, readers: int = 0) -> None:
        super().__init__("evaluation", plan.device.partition(":")[0])
        self.plan, self.data, self.options = plan, plan.data, plan.options
        # Model, data set and samples of each chunk.
        self._chunks = [
            (m, d, range(start, min(start + self.options.batch, len(one))))
            for m in range(len(plan.models))
            for d, one in enumerate(plan.data)
            for start in range(0, len(one), self.options.batch)
        ]
        self._readers = ThreadPoolExecutor(readers) if readers else None
        self._ahead: dict[Place, Future[Opened]] = {}

    def asked_for(self) -> Row:
        return {
            "models": [[Path(m).name, c.sha256] for m, c in zip(self.plan.models, self.plan.cards, strict=True)],
            "data": [[d.name, d.split, names_of(d)] for d in self.data],
            "options": self.options.to_json(),
        }

    def chunks(self) -> int:
        return len(self._chunks)

    def places(self, chunk: int) -> list[Place]:
        model, data, samples = self._chunks[chunk]
        return [(model, data, i) for i in samples]

    def made_from(self, sample: Place) -> str:
        data, place = sample
        return made_from(self.data[data][place])

    def picture(self, place: Place) -> str:
        return f"{place[1]}:{self.data[place[1]][place[2]].group}"

    def model(self, number: int) -> Model:
        """The loaded model.

        Raises:
            VizError: its file is not the one that was planned with.
        """
        found = self.plan.engine.model(self.plan.models[number])
        if found.card.sha256 != self.plan.cards[number].sha256:
            raise VizError(f"The checkpoint file of {found.card.name} changed during the run.")
        return found

    def run(self, chunk: int) -> list[Row]:
        if self._readers is not None:
            # Only the next chunk is guessed. With several processes it may be another's, and the guess is wasted.
            places = [place for n in (chunk, chunk + 1) if n < len(self._chunks) for place in self.places(n)]
            self._ahead = {p: self._ahead.get(p) or self._readers.submit(self._opened, p) for p in places}
        return super().run(chunk)

    def read(self, place: Place) -> Opened:
        return self._opened(place) if self._readers is None else self._ahead[place].result()

    def _opened(self, place: Place) -> Opened:
        _, data, position = place
        return open_with_truth(position, self.data[data][position])

    def traced(
        self, number: int, opened: Sequence[Opened], only: str | None = None
    ) -> tuple[list[Trace], Iterator[tuple[str, int, NDArray[np.float32]]]]:
        """Traces of a batch under a model; then, map by map, (its text, place in the batch, values).

        A sample whose label is not a class of the network has no class map. `only`: one of the maps.
        """
        model, options = self.model(number), self.options
        sources = [(text, source) for text, source in self.plan.sources[number] if only in (None, text)]
        pictures = [o.picture for o in opened]
        x, geometries = prepare_all(model, pictures)
        probes = probes_for([source for _, source in sources])
        traces = trace_batch(model, pictures, x, geometries, probes=probes, mixed=_MIXED[options.mixed])

        def maps() -> Iterator[tuple[str, int, NDArray[np.float32]]]:
            for text, source in sources:
                classes = [self._class_of(o, t, source) for o, t in zip(opened, traces, strict=True)]
                usable = [k for k, c in enumerate(classes) if c is not None]
                if not usable:
                    continue
                found = native_maps(
                    model,
                    source,
                    [traces[k] for k in usable],
                    x=x[usable] if len(usable) < len(opened) else x,
                    classes=[c for c in classes if c is not None],
                    options=options.attribution,
                )
                yield from ((text, k, native) for k, native in zip(usable, found, strict=True))

        return traces, maps()

    def measured(self, chunk: int, read: list[Opened]) -> list[Row]:
        thresholds, number = self.options.thresholds, self._chunks[chunk][0]
        traces, maps = self.traced(number, read)
        lost = [[""] if missing(t.logits) else [] for t in traces]
        # Baselines ignore the network: the rows of the first one hold them.
        entries = [dict(baseline_entries(o.truth, thresholds)) if number == 0 else {} for o in read]
        for text, k, native in maps:
            entries[k][text] = map_entry(native, read[k].truth, thresholds)
            if missing(native):
                lost[k].append(text)
        return [
            _classified(o, t) | ({"nf": names} if names else {}) | {"s": found}
            for o, t, names, found in zip(read, traces, lost, entries, strict=True)
        ]

    def _class_of(self, opened: Opened, trace: Trace, source: MapSpec) -> int | None:
        if not source.needs_class:
            return 0
        if self.options.classes == "label":
            return opened.sample.class_index
        return int(trace.logits[trace.step_number(source.step) - 1].argmax())


def open_with_truth(position: int, sample: Sample) -> Opened:
    """The picture and truth of a sample.

    Raises:
        VizError: a file cannot be read, or the mask does not fit.
    """
    picture = open_sample(sample)
    proof = made_from(sample, picture.sha256)
    inside = _inside(sample, picture.size)
    boxes = resize_boxes(inside, picture.size) if inside else None
    mask = None if sample.mask is None else load_mask(sample)
    if mask is not None and mask.shape != picture.size:
        raise DatasetError(f"The mask of {sample.id} differs in size from its picture.")
    notes: Row = {"c": 1} if inside != sample.boxes else {}
    if mask is not None and not has_object(mask):
        mask, notes = None, notes | {"e": 1}
    truth = Truth(boxes, None if mask is None else resize_mask(mask))
    return Opened(position, sample, picture, truth, notes, proof)


def _inside(sample: Sample, size: tuple[int, int]) -> tuple[Box, ...]:
    """The boxes clipped at the picture's edges, where the index does not give its size; boxes outside are dropped."""
    if sample.size is not None:
        return sample.boxes
    height, width = (float(v) for v in size)
    cut = [(x0, y0, min(x1, width), min(y1, height)) for x0, y0, x1, y1 in sample.boxes]
    return tuple(box for box in cut if box[0] < width and box[1] < height)


def _classified(opened: Opened, trace: Trace) -> Row:
    """The rank of the sample's class at each step, and the union over steps."""
    row: Row = {"i": opened.position, "h": opened.picture.sha256[:16], MADE_FROM: opened.made_from} | opened.notes
    wanted = opened.sample.class_index
    if wanted is None:
        return row
    row["rank"] = [_rank(z, wanted) for z in trace.logits]
    if trace.steps > 1:
        row["union"] = _union(trace, wanted)
    return row


def _rank(logits: NDArray[np.float32], wanted: int) -> int:
    """Number of classes before the wanted one; of equal logits the lower class comes first, as in a stable sort."""
    # In half precision a pass can overflow. Comparisons with NaN are all false and would put the class first.
    if not np.isfinite(logits).all():
        return len(logits)
    return int((logits > logits[wanted]).sum() + (logits[:wanted] == logits[wanted]).sum())


def _union(trace: Trace, wanted: int) -> list[list[int]]:
    """Whether the class is among the first 1, 5 at any step: unfiltered, and after the step filter of `tdam_rule`."""
    maps = [trace.class_map(t).native for t in range(1, trace.steps + 1)]
    # In half precision a pass can overflow; a map that is not finite has no box.
    boxes = [rule_box(m) if np.isfinite(m).all() else (0, 0, 0, 0) for m in maps]
    filtered = filter_steps(trace.logits[:, None], np.array(boxes)[:, None])[:, 0]
    best = [min(_rank(step, wanted) for step in logits) for logits in (trace.logits, filtered)]
    return [[int(rank < k) for k in (1, 5)] for rank in best]
