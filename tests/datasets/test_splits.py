"""Cross-validated numbers are the mean over many splits into folds, from the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.localization_data import write_dataset
from viz.cli import main
from viz.datasets import DatasetError, open_dataset
from viz.errors import VizError
from viz.measures.localization import Options, evaluate, plan, sources_of
from viz.measures.localization.protocol import Thresholds
from viz.measures.localization.report import to_markdown
from viz.measures.localization.scores import pack_bits, pack_shares
from viz.measures.localization.tally import Outcome, Outcomes, Tallies
from viz.measures.localization.tuning import SPLITS, folds_of, levels_for

N, LEVELS, FOLDS = 30, 12, 3
KEY = (0, "cam")


def made_rows() -> tuple[list[dict], np.ndarray]:
    rng = np.random.default_rng(0)
    # Each sample is right around its own best level: which folds tune decides a lot.
    best = rng.integers(0, LEVELS, N)
    bits = np.abs(np.arange(LEVELS) - best[:, None]) <= rng.integers(1, 4, (N, 1))
    bits = np.repeat(bits[:, None], 3, axis=1)
    rows = []
    for i in range(N):
        packed = pack_bits(bits[i])
        shares = pack_shares(bits[i, 1].astype(float))
        rows.append({"d": 0, "m": 0, "i": i, "s": {"cam": {"b1": packed, "b2": packed, "iou": shares}}})
    return rows, bits


def by_hand(bits: np.ndarray, folds: np.ndarray) -> np.ndarray:
    right = np.zeros(N)
    for fold in range(FOLDS):
        inside = folds == fold
        counts = bits[~inside, 1].sum(axis=0)
        levels = np.flatnonzero(counts == counts.max())
        right[inside] = bits[inside, 1, levels[len(levels) // 2]]
    return right


def at_levels(rows: list[dict], folds: np.ndarray, levels: np.ndarray) -> Outcome:
    outcomes = Outcomes(folds, {KEY: levels}, {KEY: 0})
    for row in rows:
        outcomes.update(row)
    return outcomes.found[KEY]


def test_numbers_are_the_mean_over_the_splits() -> None:
    rows, bits = made_rows()
    groups = [f"p{i}" for i in range(N)]
    folds = np.stack([folds_of(groups, FOLDS, s) for s in range(5)])
    assert len({tuple(f) for f in folds}) == 5 and (folds[0] == folds_of(groups, FOLDS)).all()
    tallies = Tallies(0, folds, groups, Thresholds(1 / LEVELS))
    for row in rows:
        tallies.update(row)
    counts = tallies.found[KEY]
    levels = np.array(
        [
            [[levels_for(counts.right[s, :, v, d], "cross-validated") for d in range(3)] for v in range(2)]
            for s in range(5)
        ]
    )
    out = at_levels(rows, folds, levels)
    wanted = np.array([by_hand(bits, f) for f in folds])
    assert out.right[:, 0, 1] == pytest.approx(wanted.mean(axis=0))
    assert out.hits.tolist() == wanted.sum(axis=1).tolist()
    assert len(set(out.hits.tolist())) > 1, "the splits differ, or the mean would say nothing"
    # A split that cannot choose is left out of the mean, not counted as wrong.
    levels[3] = -1
    out = at_levels(rows, folds, levels)
    assert out.right[:, 0, 1] == pytest.approx(np.delete(wanted, 3, axis=0).mean(axis=0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("splits") / "set", 6, splits=("val",))


def test_more_splits_cost_no_forward_pass_and_are_said(data: Path, tmp_path: Path) -> None:
    opened = open_dataset(data)
    options = Options(sources_of(["cam"]))
    rows = tmp_path / "rows"
    result = evaluate(plan(["lite0"], opened, options, folds=2, device="cpu"), rows)
    assert result is not None and result.tuning.splits == SPLITS == 20
    assert "the mean over 20 random splits" in to_markdown(result)
    before = {p: p.read_bytes() for p in rows.glob("*.jsonl")}
    single = evaluate(plan(["lite0"], opened, options, folds=2, splits=1, device="cpu"), rows)
    assert single is not None and {p: p.read_bytes() for p in rows.glob("*.jsonl")} == before
    assert single.tuning.splits == 1 and "random splits" not in to_markdown(single)
    for row, alone in zip(result.rows, single.rows, strict=True):
        spread = row.boxes.gt_known_splits
        assert spread["low"] <= row.boxes.gt_known.value <= spread["high"]
        assert spread["low"] <= alone.boxes.gt_known.value <= spread["high"]
        assert alone.boxes.gt_known_splits is None
        assert row.boxes.thresholds == alone.boxes.thresholds, "those of the first split"
    with pytest.raises(VizError, match="number of splits"):
        plan(["lite0"], opened, options, splits=0, device="cpu")


def test_samples_are_left_out_by_name_and_counted(data: Path, tmp_path: Path) -> None:
    opened = open_dataset(data)
    left = opened.without([opened[1].id])
    assert len(left) == len(opened) - 1 and opened[1].id not in {s.id for s in left}
    assert left.counts["left out"] == 1 and left.fingerprint != opened.fingerprint
    with pytest.raises(DatasetError, match="to leave out"):
        opened.without(["nothing.png"])
    target = tmp_path / "r.json"
    words = ["evaluate", "--data", str(data), "--model", "lite0", "--folds", "2", "--json", str(target)]
    assert main([*words, "--leave-out", opened[1].id, "--markdown", str(tmp_path / "r.md")]) == 0
    assert "1 left out by name" in (tmp_path / "r.md").read_text()
