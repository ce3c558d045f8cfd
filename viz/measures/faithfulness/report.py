"""One picture and one map, or a batch and several maps, all controls: does the network use what is shown?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from viz.attribution import AttributionOptions
from viz.core.card import class_number
from viz.core.finite import check_answer
from viz.core.methods import DEFAULT_OPTIONS
from viz.core.output import output_of
from viz.core.target import CellsTarget, region_words
from viz.environment import plain_torch
from viz.errors import ProbeError, VizError
from viz.files import csv_text
from viz.geometry import Geometry as Placed
from viz.geometry import Mode as Geometry
from viz.geometry import prepare
from viz.measures.faithfulness.curves import CurveControl, CurveResult, curves
from viz.measures.faithfulness.gates import GateBank, gate_bank, gate_values
from viz.measures.faithfulness.impute import NOISE
from viz.measures.faithfulness.orders import Baseline, Unit
from viz.measures.faithfulness.passes import BATCH, Passes, log_odds, probability
from viz.measures.faithfulness.randomisation import MODES, How, Mode, Randomisation, randomisation
from viz.measures.faithfulness.reliance import Reliance, reliance
from viz.measures.faithfulness.results import Row, plain, row
from viz.measures.faithfulness.sources import Source, source_of
from viz.measures.faithfulness.stability import Stability, stability
from viz.measures.faithfulness.words import words_for
from viz.models.paths import bundled
from viz.picture import PictureSource, open_picture

if TYPE_CHECKING:
    from viz.run.engine import Model

Part = Literal["reliance", "deletion", "insertion", "road", "randomisation", "stability"]
PARTS: tuple[Part, ...] = get_args(Part)
# Filling large holes for many fractions costs as much as all others together.
QUICK_PARTS: tuple[Part, ...] = ("reliance", "deletion", "insertion", "randomisation", "stability")
CURVES: dict[str, tuple[CurveControl, ...]] = {
    "deletion": ("deletion",),
    "insertion": ("insertion",),
    "road": ("road_morf", "road_lerf"),
}
COLUMNS = ("control", "source", "variant", "measure", "value")
Progress = Callable[[float, str], None]
Control = Reliance | CurveResult | Randomisation | Stability
# A picture made of two others: its gates are no further photograph's.
_COMPOSITE = ("clutter.jpg",)
SAMPLES_LABEL = "the bundled samples"


@dataclass(frozen=True)
class Options:
    """How thorough the controls are.

    Attributes:
        points: intervals of the curves of deletion and insertion. road_points: of those of ROAD.
        seeds: random maps beside each curve. unit: what is removed, ``pixels`` or ``cells`` of the map.
        deletion, insertion: what stands in for pixels. noise: of ROAD's imputation, in network units.
        modes, how: of the random weights. sigmas, draws: of the noise, in units of 0..255. radius: of sensitivity_max.
        samples: of Captum's metrics. seed: of everything random. batch: inputs a pass.
        probes: gates to replace; None takes the family's. attribution: of maps that are attribution methods.
    """

    points: int = 8
    road_points: int = 4
    seeds: int = 2
    unit: Unit = "pixels"
    deletion: Baseline = "mean"
    insertion: Baseline = "blurred"
    noise: float = NOISE
    modes: tuple[Mode, ...] = MODES
    how: How = "normal"
    sigmas: tuple[float, ...] = (4.0, 16.0)
    draws: int = 4
    radius: float = 4.0
    samples: int = 8
    seed: int = 0
    batch: int = BATCH
    probes: tuple[str, ...] | None = None
    attribution: AttributionOptions = DEFAULT_OPTIONS


QUICK = Options()
THOROUGH = replace(QUICK, points=50, road_points=10, seeds=10, draws=16, samples=64)


@dataclass(frozen=True)
class Report:
    """All controls of one map of one picture.

    Attributes:
        picture, sha256: of the picture. model: its name. source: which map. step: 1-based.
        class_index, label: the class. probability, log_odds: the network's, on the whole picture.
        best: whether it is the network's best class.
        reliance, curves, randomisation, stability: the controls, None or empty where one was not asked for.
        skipped: by part, why it could not be done, in a sentence.
        options: what they were made with.
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
        """Those that there are, in the order of `PARTS`."""
        one = (self.reliance, *self.curves, self.randomisation, self.stability)
        return tuple(r for r in one if r is not None)

    def curve(self, control: CurveControl) -> CurveResult | None:
        """One curve, None where it was not asked for."""
        return next((c for c in self.curves if c.control == control), None)

    def rows(self) -> list[Row]:
        """Every number, one a row: control, source, variant, measure, value."""
        return [r for result in self.results for r in result.rows()]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None. `words` says what each control shows and does not."""
        parts = {"reliance", "curves", "randomisation", "stability", "options"}
        head = {k: plain(v) for k, v in vars(self).items() if k not in parts}
        results = [r.to_json() for r in self.results]
        said = {r["control"]: asdict(words_for(r["control"])) for r in results}
        return {**head, "options": plain(self.options), "results": results, "words": said}

    def to_csv(self) -> str:
        """`rows` as CSV with a head; an empty value is no number."""
        return csv_text(plain(self.rows()), COLUMNS)


@plain_torch()
def sample_bank(model: Model, step: int = -1, probes: Sequence[str] | None = None) -> GateBank:
    """Gates of the bundled sample photographs under a model, labelled as that: no data set, but other pictures."""
    paths = [p for p in sorted(bundled("assets").glob("*.jpg")) if p.name not in _COMPOSITE]
    inputs = (prepare(open_picture(p), model.card.preprocessing, model.geometry)[0] for p in paths)
    return gate_bank(Passes.of(model, step), inputs, SAMPLES_LABEL, probes, examples=len(paths))


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
    """Does the network use what is shown? A few seconds on a small network.

    Args:
        picture: a Picture, or what `viz.open_picture` takes.
        source: which map, see `source_of`. class_index: number or name; default the best one of the step.
        step: 1-based, or from -1 (last).
        parts: which controls; ROAD takes longest and is not among the default ones.
        region: of a dense answer, in picture pixels, see `viz.core.target`: each class's logits are averaged over it,
            by default over the whole picture, before a probability is taken.
        bank: gates of other pictures; default those of the bundled samples. geometry: default the model's.
        progress: called with the share done, 0 to 1, and a word; what it raises ends the work.

    The model is left as it is, and others can use it in between.

    Raises:
        VizError and its kinds: one sentence each.
    """
    _known(parts)
    passes = Passes.of(model, step, options.batch)
    opened = open_picture(picture)
    x, placed = prepare(opened, model.card.preprocessing, geometry or model.geometry)
    passes = passes if region is None else replace(passes, cells=_cells(model, passes, x, placed, region))
    logits = passes.logits(x)
    check_answer(logits.numpy(), model.card.name, str(model.dtype).removeprefix("torch."))
    chosen = int(logits[0].argmax()) if class_index is None else class_number(model.labels, class_index)
    classes = torch.tensor([chosen])
    asked = source_for(model, source, passes.step, options, passes.cells)
    controls = Controls(model, passes, x, classes, [asked], options)
    _ = controls.maps  # whatever is asked for, a map that the network does not have is told first
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
        int(logits[0].argmax()) == chosen,
        options,
        next((r for r in made if isinstance(r, Reliance)), None),
        tuple(r for r in made if isinstance(r, CurveResult)),
        next((r for r in made if isinstance(r, Randomisation)), None),
        next((r for r in made if isinstance(r, Stability)), None),
        skipped,
    )


def _known(parts: Sequence[str]) -> None:
    strange = [part for part in parts if part not in PARTS]
    if strange:
        raise VizError(f"The controls are {', '.join(PARTS)}; there is no {str(strange[0])[:40]!r}.")


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
    """A source of this model with the options; one that is made already stays as it is."""
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
    """The controls of some inputs x (N, 3, h, w) and the classes (N,) they are asked about."""

    model: Model
    passes: Passes
    x: torch.Tensor
    classes: torch.Tensor
    sources: Sequence[Source]
    options: Options
    bank: GateBank | None = None

    @cached_property
    def maps(self) -> list[torch.Tensor]:
        """Of each source (N, h', w')."""
        return [self.passes.maps(source, self.x, self.classes) for source in self.sources]

    def of(self, part: Part, progress: Progress | None = None) -> list[list[Control]]:
        """For each picture the results of one part.

        Raises:
            ProbeError: there is no gate for reliance.
        """
        passes, options = self.passes, self.options
        if part == "reliance":
            return [[r] for r in reliance(passes, self.x, self.classes, bank=self.bank, probes=options.probes)]
        if part == "randomisation":
            how: dict[str, Any] = {"modes": options.modes, "how": options.how, "seed": options.seed}
            made = randomisation(passes, self.x, self.classes, self.sources, **how, progress=progress)
            return [list(of_picture) for of_picture in zip(*made, strict=True)]
        return [self._alone(i, part, progress) for i in range(len(self.x))]

    def _alone(self, item: int, part: Part, progress: Progress | None) -> list[Control]:
        """Of one picture, for the controls that take one at a time."""
        x, number, options = self.x[item : item + 1], int(self.classes[item]), self.options
        if part == "stability":
            return [
                *stability(
                    self.passes,
                    x,
                    number,
                    self.sources,
                    self.model.card.preprocessing.std,
                    sigmas=options.sigmas,
                    draws=options.draws,
                    radius=options.radius,
                    samples=options.samples,
                    seed=options.seed,
                )
            ]
        return [
            *curves(
                self.passes,
                x,
                number,
                {source.name: maps[item] for source, maps in zip(self.sources, self.maps, strict=True)},
                CURVES[part],
                points=options.road_points if part == "road" else options.points,
                unit=options.unit,
                seeds=options.seeds,
                seed=options.seed,
                noise=options.noise,
                baselines={"deletion": options.deletion, "insertion": options.insertion},
                progress=progress,
            )
        ]


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
        x: (N, 3, h, w), as `viz.geometry.prepare` gives them. classes: (N,), default the network's best of the step.
        sources: which maps. controls: which parts; reliance is left out where the network has no gate.
        bank: gates of other pictures, for reliance.

    Returns:
        Rows of ``item`` (0 .. N - 1), ``control``, ``source``, ``variant``, ``measure``, ``value`` (NaN where there is
        no number). The control ``network`` is the answer on the whole picture.

    Raises:
        VizError and its kinds: one sentence each.
    """
    _known(controls)
    passes = Passes.of(model, step, options.batch)
    logits = passes.logits(x)
    check_answer(logits.numpy(), model.card.name, str(model.dtype).removeprefix("torch."))
    classes = logits.argmax(dim=1) if classes is None else classes.cpu()
    asked = [source_for(model, s, passes.step, options) for s in sources]
    made = Controls(model, passes, x, classes, asked, options, bank)
    found: list[list[Row]] = [_answer(logits, classes, i) for i in range(len(x))]
    for part in (p for p in PARTS if p in controls):
        # There is no gate in plain networks, nor at a first step without attention.
        if part == "reliance" and options.probes is None and not gate_values(passes, x[:1]):
            continue
        for rows, results in zip(found, made.of(part), strict=True):
            rows += [r for result in results for r in result.rows()]
    return [{"item": i, **r} for i, rows in enumerate(found) for r in rows]


def _answer(logits: torch.Tensor, classes: torch.Tensor, item: int) -> list[Row]:
    one, of = logits[item : item + 1], classes[item : item + 1]
    return [
        row("network", "", "", "probability", float(probability(one, of)[0])),
        row("network", "", "", "log_odds", float(log_odds(one, of)[0])),
        row("network", "", "", "best", float(one.argmax() == of[0])),
    ]
