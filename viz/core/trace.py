"""One forward pass under probes: picture in, Trace out. Everything else reads the trace and runs no net again."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from viz.capture.probe import AttentionRecord, capture, match
from viz.core.derived import Part, derive, split_name
from viz.core.finite import check_answer, notes_on
from viz.core.heatmap import Heatmap, overlay, scale_for
from viz.core.kernels import KernelTap, ModuleFacts, cell_at, facts_of, kernel_at, middle_of, strengths_of
from viz.environment import plain_torch
from viz.errors import ModelError, ProbeError
from viz.geometry import Geometry, Interpolation, Mode, prepare
from viz.models.cards import ModelCard, class_number
from viz.models.networks.base import StepNetwork
from viz.picture import Picture
from viz.read_only import ReadOnlyArrays

if TYPE_CHECKING:
    from viz.core.frames import Frame

FloatArray = NDArray[np.float32]


class Prediction(NamedTuple):
    """One class of one step: `probability` is the softmax over all classes."""

    class_index: int
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class ClassHead(ReadOnlyArrays):
    """The linear classifier that class maps need: `weights` float32 (classes, C), `labels` one a class."""

    weights: FloatArray
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Attribution(ReadOnlyArrays):
    """What speaks for a class, as `Model.attribute` found it: values and all that makes them repeatable.

    Attributes:
        method: e.g. ``gradcam`` or ``gradcam(PROBE)`` with the probe's full name. words: it in words.
        step, class_index: of the logit. layer: ``input``, ``class features`` or the probe's full name.
        values: float32 (h, w). unit, bounds, neutral: of them, see `Heatmap`.
        options: those that the method uses. settings: them in words. captum: its version.
    """

    method: str
    words: str
    step: int
    class_index: int
    layer: str
    values: FloatArray
    unit: str
    bounds: tuple[float, float]
    neutral: float | None
    options: Mapping[str, Any]
    settings: str
    captum: str

    @property
    def name(self) -> str:
        """The method without its probe."""
        return self.method.partition("(")[0]

    def is_asked(self, method: str) -> bool:
        """Whether a method as it is asked for, its probe by label or full name, means this one."""
        name, bracket, probe = method.strip().partition("(")
        if not bracket or "(" not in self.method:
            return method.strip() == self.method
        return name == self.name and bool(match([self.layer], probe.removesuffix(")")))


@dataclass(frozen=True, eq=False)
class Trace(ReadOnlyArrays):
    """What one network did to one picture.

    Attributes:
        picture: the picture. geometry: what the network saw of it. card: the model.
        logits: float32 (steps, classes).
        features: for each step float32 (C, h, w), whose spatial means the classifier weighs.
        records: captured attention values, in order of firing.
        head: the classifier's weights and labels (shared by all traces of a model, read-only).
        precision: number format of the forward pass.
        facts: dilation, stride and strength around probes of kind ``kernel``, by the probe's full name.
        attributions: maps that `Model.attribute` added, the newest last.
    """

    picture: Picture
    geometry: Geometry
    card: ModelCard
    logits: FloatArray
    features: tuple[FloatArray, ...]
    records: tuple[AttentionRecord, ...]
    head: ClassHead = field(repr=False)
    precision: str = "float32"
    facts: Mapping[str, ModuleFacts] = field(default_factory=dict, repr=False)
    attributions: tuple[Attribution, ...] = field(default=(), repr=False)

    @property
    def steps(self) -> int:
        """How many computation steps the trace holds."""
        return int(self.logits.shape[0])

    def step_number(self, step: int) -> int:
        """1-based step from 1..T, or from -1 (last), -2, ...

        Raises:
            ModelError: no such step.
        """
        number = step if step > 0 else self.steps + 1 + step
        if step == 0 or not 1 <= number <= self.steps:
            raise ModelError(f"This trace has steps 1 to {self.steps}; there is no step {step}.")
        return number

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the values, in sentences: which of them are not finite."""
        features = [(f"features, step {t}", f) for t, f in enumerate(self.features, 1)]
        maps = [(m.title, m.native) for m in map(self.class_map, range(1, self.steps + 1))]
        records = [(f"{r.name}, step {r.step}", r.values) for r in self.records]
        found = [(f"{a.words}, step {a.step}", a.values) for a in self.attributions]
        return notes_on([("logits", self.logits), *features, *maps, *records, *found], self.precision)

    @cached_property
    def probabilities(self) -> FloatArray:
        """Softmax over classes, float32 (steps, classes)."""
        z = self.logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # `notes` says what is not finite
            e = np.exp(z - z.max(axis=1, keepdims=True))
        return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def predictions(self) -> tuple[tuple[Prediction, ...], ...]:
        """For each step all classes as (class index, label, probability), best first."""
        out = []
        for p in self.probabilities:
            order = np.argsort(-p, kind="stable")
            out.append(tuple(Prediction(int(i), self.head.labels[i], float(p[i])) for i in order))
        return tuple(out)

    def top(self, step: int = -1, count: int = 5) -> tuple[Prediction, ...]:
        """The best `count` classes of a step."""
        return self.predictions[self.step_number(step) - 1][:count]

    def class_map(
        self, step: int = -1, class_index: int | str | None = None, *, interpolation: Interpolation = "bilinear"
    ) -> Heatmap:
        """Class map (CAM) of a step: the classifier's weights over that step's features; no bias, not normalised.

        Args:
            class_index: number or name of the class; default: the step's own best class.

        Raises:
            ModelError: no such step or class, or several classes of that name.

        Source: Zhou et al., CVPR 2016 (arXiv 1512.04150).
        """
        number, class_index = self._logit(step, class_index)
        with np.errstate(over="ignore", invalid="ignore"):  # `notes` says what is not finite
            native = np.tensordot(self.head.weights[class_index], self.features[number - 1], axes=1)
        return Heatmap(
            native.astype(np.float32),
            self.geometry,
            f"class map of {self.head.labels[class_index]}, step {number}",
            unit="logit per cell",
            neutral=0.0,
            step=number,
            interpolation=interpolation,
            name="class_map",
            class_index=class_index,
        )

    def attribution_of(
        self,
        method: str,
        step: int = -1,
        class_index: int | str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> Attribution | None:
        """The newest attribution of that method, step and class, or None; arguments as in `attribution`.

        Raises:
            ModelError: no such step or class.
        """
        number, index = self._logit(step, class_index)
        for found in reversed(self.attributions):
            alike = options is None or dict(options) == dict(found.options)
            if alike and (found.step, found.class_index) == (number, index) and found.is_asked(method):
                return found
        return None

    def attribution(
        self,
        method: str,
        step: int = -1,
        class_index: int | str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> Heatmap:
        """An attribution map in picture coordinates, computed before by `Model.attribute`.

        Args:
            method: e.g. ``gradcam``, ``integrated_gradients`` or ``gradcam(spatial_gate)``.
            class_index: number or name of the class; default: the step's own best class.
            options: those that it was computed with; default the newest, whatever they were.

        Raises:
            ModelError: no such step or class. ProbeError: it was not computed.
        """
        found = self.attribution_of(method, step, class_index, options=options)
        number, index = self._logit(step, class_index)
        label = self.head.labels[index]
        if found is None:
            raise ProbeError(
                f"{method} of {label} at step {number} was not computed; ask for it first with "
                f"model.attribute(trace, {method!r}, step={number}, class_index={index})."
            )
        return Heatmap(
            found.values,
            self.geometry,
            f"{found.words}, {label}, step {number}",
            unit=found.unit,
            bounds=found.bounds,
            neutral=found.neutral,
            step=number,
            interpolation=interpolation,
            name=found.method,
            class_index=index,
        )

    def _logit(self, step: int, class_index: int | str | None) -> tuple[int, int]:
        """Step and class number of a logit; without a class the step's own best."""
        number = self.step_number(step)
        if class_index is None:
            return number, int(self.logits[number - 1].argmax())
        return number, class_number(self.head.labels, class_index)

    @property
    def probe_names(self) -> tuple[str, ...]:
        """Full names of the probes that fired, in order."""
        return tuple(dict.fromkeys(r.name for r in self.records))

    def record(self, probe: str, step: int = -1) -> AttentionRecord:
        """One captured value.

        Args:
            probe: full name, or a label (then the deepest module that has it).
            step: the step that uses the value; -1 is the last step that has one.

        Raises:
            ProbeError: unknown probe, or none at that step.
        """
        names = match(self.probe_names, probe)
        if not names:
            have = ", ".join(dict.fromkeys(r.label for r in self.records)) or "none"
            raise ProbeError(f"This trace has no value of a probe {probe!r}; it has: {have}.")
        found = [r for r in self.records if r.name == names[-1]]
        if step == -1:
            return found[-1]
        number = self.step_number(step)
        for r in found:
            if r.step == number:
                return r
        have = ", ".join(str(r.step) for r in found)
        raise ProbeError(f"{names[-1]} has no value at step {number} (it has step {have}).")

    def heatmap(
        self,
        probe: str = "spatial_gate",
        step: int = -1,
        *,
        channel: int | None = None,
        part: Part | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> Heatmap:
        """A captured value, or what follows from it, in picture coordinates; `probe` and `step` as in `record`.

        Args:
            probe: also written ``part(probe)``, as in ``mean(bottom)``.
            channel: which channel of a value of kind ``joint`` (or tap of a ``kernel``).
            part: a derived map, see `viz.core.derived`: ``mean``, ``log``, ``gated``, ``departure``, ``directions``,
                ``ranks``, ``total``.

        Raises:
            ProbeError: the probe is a vector of channels, not a map, or the channel or the part does not exist.
        """
        if part is None:
            probe, part = split_name(probe)
        r = self.record(probe, step)
        if part is not None:
            return derive(
                self.records,
                r,
                part,
                self.geometry,
                channel=channel,
                interpolation=interpolation,
                strengths=strengths_of(self.facts),
            )
        values, title = r.values, f"{r.label}, step {r.step}"
        if r.kind in ("joint", "kernel") and channel is not None:
            if not 0 <= channel < values.shape[0]:
                raise ProbeError(f"{r.name} has channels 0 to {values.shape[0] - 1}, not {channel}.")
            values, title = values[channel], f"{r.label} {channel}, step {r.step}"
        elif r.kind != "spatial":
            raise ProbeError(f"{r.name} is of kind {r.kind} with shape {r.values.shape}; read trace.record() instead.")
        return Heatmap(
            values,
            self.geometry,
            title,
            unit=r.unit,
            bounds=r.bounds,
            neutral=middle_of(r),
            step=r.step,
            interpolation=interpolation,
            name=r.name,
        )

    def kernel(
        self,
        probe: str = "kernel_attention",
        step: int = -1,
        *,
        cell: tuple[int, int] | None = None,
        point: tuple[float, float] | None = None,
    ) -> tuple[KernelTap, ...]:
        """The kernel of one cell, tap by tap, at its true places in the picture.

        Args:
            probe, step: as in `record`; a value of kind ``kernel``.
            cell: (row, column) of the map, from 0. point: instead of it, (x, y) in picture pixels.

        Raises:
            ProbeError: no kernel, no such cell, or a point that the network did not see.
        """
        r = self.record(probe, step)
        if r.kind != "kernel":
            raise ProbeError(f"{r.name} is of kind {r.kind}; only a value of kind kernel has taps.")
        if (cell is None) == (point is None):
            raise ProbeError("Give either a cell of the map or a point of the picture.")
        if point is not None:
            cell = cell_at(point, (r.values.shape[1], r.values.shape[2]), self.geometry)
        if cell is None:
            raise ProbeError("The network did not see this point of the picture.")
        return kernel_at(r.values, cell, self.geometry, self.facts.get(r.name))

    def feature_map(self, channel: int, step: int = -1) -> Heatmap:
        """One channel of a step's class features, in picture coordinates."""
        number = self.step_number(step)
        maps = self.features[number - 1]
        if not 0 <= channel < maps.shape[0]:
            raise ModelError(f"This network's features have channels 0 to {maps.shape[0] - 1}, not {channel}.")
        return Heatmap(
            maps[channel],
            self.geometry,
            f"feature {channel}, step {number}",
            "activation",
            step=number,
            name="feature",
        )

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The family's own story: one `Frame` a stop of the step slider."""
        from viz.core.frames import frames_of

        return frames_of(self)

    def _repr_html_(self) -> str:
        """Small pictures of every step, for a notebook."""
        shown = Image.fromarray(self.picture.rgb)
        shown.thumbnail((260, 260))
        rgb = np.asarray(shown)
        maps = [self.class_map(t) for t in range(1, self.steps + 1)]
        cells = []
        for t, heat in enumerate(maps, 1):
            scale = scale_for(heat, "steps", together=maps)
            buffer = io.BytesIO()
            Image.fromarray(overlay(rgb, heat, scale)).save(buffer, "PNG")
            best = self.top(t, 1)[0]
            text = html.escape(f"step {t}: {best.label} {best.probability:.1%}")
            data = base64.b64encode(buffer.getvalue()).decode()
            cells.append(f'<td><img src="data:image/png;base64,{data}" alt="{text}"><br>{text}</td>')
        said = " ".join([f"{self.card.name} on {self.picture.name}; class maps, {scale.describe()}", *self.notes])
        title = html.escape(said)
        return f"<table><caption>{title}</caption><tr>{''.join(cells)}</tr></table>"


@plain_torch()
def trace_picture(
    network: StepNetwork,
    card: ModelCard,
    head: ClassHead,
    picture: Picture,
    *,
    mode: Mode | None = None,
    probes: Sequence[str] | None = None,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Trace:
    """Run the network once on one picture and keep copies of everything worth seeing.

    Args:
        mode: geometry; default the card's own.
        probes: which probes to copy (names, labels, globs); None takes all that fire.
        steps: computation steps; default all the network was built for.
        device, dtype: where and in which number format the network lives; copies are float32 on the CPU.

    Raises:
        ProbeError: a probe that was asked for does not exist or did not fire.
        NotFiniteError: the network's answer holds NaN or infinity.
    """
    x, geometry = prepare(picture, card.preprocessing, mode or card.geometry)
    with torch.inference_mode(), capture(network, probes) as sink:
        outputs = network.forward_steps(x.to(device=device, dtype=dtype), steps)
        logits = torch.stack([o.logits[0] for o in outputs]).to("cpu", torch.float32)
        features = tuple(o.features[0].to("cpu", torch.float32, copy=True) for o in outputs)
    precision = str(dtype).removeprefix("torch.")
    check_answer(logits.numpy(), card.name, precision)
    return Trace(
        picture,
        geometry,
        card,
        _read_only(logits.numpy()),
        tuple(_read_only(f.numpy()) for f in features),
        # A module that always computes all of its steps reports those that were not asked for, too.
        tuple(_locked(r) for r in sink.records() if r.step <= len(outputs)),
        head,
        precision,
        facts_of(network),
    )


def _read_only(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array


def _locked(record: AttentionRecord) -> AttentionRecord:
    return replace(record, values=_read_only(record.values))
