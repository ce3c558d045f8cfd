"""Numbers of an evaluation that a usual run leaves equal by chance: unions, predicted classes, cases, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import viz.measures.localization.task as task_module
from tests.localization_data import write_dataset
from tests.tiny import with_logits
from viz.core.card import ModelCard
from viz.core.trace import Trace
from viz.datasets import Dataset, open_dataset
from viz.measures.intervals import interval
from viz.measures.localization.options import Options, sources_of
from viz.measures.localization.results import Result
from viz.measures.localization.run import evaluate, plan
from viz.measures.localization.summary import network_part


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_dataset(tmp_path_factory.mktemp("data") / "set", splits=("val",)), "val")


def evaluated(data: Dataset, folder: Path, model: str = "lite0", **options: Any) -> Result:
    made = plan([model], data, Options(batch=4, **options), folds=3, device="cpu")
    result = evaluate(made, folder)
    assert result is not None
    return result


def shifted_truth(share: float, trace: Any) -> NDArray[np.float32]:
    """The object's box, moved to the right by a share of its side: its IoU falls as the share grows."""
    height, width = trace.picture.size
    reach, sy, sx = min(height, width) / 6, 224 / height, 224 / width
    left, right = (width / 4 - reach) * sx, (width / 4 + reach) * sx
    move = share * (right - left)
    values = np.zeros((224, 224), np.float32)
    rows = slice(round((height / 3 - reach) * sy), round((height / 3 + reach) * sy))
    values[rows, round(left + move) : round(right + move)] = 1
    return values


def test_best_and_worst_cases_are_the_ends_of_the_order(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = open_dataset(write_dataset(tmp_path / "many", 14, splits=("val",)), "val")
    place = {s.id.rpartition("/")[2]: i for i, s in enumerate(many)}

    def maps(model: Any, source: Any, traces: Sequence[Any], **rest: Any) -> list[NDArray[np.float32]]:
        return [shifted_truth(place[t.picture.name] / 20, t) for t in traces]

    monkeypatch.setattr(task_module, "native_maps", maps)
    row = next(r for r in evaluated(many, tmp_path / "rows").rows if r.source == "cam")
    assert [c.index for c in row.cases["best"]] == [0, 1, 2, 3, 4, 5]
    assert [c.index for c in row.cases["worst"]] == [13, 12, 11, 10, 9, 8]
    assert row.cases["best"][0].iou > 0.9 and row.cases["worst"][0].iou < 0.4


def test_thresholds_are_shares_of_the_largest_level(data: Dataset, tmp_path: Path) -> None:
    """A level of 255 is the map's largest value: the levels of 0, 0.1, ... 0.9 are these numbers, cut to whole ones."""
    result = evaluated(data, tmp_path / "rows", interval=0.1)
    row = next(r for r in result.rows if r.source == "cam").boxes
    wanted = [round(level / 255, 4) for level in (0, 25, 51, 76, 102, 127, 153, 178, 204, 229)]
    assert list(row.curve.thresholds) == wanted
    assert {t for of in row.thresholds["v1"].values() for t in of} <= set(wanted)


def test_the_predicted_class_is_that_of_the_sources_own_step(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is made sure of another class, so that they differ for every picture."""
    asked: dict[str, list[int]] = {}
    usual = task_module.trace_batch

    def traces_of(*arguments: Any, **rest: Any) -> list[Trace]:
        found = []
        for trace in usual(*arguments, **rest):
            logits = trace.logits.copy()
            logits[0, 101], logits[1, 202] = 1e3, 1e3
            found.append(with_logits(trace, logits))
        return found

    def maps(
        model: Any, source: Any, traces: Sequence[Any], *, classes: Sequence[int], **rest: Any
    ) -> list[NDArray[np.float32]]:
        asked.setdefault(str(source), []).extend(classes)
        return [shifted_truth(0, t) for t in traces]

    monkeypatch.setattr(task_module, "trace_batch", traces_of)
    monkeypatch.setattr(task_module, "native_maps", maps)
    evaluated(data, tmp_path / "rows", "lite0-tdam", sources=sources_of(["cam:1", "cam:2"]), classes="predicted")
    assert asked == {"cam:1": [101] * len(data), "cam:2": [202] * len(data)}


def test_the_unfiltered_union_is_the_first_and_the_filtered_one_the_second() -> None:
    card = ModelCard("m", "M", "tdam", "n", steps=2)
    ranks = np.array([[0, 9], [9, 0], [9, 9], [2, 9]], np.int32)
    unions = np.array([[[1, 1], [1, 1]], [[1, 1], [0, 1]], [[0, 0], [0, 0]], [[0, 1], [0, 0]]], np.int8)
    found = network_part(card, ranks, unions, ["a", "b", "c", "d"])
    shares = {name: {k: v.value for k, v in of.items()} for name, of in found.union.items()}
    assert shares == {"unfiltered": {"top1": 50, "top5": 75}, "filtered": {"top1": 25, "top5": 50}}
    assert [[s.top1.value, s.top5.value] for s in found.classification] == [[25, 50], [25, 25]]


def test_a_missing_value_takes_its_own_picture_along() -> None:
    """Values of three pictures; those that are missing leave the others with the pictures that they belong to."""
    values = [np.nan, np.nan, 0.0, 0.0, 10.0, 10.0, 5.0]
    groups = ["a", "a", "b", "b", "c", "c", "b"]
    whole = [(v, g) for v, g in zip(values, groups, strict=True) if np.isfinite(v)]
    assert interval(values, groups) == interval([v for v, _ in whole], [g for _, g in whole])
    # Two pictures are left: drawn twice the one or twice the other, the ends are their own means.
    found = interval(values, groups)
    assert (found.low, found.high, found.n) == (pytest.approx(5 / 3), 10.0, 5)
    assert np.isnan(interval([np.nan, 1.0, 2.0], ["a", "b", "b"]).low)  # one picture says nothing of others
