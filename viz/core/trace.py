"""Traces: everything that one network computed for one picture. Reading a trace runs no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.core.attribution import Attribution
from viz.core.card import ModelCard, class_number, step_number
from viz.core.derived import baseline, channel_of, derive
from viz.core.finite import notes_on
from viz.core.heatmap import Heatmap, overlay, scale_for
from viz.core.kernels import KernelTap, cell_at, kernel_at
from viz.core.map_spec import MapSpec, parse
from viz.core.output import Output, Ranked
from viz.core.outputs.class_scores import ClassScores
from viz.core.record import Record, match
from viz.core.stage import CAM, Narrator, Stage
from viz.core.target import Target
from viz.core.words import words as map_words
from viz.errors import ModelError, ProbeError
from viz.geometry import Geometry, Interpolation
from viz.picture import Picture
from viz.read_only import ReadOnlyArrays

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trace(ReadOnlyArrays):
    """Everything that one network computed for one picture.

    Attributes:
        picture: the picture. geometry: what the network saw of it. card: the model.
        output: the network's output at each step.
        features: per step float32 (C, h, w), whose spatial means enter a linear classifier; empty without one.
        records: captured attention values, in order of firing.
        class_weights: float32 (classes, C) of that classifier (shared by all traces of a model), or None; class
            activation maps need it.
        family: defines the stages and the family's own map.
        precision: number format of the forward pass.
        attributions: maps that `Model.attribute` added, the newest last.
    """

    picture: Picture
    geometry: Geometry
    card: ModelCard
    output: Output
    features: tuple[FloatArray, ...]
    records: tuple[Record, ...]
    class_weights: FloatArray | None = field(repr=False)
    family: Narrator = field(repr=False)
    precision: str = "float32"
    attributions: tuple[Attribution, ...] = field(default=(), repr=False)

    @property
    def steps(self) -> int:
        """The number of computation steps."""
        return self.output.steps

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names; empty for an output without classes."""
        return self.output.labels

    @property
    def scores(self) -> ClassScores:
        """The output of a classifier.

        Raises:
            ModelError: the network predicts something else.
        """
        if not isinstance(self.output, ClassScores):
            raise ModelError(
                f"{self.card.name} does not classify whole pictures; see trace.output for what it predicts."
            )
        return self.output

    @property
    def logits(self) -> FloatArray:
        """Logits of a classifier, float32 (steps, classes)."""
        return self.scores.logits

    @property
    def output_map(self) -> MapSpec | None:
        """The map of the output itself: the class map, or the map of a dense output; None if it has no map."""
        if self.class_weights is not None:
            return CAM
        return MapSpec(self.output.maps[0]) if self.output.maps else None

    def output_maps(self) -> list[Heatmap]:
        """That map at every step, each for its step's best class; empty if there is none."""
        shown = self.output_map
        return [] if shown is None else [self.heatmap(shown, t) for t in range(1, self.steps + 1)]

    def step_number(self, step: int) -> int:
        """The 1-based step, from 1 to T or from -1 (the last).

        Raises:
            ModelError: no such step.
        """
        return step_number(step, self.steps, "This trace")

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the values that are not finite."""
        answer = [(name.replace(":", ", step "), values) for name, values in self.output.arrays().items()]
        features = [(f"features, step {t}", f) for t, f in enumerate(self.features, 1)]
        cams = range(1, self.steps + 1) if self.class_weights is not None else ()
        maps = [(m.title, m.native) for m in map(self.class_map, cams)]
        records = [(f"{r.name}, step {r.step}", r.values) for r in self.records]
        found = [(f"{a.words}, step {a.step}", a.values) for a in self.attributions]
        return notes_on([*answer, *features, *maps, *records, *found], self.precision)

    @property
    def probabilities(self) -> FloatArray:
        """Class probabilities of a classifier, float32 (steps, classes)."""
        return self.scores.probabilities

    @property
    def predictions(self) -> tuple[tuple[Ranked, ...], ...]:
        """Per step all classes, best first: `Prediction` of a classifier, `Share` of dense classes, `Found` of
        detections; empty for an output without classes."""
        return self.output.ranking

    def top(self, step: int = -1, count: int = 5) -> tuple[Ranked, ...]:
        """The best `count` classes of a step."""
        return self.predictions[self.step_number(step) - 1][:count]

    def definite(self, spec: str | MapSpec, *, options: Mapping[str, Any] | None = None) -> MapSpec:
        """The specification with full tap name, class number and positive step; ``attention`` becomes the family's map.

        Without a step it is the last one that has a value.

        Args:
            options: of an attribution; default those of the newest.

        Raises:
            MapError: not a map. ModelError: no such step or class. ProbeError: no such value, or an attribution that
                was not computed.
        """
        spec = parse(spec)
        if spec.kind == "attention":
            spec = self._own(spec)
        if spec.kind == "attribution":
            found = self._computed(spec, options)
            return replace(parse(found.method), cls=found.class_index, step=found.step, region=found.region)
        if spec.takes_class:
            number, index = self.asked(spec.step, spec.cls)
            return replace(spec, cls=index, step=number)
        if spec.probe is not None:
            record = self.record(spec.probe, spec.step)
            # A total belongs to all modules, not to the one that was named.
            probe = record.label if spec.name == "total" else record.name
            return spec.with_probe(probe).at(record.step)
        return spec if spec.kind == "baseline" else spec.at(self.step_number(spec.step))

    def heatmap(
        self,
        spec: str | MapSpec = "spatial_gate",
        step: int | None = None,
        *,
        channel: int | None = None,
        options: Mapping[str, Any] | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> Heatmap:
        """The map of a specification, in picture coordinates.

        Args:
            spec: see `viz.core.map_spec`. step, channel: replace those of `spec`.
            options: of an attribution; default those of the newest.

        Raises:
            MapError, ModelError, ProbeError: see `definite`; or the tap has no cells, or no such channel.
        """
        asked = parse(spec)
        asked = replace(asked, step=asked.step if step is None else step or self.step_number(step))
        if channel is not None:
            asked = replace(asked, channel=channel)
        found = self.definite(asked, options=options)
        makers: dict[str, Callable[[MapSpec], Heatmap]] = {
            "cam": self._cam,
            "output": self._output,
            "attribution": partial(self._attribution, options=options),
            "feature": self._feature,
            "baseline": partial(baseline, geometry=self.geometry),
            "derived": self._derived,
            "tap": self._captured,
        }
        return replace(makers[found.kind](found), interpolation=interpolation)

    def has(self, spec: MapSpec) -> bool:
        """Whether a map exists at its step."""
        try:
            self.heatmap(spec)
        except (ModelError, ProbeError):
            return False
        return True

    def steps_of(self, spec: MapSpec) -> list[int]:
        """The steps that have the quantity of a map; for an attribution all steps, computed or not."""
        if spec.probe is None or spec.kind == "attribution":
            return list(range(1, self.steps + 1))
        name = self.record(spec.probe).name
        return [r.step for r in self.records if r.name == name]

    def class_map(
        self, step: int = -1, class_index: int | str | None = None, *, interpolation: Interpolation = "bilinear"
    ) -> Heatmap:
        """Class activation map of a step: the classifier's weights applied to its features; no bias, not normalised.

        Args:
            class_index: number or name of the class; default: the step's own best class.

        Raises:
            ModelError: no such step or class, or several matching classes.

        Source: Zhou et al., CVPR 2016 (arXiv 1512.04150).
        """
        number, index = self.asked(step, class_index)
        return replace(self._cam(MapSpec("cam", cls=index, step=number)), interpolation=interpolation)

    def attribution(
        self,
        method: str | MapSpec,
        step: int | None = None,
        class_index: int | str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> Heatmap:
        """An attribution map that `Model.attribute` computed, in picture coordinates; see `heatmap`."""
        spec = parse(method)
        spec = replace(spec, cls=spec.cls if class_index is None else class_index)
        return self.heatmap(spec, step, options=options, interpolation=interpolation)

    def attribution_of(self, spec: str | MapSpec, *, options: Mapping[str, Any] | None = None) -> Attribution | None:
        """The newest attribution of that method, step, class and region, or None; without `options`, of any options.

        Raises:
            MapError: not a map. ModelError: no such step or class.
        """
        spec = parse(spec)
        asked = (*self.asked(spec.step, spec.cls), spec.region)
        for found in reversed(self.attributions):
            same_options = options is None or dict(options) == dict(found.options)
            if same_options and (found.step, found.class_index, found.region) == asked and found.is_asked(spec):
                return found
        return None

    def target(
        self, step: int = -1, class_index: int | str | None = None, region: tuple[int, ...] | None = None
    ) -> Target:
        """The target of an attribution, see `viz.core.output.Output.target`."""
        number, index = self.asked(step, class_index)
        return self.output.target(self.geometry, number, index, region)

    def feature_map(self, channel: int, step: int = -1) -> Heatmap:
        """One channel of a step's class features."""
        return self.heatmap(MapSpec("feature", channel=channel), step)

    def _own(self, spec: MapSpec) -> MapSpec:
        if self.family.own is None:
            raise ProbeError(f"{self.card.name} has no attention map of its own; choose cam or a tap.")
        return replace(self.family.own, channel=spec.channel, step=spec.step)

    def _computed(self, spec: MapSpec, options: Mapping[str, Any] | None) -> Attribution:
        found = self.attribution_of(spec, options=options)
        if found is not None:
            return found
        number, index = self.asked(spec.step, spec.cls)
        asked = replace(spec, cls=None, step=-1)
        cls = "" if index is None else f", class_index={index}"
        raise ProbeError(
            f"{spec.head} of {self.output.question(number, index, spec.region)} at step {number} was not computed; "
            f"compute it first with model.attribute(trace, {str(asked)!r}, step={number}{cls})."
        )

    def _needs_classifier(self, what: str, other: MapSpec | None = None) -> ModelError:
        choose = "a tap" if other is None else f"{other} or a tap"
        return ModelError(
            f"{self.card.name} has no linear classifier over pooled features, so it has no {what}; choose {choose}."
        )

    def _cam(self, spec: MapSpec) -> Heatmap:
        if self.class_weights is None:
            raise self._needs_classifier("class activation map", self.output_map)
        index = int(spec.cls or 0)
        with np.errstate(over="ignore", invalid="ignore"):  # `notes` reports what is not finite
            native = np.tensordot(self.class_weights[index], self.features[spec.step - 1], axes=1)
        title = f"class map of {self.labels[index]}, step {spec.step}"
        return Heatmap(native.astype(np.float32), self.geometry, title, "logit per cell", neutral=0.0, spec=spec)

    def _output(self, spec: MapSpec) -> Heatmap:
        made = self.output.map(spec.name, spec.step, spec.cls if isinstance(spec.cls, int) else None)
        title = f"{made.title}, step {spec.step}"
        return Heatmap(made.values, self.geometry, title, made.unit, bounds=made.bounds, spec=spec)

    def _attribution(self, spec: MapSpec, options: Mapping[str, Any] | None) -> Heatmap:
        found = self._computed(spec, options)
        title = f"{found.words}, {self.output.question(found.step, found.class_index, found.region)}, step {spec.step}"
        return Heatmap(
            found.values, self.geometry, title, found.unit, bounds=found.bounds, neutral=found.neutral, spec=spec
        )

    def _feature(self, spec: MapSpec) -> Heatmap:
        if not self.features:
            raise self._needs_classifier("feature maps")
        maps, channel = self.features[spec.step - 1], spec.channel or 0
        if not channel < maps.shape[0]:
            raise ModelError(f"This network's features have channels 0 to {maps.shape[0] - 1}, not {channel}.")
        title = f"feature {channel}, step {spec.step}"
        return Heatmap(maps[channel], self.geometry, title, "activation", spec=spec)

    def _derived(self, spec: MapSpec) -> Heatmap:
        record = self.record(spec.probe or "", spec.step)
        return derive(self.records, record, spec.name, self.geometry, channel=spec.channel)

    def _captured(self, spec: MapSpec) -> Heatmap:
        r = self.record(spec.probe or "", spec.step)
        values, title = r.values, f"{r.label}, step {r.step}"
        if (r.tap.is_maps or r.tap.is_kernel) and spec.channel is not None:
            values, title = channel_of(r, spec.channel), f"{r.label} {spec.channel}, step {r.step}"
        elif not r.tap.is_map:
            several = f"; choose one, as in {r.label}#0, or their mean, mean({r.label})" if r.values.ndim == 3 else ""
            raise ProbeError(f"{r.name} is of kind {r.kind} with shape {r.values.shape}, not one map{several}.")
        elif spec.channel is not None:
            raise ProbeError(f"{r.name} has no channels to choose from.")
        return Heatmap(values, self.geometry, title, r.unit, bounds=r.bounds, neutral=r.tap.centre, spec=spec)

    def asked(self, step: int, class_index: int | str | None) -> tuple[int, int | None]:
        """Step and class of a question; by default the step's best class, None for an output without classes."""
        number = self.step_number(step)
        if class_index is None:
            best = self.output.best(number)
            if best is None and self.labels:
                raise ModelError(f"{self.card.name} found no object in this picture; name a class.")
            return number, best
        if not self.labels:
            raise ModelError(f"{self.card.name} has no classes to choose from.")
        return number, class_number(self.labels, class_index)

    @property
    def probe_names(self) -> tuple[str, ...]:
        """Full names of the captured values, in order of firing."""
        return tuple(dict.fromkeys(r.name for r in self.records))

    def record(self, probe: str, step: int = -1) -> Record:
        """One captured value.

        Args:
            probe: full name, or a label (of the deepest module that has it).
            step: the step that uses the value; -1 is the last step that has one.

        Raises:
            ProbeError: unknown probe, or none at that step.
        """
        names = match(self.probe_names, probe)
        if not names:
            have = ", ".join(dict.fromkeys(r.label for r in self.records)) or "none"
            raise ProbeError(f"This trace has no captured value {probe!r}. Choose one of: {have}.")
        found = [r for r in self.records if r.name == names[-1]]
        if step == -1:
            return found[-1]
        number = self.step_number(step)
        for r in found:
            if r.step == number:
                return r
        have = ", ".join(str(r.step) for r in found)
        raise ProbeError(f"{names[-1]} has no value at step {number}, only at step {have}.")

    def kernel(
        self,
        probe: str = "kernel_attention",
        step: int = -1,
        *,
        cell: tuple[int, int] | None = None,
        point: tuple[float, float] | None = None,
    ) -> tuple[KernelTap, ...]:
        """The kernel of one cell: each tap with its place in the picture.

        Args:
            probe, step: as in `record`; a value of kind ``kernel``.
            cell: (row, column) of the map, from 0. point: (x, y) in picture pixels, instead of a cell.

        Raises:
            ProbeError: not a kernel, no such cell, or a point that the network did not see.
        """
        r = self.record(probe, step)
        if not r.tap.is_kernel:
            raise ProbeError(f"{r.name} is of kind {r.kind}; only a value of kind kernel has taps.")
        if (cell is None) == (point is None):
            raise ProbeError("Give either a cell of the map or a point of the picture.")
        if point is not None:
            cell = cell_at(point, (r.values.shape[1], r.values.shape[2]), self.geometry)
        if cell is None:
            raise ProbeError("The network did not see this point of the picture.")
        return kernel_at(r.values, cell, self.geometry, dilation=r.tap.dilation, stride=r.tap.stride)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stops of the page's slider, as the family defines them."""
        return self.family.stages(self)

    def _repr_html_(self) -> str:
        """A table of small pictures, one per step, for notebooks."""
        shown = Image.fromarray(self.picture.rgb)
        shown.thumbnail((260, 260))
        rgb = np.asarray(shown)
        maps = self.output_maps()
        cells, drawn = [], ""
        for t in range(1, self.steps + 1):
            scale = scale_for(maps[t - 1], "steps", together=maps) if maps else None
            overlaid = rgb if scale is None else overlay(rgb, maps[t - 1], scale)
            buffer = io.BytesIO()
            Image.fromarray(overlaid).save(buffer, "PNG")
            text = html.escape(f"step {t}: {self.output.says(t)}")
            data = base64.b64encode(buffer.getvalue()).decode()
            cells.append(f'<td><img src="data:image/png;base64,{data}" alt="{text}"><br>{text}</td>')
            drawn = "" if scale is None else f"; {map_words(self.output_map or CAM)}s, {scale.describe()}"
        title = html.escape(" ".join([f"{self.card.name} on {self.picture.name}{drawn}", *self.notes]))
        return f"<table><caption>{title}</caption><tr>{''.join(cells)}</tr></table>"
