"""All controls of one picture and one map, or of a batch and several maps: does the network use what the map shows?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from viz.core.card import class_number
from viz.core.output import output_of
from viz.core.target import CellsTarget, region_words
from viz.environment import plain_torch
from viz.errors import ProbeError
from viz.files import csv_text
from viz.geometry import Geometry as Placed
from viz.geometry import Mode as Geometry
from viz.geometry import prepare
from viz.measures.codec import plain
from viz.measures.faithfulness.control import COLUMNS, PARTS, QUICK, QUICK_PARTS, Control, Options, Part, check_parts
from viz.measures.faithfulness.curves import CurveControl, CurveResult, curves
from viz.measures.faithfulness.gates import GateBank, gate_bank, gate_values
from viz.measures.faithfulness.passes import Passes, check_logits, log_odds, probability
from viz.measures.faithfulness.randomisation import Randomisation, randomisation
from viz.measures.faithfulness.reliance import Reliance, reliance
from viz.measures.faithfulness.sources import Source, source_of
from viz.measures.faithfulness.stability import Stability, stability
from viz.measures.faithfulness.words import words_for
from viz.measures.jobs.rows import Row
from viz.models.paths import bundled
from viz.picture import PictureSource, open_picture

if TYPE_CHECKING:
    from viz.run.engine import Model

CURVES: dict[str, tuple[CurveControl, ...]] = {
    "deletion": ("deletion",),
    "insertion": ("insertion",),
    "road": ("road_morf", "road_lerf"),
}
Progress = Callable[[float, str], None]
# A montage of two of the other photographs: it adds no gates of a further one.
_COMPOSITE = ("clutter.jpg",)


@dataclass(frozen=True)
class Report:
    """All controls of one map of one picture.

    Attributes:
        picture, sha256: of the picture. model: its name. source: the map. step: 1-based.
        class_index, label: the class. probability, log_odds: of the class, on the whole picture.
        best: whether it is the network's best class. options: of the controls.
        reliance, curves, randomisation, stability: the controls; None or empty where not requested.
        skipped: why a part could not be done, by part.
    """

    picture: str
    sha256: str
    model: str
    source: str
    step: int
    class_index: int
    label: str
    probability: float
    log_odds: float
    best: bool
    options: Options
    reliance: Reliance | None = None
    curves: tuple[CurveResult, ...] = ()
    randomisation: Randomisation | None = None
    stability: Stability | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> tuple[Control, ...]:
        """The controls that were made, in the order of `PARTS`."""
        every = (self.reliance, *self.curves, self.randomisation, self.stability)
        return tuple(r for r in every if r is not None)

    def curve(self, control: CurveControl) -> CurveResult | None:
        """One curve; None where not requested."""
        return next((c for c in self.curves if c.control == control), None)

    def rows(self) -> list[Row]:
        """One row per number: control, source, variant, measure, value."""
        return [r for result in self.results for r in result.rows()]

    def to_json(self) -> dict[str, Any]:
        """Plain values; a missing number is None. `words` says what each control shows and what it does not."""
        parts = {"reliance", "curves", "randomisation", "stability", "options"}
        head = {k: plain(v) for k, v in vars(self).items() if k not in parts}
        results = [r.to_json() for r in self.results]
        words = {r.control: asdict(words_for(r.control)) for r in self.results}
        return {**head, "options": plain(self.options), "results": results, "words": words}

    def to_csv(self) -> str:
        """`rows` as CSV with a header; a missing number is empty."""
        return csv_text(plain(self.rows()), COLUMNS)


@plain_torch()
def sample_bank(model: Model, step: int = -1, probes: Sequence[str] | None = None) -> GateBank:
    """A model's gates for the bundled sample photographs, which stand for other pictures."""
    paths = [p for p in sorted(bundled("assets").glob("*.jpg")) if p.name not in _COMPOSITE]
    inputs = (prepare(open_picture(p), model.card.preprocessing, model.geometry)[0] for p in paths)
    return gate_bank(Passes.of(model, step), inputs, "the bundled samples", probes, examples=len(paths))


