"""What a network answers: one type for each sort of answer. What may be shown or asked of a network follows from it.

Answers are arrays of one picture, step by step. `OUTPUTS` names the types as model cards do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from viz.core.finite import finite
from viz.errors import ModelError
from viz.geometry import Geometry
from viz.read_only import LockedArrays

FloatArray = NDArray[np.float32]
OutputKind = Literal["class_scores", "dense_classes", "dense_values", "detections"]
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)


class NamesValues(Protocol):
    """What a model card says of dense values."""

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
    """The answers of all steps."""

    kind: ClassVar[OutputKind]

    # What an attribution explains, and what the number beside a class is.
    asked: ClassVar[str] = "logit"
    number: ClassVar[str] = "probability"
    labels: tuple[str, ...]

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps answered."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The values as they are kept in files, by name."""

    @abstractmethod
    def says(self, step: int) -> str:
        """The answer of a step (1-based) in words."""

    @cached_property
    def ranking(self) -> tuple[tuple[Ranked, ...], ...]:
        """For each step its classes, best first; empty where the answer has none."""
        return ((),) * self.steps

    @property
    def top_count(self) -> int:
        """How many entries of `ranking` say something."""
        return len(self.labels)

    def best(self, step: int) -> int | None:
        """The class that a question is about when nobody names one."""
        ranked = self.ranking[step - 1]
        return ranked[0].class_index if ranked else None

    def number_of(self, step: int, class_index: int) -> float:
        """The number beside a class."""
        return next((float(r[2]) for r in self.ranking[step - 1] if r.class_index == class_index), 0.0)

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        """A map that is the answer itself, see `viz.core.map_spec`.

        Raises:
            ModelError: this sort of answer has no such map.
        """
        raise ModelError(f"This network answers {WORDS[self.kind]}, and no {name} for each place.")

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the maps that `map` gives, the usual one first."""
        return ()

    def entry(self, step: int, count: int = 5) -> dict[str, Any]:
        """The answer of a step for a record, as plain values."""
        ranked = self.ranking[step - 1][:count]
        top = [{"class": r.class_index, "label": r.label, self.number: finite(r[2])} for r in ranked]
        return {"step": step, "top": top}


def softmax(logits: FloatArray, axis: int) -> FloatArray:
    """Softmax in float64, as float32; NaN where a logit is not finite."""
    z = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # the notes of a trace say what is not finite
        e = np.exp(z - z.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ClassScores(Output):
    """One score for each class of the whole picture: `logits` float32 (steps, classes)."""

    logits: FloatArray
    labels: tuple[str, ...]
    kind: ClassVar[OutputKind] = "class_scores"

    @property
    def steps(self) -> int:
        return int(self.logits.shape[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"logits": self.logits}

    def says(self, step: int) -> str:
        best = self.ranking[step - 1][0]
        return f"{best.label} ({best[2]:.1%})"

    @cached_property
    def probabilities(self) -> FloatArray:
        """Softmax over classes, float32 (steps, classes)."""
        return softmax(self.logits, 1)

    @cached_property
    def ranking(self) -> tuple[tuple[Prediction, ...], ...]:
        return tuple(
            tuple(Prediction(int(i), self.labels[i], float(p[i])) for i in np.argsort(-p, kind="stable"))
            for p in self.probabilities
        )

    def best(self, step: int) -> int:
        return int(self.logits[step - 1].argmax())

    def number_of(self, step: int, class_index: int) -> float:
        return float(self.probabilities[step - 1, class_index])


@dataclass(frozen=True, eq=False)
class DenseClasses(Output):
    """One score for each class at each cell (segmentation).

    `logits` float32 (steps, classes, h, w); `seen` bool (h, w): the cells that show the picture and not its padding.
    """

    logits: FloatArray
    labels: tuple[str, ...]
    seen: NDArray[np.bool_]
    kind: ClassVar[OutputKind] = "dense_classes"
    number: ClassVar[str] = "share"

    @property
    def steps(self) -> int:
        return int(self.logits.shape[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"logits": self.logits}

    def says(self, step: int) -> str:
        best = [r for r in self.ranking[step - 1][:3] if r[2] > 0]
        return ", ".join(f"{r.label} ({r[2]:.1%} of the cells)" for r in best)

    @cached_property
    def classes(self) -> NDArray[np.intp]:
        """The best class of each cell, (steps, h, w)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def ranking(self) -> tuple[tuple[Share, ...], ...]:
        out = []
        for cells in self.classes:
            shares = np.bincount(cells[self.seen], minlength=len(self.labels)) / self.seen.sum()
            order = np.argsort(-shares, kind="stable")
            out.append(tuple(Share(int(i), self.labels[i], float(shares[i])) for i in order))
        return tuple(out)

    @property
    def maps(self) -> tuple[str, ...]:
        return ("output", "probability")

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        index = class_index or 0
        logits, label = self.logits[step - 1], self.labels[index]
        if name == "output":
            return CellMap(logits[index], f"logit of {label}", "logit")
        return CellMap(softmax(logits, 0)[index], f"probability of {label}", "probability", (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class DenseValues(Output):
    """One value at each cell (depth, regression).

    `values` float32 (steps, h, w) of a quantity in a unit; `seen` as of `DenseClasses`.
    """

    values: FloatArray
    seen: NDArray[np.bool_]
    quantity: str = "value"
    unit: str = ""
    kind: ClassVar[OutputKind] = "dense_values"
    asked: ClassVar[str] = "value"
    labels: ClassVar[tuple[str, ...]] = ()  # type: ignore[misc]  # it has no classes

    @property
    def steps(self) -> int:
        return int(self.values.shape[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"values": self.values}

    def says(self, step: int) -> str:
        values = self.values[step - 1][self.seen]
        return f"{self.quantity} {values.min():.4g} to {values.max():.4g} {self.unit}".rstrip()

    @property
    def maps(self) -> tuple[str, ...]:
        return ("output",)

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        if name != "output":
            return super().map(name, step, class_index)
        return CellMap(self.values[step - 1], self.quantity, self.unit or self.quantity)

    def entry(self, step: int, count: int = 5) -> dict[str, Any]:
        values = self.values[step - 1][self.seen]
        ends = [finite(float(v)) for v in (values.min(), values.mean(), values.max())]
        return {"step": step, "quantity": self.quantity, "unit": self.unit} | dict(
            zip(("low", "mean", "high"), ends, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Objects(LockedArrays):
    """The objects of one step, best first: `boxes` (n, 4) corners x0, y0, x1, y1 in pixels of the network's input,
    `scores` (n,) 0 to 1, `classes` (n,), `candidates` (n,) rows of the network's raw answer."""

    boxes: FloatArray
    scores: FloatArray
    classes: NDArray[np.intp]
    candidates: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Detections(Output):
    """Objects with boxes, classes and scores, for each step."""

    objects: tuple[Objects, ...]
    labels: tuple[str, ...]
    kind: ClassVar[OutputKind] = "detections"
    asked: ClassVar[str] = "score"
    number: ClassVar[str] = "score"

    @property
    def steps(self) -> int:
        return len(self.objects)

    def arrays(self) -> dict[str, NDArray[Any]]:
        found = {}
        for step, o in enumerate(self.objects, 1):
            found[f"boxes:{step}"] = np.column_stack([o.boxes, o.scores, o.classes]).astype(np.float32)
        return found

    def says(self, step: int) -> str:
        o = self.objects[step - 1]
        if not len(o.scores):
            return "no object"
        what = "object" if len(o.scores) == 1 else "objects"
        return f"{len(o.scores)} {what}, best {self.labels[int(o.classes[0])]} ({o.scores[0]:.2f})"

    @cached_property
    def ranking(self) -> tuple[tuple[Found, ...], ...]:
        out = []
        for o in self.objects:
            best: dict[int, float] = {}
            for c, s in zip(o.classes, o.scores, strict=True):
                best.setdefault(int(c), float(s))
            out.append(tuple(Found(c, self.labels[c], s) for c, s in best.items()))
        return tuple(out)


OUTPUTS: Mapping[OutputKind, type[Output]] = MappingProxyType(
    {t.kind: t for t in (ClassScores, DenseClasses, DenseValues, Detections)}
)
WORDS: Mapping[OutputKind, str] = MappingProxyType(
    {
        "class_scores": "one score for each class of the whole picture",
        "dense_classes": "a class for each place",
        "dense_values": "a value for each place",
        "detections": "objects with boxes",
    }
)

_AXES: Mapping[OutputKind, int] = MappingProxyType(
    {"class_scores": 1, "dense_classes": 3, "dense_values": 2, "detections": 2}
)
LEAST_SCORE, MOST_OVERLAP, MOST_OBJECTS = 0.25, 0.45, 300


def output_of(
    kind: OutputKind,
    answers: Sequence[FloatArray],
    geometry: Geometry,
    labels: tuple[str, ...],
    card: NamesValues,
) -> Output:
    """The output of the answers to one picture, one a step, as the network gave them.

    Args:
        card: says quantity and unit of dense values.
        answers: of class scores (classes,); of dense classes (classes, h, w); of dense values (h, w); of detections
            (candidates, 4 + classes): corners in pixels of the network's input, then a score for each class, 0 to 1,
            before overlapping boxes are taken away.

    Raises:
        ModelError: an answer of another shape, or not as many labels as classes.
    """
    shape = answers[0].shape
    if len(shape) != _AXES[kind] or any(a.shape != shape for a in answers):
        raise ModelError(f"An answer of {WORDS[kind]} has {_AXES[kind]} axes and one shape, not {shape}.")
    classes = 0 if kind == "dense_values" else shape[1] - 4 if kind == "detections" else shape[0]
    if len(labels) != classes:
        raise ModelError(f"The network answers {classes} classes, and its card names {len(labels)}.")
    if kind == "class_scores":
        return ClassScores(np.stack(answers), labels)
    if kind == "dense_classes":
        return DenseClasses(np.stack(answers), labels, geometry.cells_inside(geometry.placed, shape[1:]))
    if kind == "dense_values":
        seen = geometry.cells_inside(geometry.placed, shape)
        return DenseValues(np.stack(answers), seen, card.quantity or "value", card.unit)
    return Detections(tuple(_objects(a) for a in answers), labels)


def _objects(answer: FloatArray) -> Objects:
    """Candidates above the least score, without those that overlap a better one of their class."""
    import cv2  # heavy; model cards are read without it

    corners, classes = answer[:, :4], answer[:, 4:].argmax(axis=1)
    scores = answer[np.arange(len(answer)), 4 + classes]
    sides = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), classes.tolist(), LEAST_SCORE, MOST_OVERLAP)
    rows = np.array(kept, dtype=np.intp).reshape(-1)
    rows = rows[np.argsort(-scores[rows], kind="stable")][:MOST_OBJECTS]
    return Objects(corners[rows], scores[rows], classes[rows], rows)
