"""Outputs: one type for each sort of answer that a network gives. The type determines what can be shown and asked.

Answers are arrays of one picture, step by step. Each file of `viz.core.outputs` defines one type; model cards name it
by its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from viz.core import outputs
from viz.core.card import ModelCard
from viz.core.finite import finite
from viz.core.target import Region, Target, region_words
from viz.errors import ModelError
from viz.geometry import Geometry
from viz.read_only import ReadOnlyArrays

FloatArray = NDArray[np.float32]


class Prediction(NamedTuple):
    """A class of one step, with its softmax probability over all classes."""

    class_index: int
    label: str
    probability: float


class Share(NamedTuple):
    """A class of one step of a dense output, with the share of cells where it is the best class."""

    class_index: int
    label: str
    share: float


class Found(NamedTuple):
    """A class of one step of detections, with the score of its best object."""

    class_index: int
    label: str
    score: float


Ranked = Prediction | Share | Found


class CellMap(NamedTuple):
    """One value per cell: float32 (h, w), with title, unit and range."""

    values: FloatArray
    title: str
    unit: str
    bounds: tuple[float, float] = (-np.inf, np.inf)


class Output(ReadOnlyArrays, ABC):
    """The answers of all steps.

    Attributes:
        words: such an answer in words. axes: number of axes of the raw answer to one picture.
        asked: what an attribution explains: a logit, a value, ... number: kind of the number beside a class.
        probable: whether classes have a probability, which faithfulness measures.
        has_classes: whether the card must list class names. labels: these names.
        maps: maps that are the answer itself, see `viz.core.map_spec`; the default one first.
    """

    words: ClassVar[str]
    axes: ClassVar[int]
    asked: ClassVar[str] = "logit"
    number: ClassVar[str] = "probability"
    probable: ClassVar[bool] = False
    has_classes: ClassVar[bool] = True
    maps: ClassVar[tuple[str, ...]] = ()
    labels: tuple[str, ...]

    @classmethod
    @abstractmethod
    def of(cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard) -> Self:
        """The output for the raw answers of all steps, which have one shape."""

    @classmethod
    def classes_in(cls, shape: tuple[int, ...]) -> int:
        """The number of classes of a raw answer of that shape."""
        return shape[0] if cls.has_classes else 0

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The values by their names in files; the first axis is the step, unless `steps` is overridden."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(next(iter(self.arrays().values())))

    @abstractmethod
    def says(self, step: int) -> str:
        """The answer of a step (1-based) in words."""

    @abstractmethod
    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> Target:
        """The number of the raw answer that an attribution explains.

        Args:
            class_index: needed if the answer has classes.
            region: x0, y0, x1, y1 in picture pixels, or the point x, y.

        Raises:
            ModelError: the answer has no regions, the network does not see the region, or no such object.
        """

    @cached_property
    def ranking(self) -> tuple[tuple[Ranked, ...], ...]:
        """Per step its classes, best first; empty if there are none."""
        return ((),) * self.steps

    def best(self, step: int) -> int | None:
        """The default class of a step."""
        ranked = self.ranking[step - 1]
        return ranked[0].class_index if ranked else None

    def number_of(self, step: int, class_index: int) -> float:
        """The number of a class, see `number`."""
        return next((float(r[2]) for r in self.ranking[step - 1] if r.class_index == class_index), 0.0)

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        """A map that is the answer itself.

        Raises:
            ModelError: this type of output has no such map.
        """
        raise ModelError(f"This network predicts {self.words}; it has no map called {name}.")

    def subject(self, class_index: int | None) -> str:
        """The class or quantity in words."""
        return "output" if class_index is None else self.labels[class_index]

    def question(self, step: int, class_index: int | None, region: Region | None) -> str:
        """A target in words: the class or quantity, and where."""
        what = self.subject(class_index)
        return what if region is None else f"{what} {region_words(region)}"

    def objects_in(self, geometry: Geometry) -> list[dict[str, Any]] | None:
        """The detected objects as plain values, with corners in picture pixels; None for other outputs."""
        return None

    def entry(self, step: int, count: int = 5) -> dict[str, Any]:
        """The answer of a step as plain values, for a record."""
        ranked = self.ranking[step - 1][:count]
        top = [{"class": r.class_index, "label": r.label, self.number: finite(r[2])} for r in ranked]
        return {"step": step, "top": top}


@cache
def output_types() -> dict[str, type[Output]]:
    """All output types by their name in model cards, that of their file."""
    names = sorted(m.name for m in iter_modules(outputs.__path__))
    return {name: import_module(f"viz.core.outputs.{name}").OUTPUT for name in names}


def output_type(name: str) -> type[Output]:
    """The output type of that name.

    Raises:
        ModelError: unknown name.
    """
    try:
        return output_types()[name]
    except KeyError:
        raise ModelError(f"Unknown output {name[:40]!r}. Choose one of: {', '.join(output_types())}.") from None


def output_of(
    name: str, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard
) -> Output:
    """The output for the network's raw answers to one picture, one per step.

    Args:
        name: of the output type. card: names quantity and unit of dense values.

    Raises:
        ModelError: an answer of another shape, or a wrong number of labels.
    """
    kind, shape = output_type(name), answers[0].shape
    if len(shape) != kind.axes or any(a.shape != shape for a in answers):
        raise ModelError(
            f"A network that predicts {kind.words} returns {kind.axes} axes per picture, not the shape {shape}."
        )
    if kind.has_classes and len(labels) != kind.classes_in(shape):
        raise ModelError(f"The network has {kind.classes_in(shape)} classes, but its card lists {len(labels)} labels.")
    return kind.of(answers, geometry, labels, card)


def softmax(logits: FloatArray, axis: int) -> FloatArray:
    """Softmax in float64, as float32; NaN where a logit is not finite."""
    z = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # the notes of a trace report what is not finite
        e = np.exp(z - z.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).astype(np.float32)
