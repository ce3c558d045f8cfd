"""The tables in docs/ are those that the commands wrote, and follow from the numbers beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from viz.measures.faithfulness.set_result import from_bytes as faithfulness_from
from viz.measures.faithfulness.tables import to_markdown as faithfulness
from viz.measures.localization.report import to_markdown as localization
from viz.measures.localization.results import from_bytes as localization_from

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "checkpoints" / "measured"


TABLES = {
    "localization": lambda data: localization(localization_from(data)),
    "faithfulness": lambda data: faithfulness(faithfulness_from(data)),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_holds_the_table_that_was_measured(name: str) -> None:
    table = TABLES[name]((MEASURED / f"{name}.json").read_bytes())
    page = (ROOT / "docs" / f"{name}.md").read_text()
    start, end = f"<!-- {name} table: start -->", f"<!-- {name} table: end -->"
    assert page.count(start) == page.count(end) == 1
    assert page.partition(start)[2].partition(end)[0].strip() == table.strip()


def test_the_long_table_of_controls_is_the_one_that_was_measured() -> None:
    data = (MEASURED / "controls.json").read_bytes()
    assert (MEASURED / "controls.md").read_text() == faithfulness(faithfulness_from(data))
    result = json.loads(data)
    for model in result["models"]:
        found = {(r["control"], r["source"], r["variant"], r["measure"]): r for r in model["table"]}
        for (control, source, variant, measure), r in found.items():
            if measure == "gain_over_random" and source == "cam":
                assert r["low"] > 0, "docs/faithfulness.md says so"
            if measure == "gain_over_centre" and source.startswith("attention"):
                assert r["low"] <= 0, "docs/faithfulness.md says so"
            if measure == "spearman" and variant == "independent: attention" and source.startswith("attention"):
                assert r["high"] < 0.2, "docs/faithfulness.md says so"
            if measure == "spearman" and variant == "cascading: classifier" and source.startswith("attention"):
                assert (r["mean"] == 1) == (model["model"] != "lite0-tdam"), "docs/faithfulness.md says so"
            if control == "stability" and measure == "spearman" and source.startswith("attention"):
                assert r["mean"] < found[control, "cam", variant, measure]["mean"], "docs/faithfulness.md says so"


def test_the_bundled_checkpoints_are_those_that_were_measured() -> None:
    for name in ("localization", "faithfulness", "controls"):
        models = json.loads((MEASURED / f"{name}.json").read_text())["models"]
        assert len(models) >= 5
        for model in models:
            card = json.loads((ROOT / "checkpoints" / f"{model.get('name') or model['model']}.json").read_text())
            # docs/faithfulness.md says that the long table is of earlier weights.
            earlier = {one["sha256"] for one in card.get("history", ())} if name == "controls" else set()
            assert model["sha256"] in {card["sha256"], *earlier}
