"""What a network answers: one type for each sort of answer. What may be shown or asked of a network follows from it.

Answers are arrays of one picture, step by step. Each file of `viz.core.outputs` holds one type; model cards name it by
its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from viz.core import outputs
from viz.core.finite import finite
from viz.core.target import Region, Target, region_words
from viz.errors import ModelError
from viz.geometry import Geometry
from viz.read_only import LockedArrays

FloatArray = NDArray[np.float32]


class NamesValues(Protocol):
    """What a model card says of values: a quantity and its unit."""

    @property
    def quantity(self) -> str: ...
    @property
    def unit(self) -> str: ...


class Prediction(NamedTuple):
    """One class of one step: `probability` is the softmax over all classes."""

    class_index: int
    label: str
    probability: float


class Share(NamedTuple):
    """One class of one step of a dense answer: `share` of the cells at which it is the best class."""

    class_index: int
    label: str
    share: float


class Found(NamedTuple):
    """One class of one step of detections: `score` of its best object."""

    class_index: int
    label: str
    score: float


Ranked = Prediction | Share | Found


class CellMap(NamedTuple):
    """One value a cell: float32 (h, w), in words, unit and range."""

    values: FloatArray
    title: str
    unit: str
    bounds: tuple[float, float] = (-np.inf, np.inf)


class Output(LockedArrays, ABC):
    """The answers of all steps.

    Attributes:
        words: what such an answer is. axes: of the raw answer to one picture.
        asked: what an attribution explains: a logit, a value, ... number: what the number beside a class is.
        probable: whether a class has a probability, which faithfulness measures.
        has_classes: whether the card must name classes. labels: their names.
        maps: names of the maps that are the answer itself, see `viz.core.map_spec`; the usual one first.
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
    def of(cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: NamesValues) -> Self:
        """The output of raw answers of one shape, one a step."""

    @classmethod
    def classes_in(cls, shape: tuple[int, ...]) -> int:
        """How many classes a raw answer of that shape has."""
        return shape[0] if cls.has_classes else 0

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The values as they are kept in files, by name; steps first, unless `steps` says otherwise."""

    @property
    def steps(self) -> int:
        """How many steps answered."""
        return len(next(iter(self.arrays().values())))

    @abstractmethod
    def says(self, step: int) -> str:
        """The answer of a step (1-based) in words."""

    @abstractmethod
    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> Target:
        """What an attribution asks: one number of the raw answer.

        Args:
            class_index: needed where the answer has classes.
            region: x0, y0, x1, y1 in picture pixels, or the point x, y.

        Raises:
            ModelError: the answer has no places to ask about; the network does not see the region; no such object.
        """

    @cached_property
    def ranking(self) -> tuple[tuple[Ranked, ...], ...]:
        """For each step its classes, best first; empty where there are none."""
        return ((),) * self.steps

    def best(self, step: int) -> int | None:
        """The class that a question is about when nobody names one."""
        ranked = self.ranking[step - 1]
        return ranked[0].class_index if ranked else None

    def number_of(self, step: int, class_index: int) -> float:
        """The number beside a class."""
        return next((float(r[2]) for r in self.ranking[step - 1] if r.class_index == class_index), 0.0)

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        """A map that is the answer itself.

        Raises:
            ModelError: this sort of answer has no such map.
        """
        raise ModelError(f"This network predicts {self.words}; it has no map called {name}.")

    def subject(self, class_index: int | None) -> str:
        """What the answer is about: a class, or a quantity."""
        return "output" if class_index is None else self.labels[class_index]

    def question(self, step: int, class_index: int | None, region: Region | None) -> str:
        """What a target asks about, in words: a class or a quantity, and where."""
        what = self.subject(class_index)
        return what if region is None else f"{what} {region_words(region)}"

    def objects_in(self, geometry: Geometry) -> list[dict[str, Any]] | None:
        """The objects that were found, as plain values with corners in picture pixels; None of other answers."""
        return None

    def entry(self, step: int, count: int = 5) -> dict[str, Any]:
        """The answer of a step for a record, as plain values."""
        ranked = self.ranking[step - 1][:count]
        top = [{"class": r.class_index, "label": r.label, self.number: finite(r[2])} for r in ranked]
        return {"step": step, "top": top}


@cache
def output_types() -> dict[str, type[Output]]:
    """All types of answers by the name that a card gives them: of their file."""
    names = sorted(m.name for m in iter_modules(outputs.__path__))
    return {name: import_module(f"viz.core.outputs.{name}").OUTPUT for name in names}


def output_type(name: str) -> type[Output]:
    """The type of that name.

    Raises:
        ModelError: there is none.
    """
    try:
        return output_types()[name]
    except KeyError:
        raise ModelError(f"The output of a network is one of {', '.join(output_types())}, not {name[:40]!r}.") from None


def output_of(
    name: str, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: NamesValues
) -> Output:
    """The output of the raw answers to one picture, one a step, as the network gave them.

    Args:
        name: of the type. card: says quantity and unit of values.

    Raises:
        ModelError: an answer of another shape, or not as many labels as classes.
    """
    kind, shape = output_type(name), answers[0].shape
    if len(shape) != kind.axes or any(a.shape != shape for a in answers):
        raise ModelError(
            f"A network that predicts {kind.words} returns {kind.axes} axes for a picture, not the shape {shape}."
        )
    if kind.has_classes and len(labels) != kind.classes_in(shape):
        raise ModelError(f"The network has {kind.classes_in(shape)} classes, but its card lists {len(labels)} labels.")
    return kind.of(answers, geometry, labels, card)


def softmax(logits: FloatArray, axis: int) -> FloatArray:
    """Softmax in float64, as float32; NaN where a logit is not finite."""
    z = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # the notes of a trace say what is not finite
        e = np.exp(z - z.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).astype(np.float32)
