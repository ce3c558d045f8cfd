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
    beats_centre = {}
    for model in json.loads(data)["models"]:
        name, table = model["model"], model["table"]
        found = {(r["control"], r["source"], r["variant"], r["measure"]): r for r in table}
        (own,) = {r["source"] for r in table if r["measure"] == "gain_over_centre"} - {"cam"}
        gains = [("cam", "gain_over_random"), (own, "gain_over_random"), (own, "gain_over_centre")]
        sure = {(source, m): [r for (_, s, _, n), r in found.items() if (s, n) == (source, m)] for source, m in gains}
        # docs/faithfulness.md says all of this.
        assert all(r["low"] > 0 for r in sure["cam", "gain_over_random"])
        assert name not in ("lite0-psa", "lite0-vista") or all(r["low"] > 0 for r in sure[own, "gain_over_random"])
        beats_centre[name] = {r["control"] for r in sure[own, "gain_over_centre"] if r["low"] > 0}
        assert name != "lite0-paka" or all(r["high"] < 0 for r in sure[own, "gain_over_centre"])
        alike = {key[2]: r for key, r in found.items() if key[:2] == ("randomisation", own) and key[3] == "spearman"}
        assert alike["independent: attention"]["high"] < 0.2
        assert (alike["cascading: classifier"]["mean"] == 1) == (name != "lite0-tdam")
        for (control, source, variant, measure), r in found.items():
            if (control, source, measure) == ("stability", own, "spearman"):
                more = r["mean"] - found["stability", "cam", variant, measure]["mean"]
                assert (more > 0) == (name in ("lite0-psa", "lite0-vista"))
    curves = {"insertion", "road_morf", "road_lerf"}
    wanted = {"psa": curves, "vista": curves, "ema": {"road_morf"}, "tdam": set(), "paka": set()}
    assert beats_centre == {f"lite0-{family}": beaten for family, beaten in wanted.items()}


def test_the_bundled_checkpoints_are_those_that_were_measured() -> None:
    for name in ("localization", "faithfulness", "controls"):
        models = json.loads((MEASURED / f"{name}.json").read_text())["models"]
        assert len(models) >= 5
        for model in models:
            card = json.loads((ROOT / "checkpoints" / f"{model.get('name') or model['model']}.json").read_text())
            assert model["sha256"] == card["sha256"]
