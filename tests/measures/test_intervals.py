"""Intervals and the numbers they stand beside, against textbook values and against resampling written out here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import viz.measures.localization.task as task_module
from tests.localization_data import WNIDS, write_dataset
from viz.datasets import open_dataset
from viz.measures.faithfulness.set_result import summarise
from viz.measures.intervals import DRAWS, LEVEL, interval
from viz.measures.localization.options import Options
from viz.measures.localization.protocol import Thresholds, pxap
from viz.measures.localization.run import evaluate, plan
from viz.measures.localization.scores import Truth, map_entry, pack_counts, unpack_bits
from viz.measures.localization.tally import PXAP_DRAWS, Tallies, Tally, picture_weights

# Quantiles of the binomial distribution with n = 100 and p = 0.5 in any table: 2.5 and 97.5 %, 5 and 95 %, 25 and 75 %.
BINOMIAL = {0.95: (40, 60), 0.90: (42, 58), 0.50: (47, 53)}


def test_every_interval_is_one_of_95_percent() -> None:
    """Texts and README say 95 %; the bootstrap of a fair coin is the binomial distribution itself."""
    assert LEVEL == 0.95
    coin = np.arange(100) % 2
    found = interval(coin * 100.0, draws=20_000)
    assert (found.low, found.high) == pytest.approx(BINOMIAL[0.95], abs=0.51)
    for level in (0.90, 0.50):
        assert abs(found.low - BINOMIAL[level][0]) > 1 and abs(found.high - BINOMIAL[level][1]) > 1


def test_an_interval_is_the_percentiles_of_means_drawn_here() -> None:
    rng = np.random.default_rng(7)
    values = rng.exponential(1.0, 40)
    mine = [values[rng.integers(0, 40, 40)].mean() for _ in range(20_000)]
    found = interval(values, draws=20_000)
    low, high = np.percentile(mine, [2.5, 97.5])
    spread = np.std(mine)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * spread)
    usual = interval(values)  # with the number of draws that results use
    assert DRAWS == 1000 and (usual.low, usual.high) == pytest.approx((low, high), abs=0.25 * spread)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(600):
        found = interval(rng.normal(2.0, 1.0, 80), draws=400)
        held += found.low <= 2.0 <= found.high
    # 95 % give 570; 90 % would give 540, and three deviations are 16.
    assert 555 <= held <= 585


def test_views_of_several_pictures_weigh_by_all_of_them() -> None:
    """A collage counts as often as the product of its pictures does: written out with its own draws."""
    rng = np.random.default_rng(11)
    members = [(i, (i + 1) % 12) for i in range(12)]
    values = rng.normal(0, 1, 12)
    means = []
    for _ in range(8000):
        times = np.bincount(rng.integers(0, 12, 12), minlength=12)
        weights = np.array([times[a] * times[b] for a, b in members])
        if weights.sum():
            means.append((values * weights).sum() / weights.sum())
    found = interval(values, members, draws=8000)
    low, high = np.percentile(means, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08 * np.std(means))


def test_summaries_of_controls_have_the_same_intervals() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, 50)
    base = {"control": "c", "source": "", "variant": "", "measure": "m"}
    made = summarise([{**base, "item": i, "value": v} for i, v in enumerate(values)])[0]
    wide = 2 * 1.96 * values.std() / np.sqrt(50)
    assert made.low < made.mean < made.high and made.high - made.low == pytest.approx(wide, rel=0.1)


# --- PxAP ----------------------------------------------------------------------------------------------------------


def _empty() -> Tally:
    """Of eight thresholds, so with ten bins."""
    return Tallies(0, np.zeros((1, 60), np.int64), [], Thresholds(1 / 8)).empty("cam")


def _tally(pixels: NDArray[np.float64], drawn: NDArray[np.float64], masks: int) -> Tally:
    empty = _empty()
    return Tally(empty.right, empty.n, pixels, drawn, masks)


def test_pxap_has_the_percentiles_of_its_draws() -> None:
    """Draws whose PxAP is known: all pixels in the lowest bin, k of 1000 of them of the object."""
    known = np.random.default_rng(0).permutation(np.arange(PXAP_DRAWS)) + 100.0
    drawn = np.array([[[k, 0, 0], [1000 - k, 0, 0]] for k in known])
    assert [pxap(d) for d in drawn[:3]] == pytest.approx(known[:3] / 10)
    found = _tally(drawn.mean(axis=0), drawn, 9).pxap()
    assert found is not None
    low, high = np.percentile(known / 10, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.n == 9 and found.value == pytest.approx(known.mean() / 10, abs=0.006)


def _histogram(rng: np.random.Generator) -> NDArray[np.int64]:
    """Pixels of a picture: a map of its own quality, ten bins."""
    quality = rng.uniform(0.0, 4.0)
    rising = np.exp(quality * np.linspace(0, 1, 10))
    return np.stack([rng.multinomial(400, rising / rising.sum()), rng.multinomial(1600, np.full(10, 0.1))])


def test_pxap_has_the_width_of_pictures_drawn_again() -> None:
    rng = np.random.default_rng(1)
    pictures = np.array([_histogram(rng) for _ in range(60)])
    made = _empty()
    for i, one in enumerate(pictures):
        made.add({"px": pack_counts(one)}, np.zeros(1, np.int64), f"p{i}.jpg")
    found = made.pxap()
    again = [pxap(pictures[rng.integers(0, 60, 60)].sum(axis=0)) for _ in range(4000)]
    low, high = np.percentile(again, [2.5, 97.5])
    assert found is not None and found.value == pytest.approx(pxap(pictures.sum(axis=0)), abs=0.006)
    assert found.low < found.value < found.high  # type: ignore[operator]
    # 200 draws: the ends move by about an eighth of the width.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_weights_of_pictures_are_poisson_and_their_own() -> None:
    weights = np.array([picture_weights(f"p{i}.jpg") for i in range(500)])
    assert weights.shape == (500, PXAP_DRAWS)
    shares = np.bincount(weights.astype(int).ravel())[:4] / weights.size
    assert shares == pytest.approx([0.3679, 0.3679, 0.1839, 0.0613], abs=0.005)  # Poisson with mean 1
    assert np.abs(np.corrcoef(weights[:40])[~np.eye(40, dtype=bool)]).max() < 0.4
    assert (picture_weights("p3.jpg") == weights[3]).all()


# --- what the numbers are of -----------------------------------------------------------------------------------------

BLOB, LARGER = (20, 30, 60, 70), (120, 100, 210, 200)


def _blobs(*boxes: tuple[int, int, int, int]) -> NDArray[np.float32]:
    values = np.zeros((224, 224), np.float32)
    for x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = 1
    return values


def test_v1_takes_the_largest_contour_and_v2_any() -> None:
    truth = Truth(np.array([BLOB]), None)
    found = map_entry(_blobs(BLOB, LARGER), truth, Thresholds(0.1))
    assert not unpack_bits(found["b1"], (3, 10)).any()
    assert unpack_bits(found["b2"], (3, 10))[:, 1:].all()


RANKS = {WNIDS[0]: 0, WNIDS[1]: 3, WNIDS[2]: 9}


def test_top1_top5_v1_and_v2_of_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known ranks and known boxes: a third is right at once, a third among five; V2 sees the object, V1 the larger."""
    data = open_dataset(write_dataset(tmp_path / "set", splits=("val",)), "val")
    rank_of = {s.class_index: RANKS[s.label] for s in data}
    right = True

    def maps(model: Any, source: Any, traces: Sequence[Any], **rest: Any) -> list[NDArray[np.float32]]:
        found = []
        for trace in traces:
            height, width = trace.picture.size
            reach, (sy, sx) = min(height, width) / 6, (224 / height, 224 / width)
            box = [(width / 4 - reach) * sx, (height / 3 - reach) * sy, (width / 4 + reach) * sx]
            x0, y0, x1, y1 = (round(v) for v in (*box, (height / 3 + reach) * sy))
            found.append(_blobs((x0, y0, x1, y1)) if right else _blobs((x0, y0, x1, y1), (105, 125, 220, 220)))
        return found

    monkeypatch.setattr(task_module, "native_maps", maps)
    monkeypatch.setattr(task_module, "_rank", lambda logits, wanted: rank_of[wanted])
    made = plan(["lite0"], data, Options(batch=4), folds=3, device="cpu")
    result = evaluate(made, tmp_path / "a")
    assert result is not None
    row = next(r for r in result.rows if r.source == "cam").boxes
    answered = result.models[0].classification[0]
    assert row.gt_known.value == 100
    assert row.top1_loc.value == answered.top1.value == pytest.approx(33.33)
    assert row.top5_loc.value == answered.top5.value == pytest.approx(66.67)
    assert (result.bootstrap.level, result.bootstrap.draws, result.bootstrap.pxap_draws) == (0.95, 1000, 200)
    # Of nine pictures with three right: the binomial distribution's 2.5 % lie between none and one, its 97.5 % at six.
    assert row.top1_loc.high == pytest.approx(66.67) and row.top1_loc.low < 12
    right = False
    result = evaluate(made, tmp_path / "b")
    assert result is not None
    row = next(r for r in result.rows if r.source == "cam").boxes
    assert row.max.v1["50"] == 0 and row.max.v2 == {"30": 100, "50": 100, "70": 100}
    assert row.max.v2_mean == row.reported.v2_mean.value == 100
