"""Every bundled model answers as it did when its golden values were stored: logits, captured values and boxes."""

from __future__ import annotations

import numpy as np
import pytest

import viz
from tests.golden.measure import EDGE, MODELS, PICTURES, TOLERANCE, Answer, errors, measured, stored

GOLDEN = stored()


@pytest.fixture(scope="module", params=MODELS)
def answers(request: pytest.FixtureRequest) -> dict[str, Answer]:
    model = viz.load(request.param, "cpu")
    return {f"{request.param}/{picture}": measured(model, picture) for picture in PICTURES}


def test_the_bundled_models_answer_as_they_did(answers: dict[str, Answer]) -> None:
    for key, ours in answers.items():
        found = errors(ours, GOLDEN[key])
        moved = found.pop("boxes")
        wrong = {name: error for name, error in found.items() if not error <= TOLERANCE}
        assert not wrong, f"{key}: {wrong}"
        assert moved <= EDGE, f"{key}: an edge of a box moved by {moved:g} pixels"
        assert ours.logits.argmax(axis=1).tolist() == GOLDEN[key].logits.argmax(axis=1).tolist()
        assert len(set(ours.names)) == len(ours.names)


def test_every_bundled_model_has_golden_answers() -> None:
    from viz.models.catalogue import Catalogue

    assert {key.partition("/")[0] for key in GOLDEN} == set(Catalogue().bundled)
    assert set(GOLDEN) == {f"{m}/{p}" for m in MODELS for p in PICTURES}


def test_a_difference_is_seen() -> None:
    """The comparison itself: a moved logit, a lost value, another shape and a shifted box all count."""
    golden = GOLDEN["lite0-psa/clutter.jpg"]
    assert max(errors(golden, golden).values()) == 0
    logits = golden.logits.copy()
    logits[0, 7] += np.float32(0.1)
    assert errors(Answer(logits, golden.records, golden.names, golden.boxes), golden)["logits"] > TOLERANCE
    lost = Answer(golden.logits, golden.records[1:], golden.names[1:], golden.boxes)
    assert errors(lost, golden)[golden.names[0]] == np.inf
    assert errors(Answer(golden.logits[:, :10], golden.records, golden.names, golden.boxes), golden)["logits"] == np.inf
    shifted = {k: [box[0], box[1], box[2] + 5, box[3]] for k, box in golden.boxes.items()}
    assert errors(Answer(golden.logits, golden.records, golden.names, shifted), golden)["boxes"] == 5
