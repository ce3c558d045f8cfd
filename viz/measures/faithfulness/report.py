"""One picture, one map, all controls: does the network use what is shown?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from viz.attribution import AttributionOptions
from viz.core.card import class_number
from viz.core.finite import check_answer
from viz.core.methods import DEFAULT_OPTIONS
from viz.environment import plain_torch
from viz.errors import ProbeError, VizError
from viz.files import csv_text
from viz.geometry import Mode as Geometry
from viz.geometry import prepare
from viz.measures.faithfulness.curves import CurveControl, CurveResult, curves
from viz.measures.faithfulness.gates import GateBank, gate_bank
from viz.measures.faithfulness.impute import NOISE
from viz.measures.faithfulness.orders import Baseline, Unit
from viz.measures.faithfulness.passes import BATCH, Passes, log_odds, probability
from viz.measures.faithfulness.randomisation import MODES, How, Mode, Randomisation, randomisation
from viz.measures.faithfulness.reliance import Reliance, reliance
from viz.measures.faithfulness.results import Row, plain
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
    def results(self) -> tuple[Reliance | CurveResult | Randomisation | Stability, ...]:
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
    progress: Progress | None = None,
) -> Report:
    """Does the network use what is shown? A few seconds on a small network.

    Args:
        picture: a Picture, or what `viz.open_picture` takes.
        source: which map, see `source_of`. class_index: number or name; default the best one of the step.
        step: 1-based, or from -1 (last).
        parts: which controls; ROAD takes longest and is not among the default ones.
        bank: gates of other pictures; default those of the bundled samples. geometry: default the model's.
        progress: called with the share done, 0 to 1, and a word; what it raises ends the work.

    The model is left as it is, and others can use it in between.

    Raises:
        VizError and its kinds: one sentence each.
    """
    strange = [p for p in parts if p not in PARTS]
    if strange:
        raise VizError(f"The controls are {', '.join(PARTS)}; there is no {str(strange[0])[:40]!r}.")
    passes = Passes.of(model, step, options.batch)
    opened = open_picture(picture)
    x, _ = prepare(opened, model.card.preprocessing, geometry or model.geometry)
    logits = passes.logits(x)
    check_answer(logits.numpy(), model.card.name, str(model.dtype).removeprefix("torch."))
    chosen = int(logits[0].argmax()) if class_index is None else class_number(model.head.labels, class_index)
    classes = torch.tensor([chosen])
    asked = source_for(model, source, passes.step, options)
    with passes.alone():
        heat = asked(model.network, passes.placed(x), classes)[0]
    report = Report(
        opened.name,
        opened.sha256,
        model.card.name,
        asked.name,
        passes.step,
        chosen,
        model.head.labels[chosen],
        float(probability(logits, classes)[0]),
        float(log_odds(logits, classes)[0]),
        int(logits[0].argmax()) == chosen,
        options,
    )
    wanted = [p for p in PARTS if p in parts]
    for done, part in enumerate(wanted):
        base, width = done / len(wanted), 1 / len(wanted)

        def inner(share: float, word: str, base: float = base, width: float = width) -> None:
            if progress:
                progress(base + share * width, word)

        inner(0.0, part)
        if part == "reliance":
            try:
                gates = bank or sample_bank(model, passes.step, options.probes)
                made = reliance(passes, x, classes, bank=gates, probes=options.probes)[0]
                report = replace(report, reliance=made)
            except ProbeError as error:
                if options.probes is not None:
                    raise
                report = replace(report, skipped={**report.skipped, part: str(error)})
        elif part in CURVES:
            found = curves_of(passes, x, chosen, {asked.name: heat}, part=part, options=options, progress=inner)
            report = replace(report, curves=(*report.curves, *found))
        elif part == "randomisation":
            run = randomisation(
                passes,
                x,
                classes,
                [asked],
                modes=options.modes,
                how=options.how,
                seed=options.seed,
                progress=inner,
            )
            report = replace(report, randomisation=run[0][0])
        else:
            report = replace(
                report, stability=stability_of(model, passes, x, chosen, sources=[asked], options=options)[0]
            )
    if progress:
        progress(1.0, "done")
    return report


def source_for(model: Model, source: str | Source, step: int, options: Options) -> Source:
    """A source of this model with the options; one that is made already stays as it is."""
    if isinstance(source, Source):
        return source
    return source_of(
        source,
        step,
        model.network.family,
        steps=model.network.steps,
        options=options.attribution,
        preprocessing=model.card.preprocessing,
    )


def curves_of(
    passes: Passes,
    x: torch.Tensor,
    class_index: int,
    maps: Mapping[str, torch.Tensor],
    *,
    part: str,
    options: Options,
    progress: Progress | None = None,
) -> list[CurveResult]:
    """`curves` of one part with the options."""
    return curves(
        passes,
        x,
        class_index,
        maps,
        CURVES[part],
        points=options.road_points if part == "road" else options.points,
        unit=options.unit,
        seeds=options.seeds,
        seed=options.seed,
        noise=options.noise,
        baselines={"deletion": options.deletion, "insertion": options.insertion},
        progress=progress,
    )


def stability_of(
    model: Model, passes: Passes, x: torch.Tensor, class_index: int, *, sources: Sequence[Source], options: Options
) -> list[Stability]:
    """`stability` with the model's own units and the options."""
    return stability(
        passes,
        x,
        class_index,
        sources,
        model.card.preprocessing.std,
        sigmas=options.sigmas,
        draws=options.draws,
        radius=options.radius,
        samples=options.samples,
        seed=options.seed,
    )