@plain_torch()
def faithful(
    model: Model,
    picture: PictureSource,
    *,
    source: str | Source = "cam",
    class_index: int | str | None = None,
    step: int = -1,
    parts: Sequence[Part] = QUICK_PARTS,
    options: Options = QUICK,
    bank: GateBank | None = None,
    geometry: Geometry | None = None,
    region: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Test whether the network uses what a map shows. It takes a few seconds on a small network.

    Args:
        picture: a Picture, or what `viz.open_picture` takes. source: the map, see `source_of`.
        class_index: number or name; default the best class of the step. step: 1-based, or from -1 (last).
        parts: the controls; ROAD takes longest and is off by default.
        bank: gates of other pictures; default those of the bundled samples. geometry: default the model's.
        region: of a dense answer, in picture pixels, see `viz.core.target`: each class's logits are averaged over it
            (default: the whole picture) before a probability is taken.
        progress: called with the fraction done, 0 to 1, and a word; an exception it raises ends the work.

    The model is not changed, and others can use it in between.

    Raises:
        VizError and its kinds: one sentence each.
    """
    check_parts(parts)
    passes = Passes.of(model, step, options.batch)
    opened = open_picture(picture)
    x, placed = prepare(opened, model.card.preprocessing, geometry or model.geometry)
    passes = passes if region is None else replace(passes, cells=_cells(model, passes, x, placed, region))
    logits = check_logits(model, passes.logits(x))
    best = int(logits[0].argmax())
    chosen = best if class_index is None else class_number(model.labels, class_index)
    classes = torch.tensor([chosen])
    asked = source_for(model, source, passes.step, options, passes.cells)
    controls = Controls(model, passes, x, classes, [asked], options)
    _ = controls.maps  # reports a map that the network does not have before anything else
    made: list[Control] = []
    skipped: dict[str, str] = {}
    wanted = [p for p in PARTS if p in parts]
    for done, part in enumerate(wanted):

        def inner(share: float, word: str, done: int = done) -> None:
            if progress:
                progress((done + share) / len(wanted), word)

        inner(0.0, part)
        try:
            if part == "reliance":
                controls.bank = bank or sample_bank(model, passes.step, options.probes)
            made += controls.of(part, inner)[0]
        except ProbeError as error:
            if part != "reliance" or options.probes is not None:
                raise
            skipped[part] = str(error)
    if progress:
        progress(1.0, "done")
    return Report(
        opened.name,
        opened.sha256,
        model.card.name,
        asked.name,
        passes.step,
        chosen,
        model.labels[chosen] if region is None else f"{model.labels[chosen]} {region_words(region)}",
        float(probability(logits, classes)[0]),
        float(log_odds(logits, classes)[0]),
        best == chosen,
        options,
        next((r for r in made if isinstance(r, Reliance)), None),
        tuple(r for r in made if isinstance(r, CurveResult)),
        next((r for r in made if isinstance(r, Randomisation)), None),
        next((r for r in made if isinstance(r, Stability)), None),
        skipped,
    )


def _cells(model: Model, passes: Passes, x: torch.Tensor, geometry: Placed, region: tuple[int, ...]) -> tuple[int, ...]:
    """The cells of a region in the model's answer to x."""
    with torch.inference_mode(), passes.alone():
        answer = model.network(x.to(model.device, model.dtype), passes.step)[0]
    output = output_of(model.network.output, [answer.float().cpu().numpy()], geometry, model.labels, model.card)
    target = output.target(geometry, 1, 0, region)
    return target.cells or () if isinstance(target, CellsTarget) else ()


def source_for(
    model: Model, source: str | Source, step: int, options: Options, cells: tuple[int, ...] | None = None
) -> Source:
    """The map of a specification for this model; a `Source` is returned unchanged."""
    if isinstance(source, Source):
        return source
    return source_of(
        source,
        step,
        model.network.family,
        steps=model.network.steps,
        labels=model.labels,
        options=options.attribution,
        preprocessing=model.card.preprocessing,
        cells=cells,
    )


@dataclass(eq=False)
class Controls:
    """The controls of inputs x (N, 3, h, w) for the classes (N,)."""

    model: Model
    passes: Passes
    x: torch.Tensor
    classes: torch.Tensor
    sources: Sequence[Source]
    options: Options
    bank: GateBank | None = None

    @cached_property
    def maps(self) -> list[torch.Tensor]:
        """(N, h', w') of each source."""
        return [self.passes.maps(source, self.x, self.classes) for source in self.sources]

    def of(self, part: Part, progress: Progress | None = None) -> list[list[Control]]:
        """The results of one part for each picture.

        Raises:
            ProbeError: no gate for reliance.
        """
        passes, options, sources = self.passes, self.options, self.sources
        if part == "reliance":
            return [[r] for r in reliance(passes, self.x, self.classes, bank=self.bank, probes=options.probes)]
        if part == "randomisation":
            made = randomisation(passes, self.x, self.classes, sources, options=options, progress=progress)
            return [list(of_picture) for of_picture in zip(*made, strict=True)]
        found: list[list[Control]] = []
        for i, number in enumerate(self.classes.tolist()):
            x = self.x[i : i + 1]
            if part == "stability":
                std = self.model.card.preprocessing.std
                found.append([*stability(passes, x, number, sources, std, options=options)])
            else:
                maps = {source.name: maps[i] for source, maps in zip(sources, self.maps, strict=True)}
                made_of = curves(passes, x, number, maps, CURVES[part], options=options, progress=progress)
                found.append([*made_of])
        return found


@plain_torch()
def measure(
    model: Model,
    x: torch.Tensor,
    classes: torch.Tensor | None = None,
    options: Options = QUICK,
    *,
    sources: Sequence[str | Source] = ("cam",),
    controls: Sequence[Part] = PARTS,
    step: int = -1,
    bank: GateBank | None = None,
) -> list[Row]:
    """All controls on a batch of prepared inputs.

    Args:
        x: (N, 3, h, w), as `viz.geometry.prepare` gives them. classes: (N,), default the best of the step.
        sources: the maps. controls: the parts; reliance is left out where the network has no gate.
        bank: gates of other pictures, for reliance.

    Returns:
        Rows of ``item`` (0 .. N - 1), ``control``, ``source``, ``variant``, ``measure``, ``value`` (NaN where missing).
        The control ``network`` is the answer on the whole picture.

    Raises:
        VizError and its kinds: one sentence each.
    """
    check_parts(controls)
    passes = Passes.of(model, step, options.batch)
    logits = check_logits(model, passes.logits(x))
    best = logits.argmax(dim=1)
    classes = best if classes is None else classes.cpu()
    asked = [source_for(model, s, passes.step, options) for s in sources]
    made = Controls(model, passes, x, classes, asked, options, bank)
    answers = {"probability": probability(logits, classes), "log_odds": log_odds(logits, classes)}
    answers["best"] = (best == classes).double()
    found: list[list[Row]] = [
        [dict(zip(COLUMNS, ("network", "", "", m, float(v[i])), strict=True)) for m, v in answers.items()]
        for i in range(len(x))
    ]
    for part in (p for p in PARTS if p in controls):
        # Plain networks have no gate, and neither has a first step without attention.
        if part == "reliance" and options.probes is None and not gate_values(passes, x[:1]):
            continue
        for rows, results in zip(found, made.of(part), strict=True):
            rows += [r for result in results for r in result.rows()]
    return [{"item": i, **r} for i, rows in enumerate(found) for r in rows]
