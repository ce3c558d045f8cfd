"""One grammar for "which map?": the table of accepted and refused texts, and that what is printed is read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viz.core.map_spec import BASELINES, DERIVED, MapSpec, parse
from viz.core.methods import METHODS
from viz.core.words import words
from viz.errors import MapError
from viz.figures.shorthand import panel_text, parse_panel

TABLE = json.loads((Path(__file__).parents[1] / "map_specs.json").read_text(encoding="utf-8"))
PARTS = ("name", "tap", "channel", "cls", "step")
ABSENT = {"tap": None, "channel": None, "cls": None, "step": -1}


@pytest.mark.parametrize("case", TABLE["accepted"], ids=lambda c: c["text"])
def test_accepted(case: dict[str, Any]) -> None:
    spec = parse(case["text"])
    assert {part: getattr(spec, part) for part in PARTS} == {p: case.get(p, ABSENT.get(p)) for p in PARTS}
    assert spec.kind == case["kind"] and words(spec)
    printed = case.get("prints", case["text"])
    assert str(spec) == printed and parse(printed) == spec and parse(spec) is spec
    assert parse_panel(case["text"]).spec == spec, "a figure takes every map"
    assert parse_panel(panel_text(parse_panel(case["text"]))).spec == spec


@pytest.mark.parametrize("text", TABLE["refused"])
def test_refused(text: str) -> None:
    with pytest.raises(MapError) as caught:
        parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_table_is_large_enough() -> None:
    assert len(TABLE["accepted"]) >= 60 and len(TABLE["refused"]) >= 40
    assert {c["kind"] for c in TABLE["accepted"]} == {
        "cam", "attention", "tap", "derived", "attribution", "feature", "baseline"
    }  # fmt: skip
    assert {*DERIVED, *BASELINES, *(m.partition("(")[0] for m in METHODS)} <= {c["name"] for c in TABLE["accepted"]}


names = st.from_regex(r"[a-z_]{1,6}(\.[0-9a-z_]{1,4}){0,2}x", fullmatch=True)
classes = (
    st.none()
    | st.integers(0, 10**6)
    | st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable() and t.strip() != "")
)
steps = st.sampled_from([-1, -2, 1, 2, 37])


@given(
    st.one_of(
        st.builds(MapSpec, st.just("cam"), st.none(), st.none(), classes, steps),
        st.builds(MapSpec, names, st.none(), st.none() | st.integers(0, 99), st.none(), steps),
        st.builds(MapSpec, st.sampled_from(DERIVED), names, st.none() | st.integers(0, 99), st.none(), steps),
        st.builds(MapSpec, st.sampled_from(["gradcam", "integrated_gradients"]), names, st.none(), classes, steps),
        st.builds(MapSpec, st.just("feature"), st.none(), st.integers(0, 99), st.none(), steps),
    )
)
def test_what_is_printed_is_read_again(spec: MapSpec) -> None:
    assert parse(str(spec)) == spec
    assert parse_panel(str(spec)).spec == spec


@pytest.mark.parametrize(
    "wrong",
    [{"name": 3}, {"name": "cam", "cls": -1}, {"name": "cam", "cls": True}, {"name": "cam", "step": 1.5},
     {"name": "bottom", "channel": -1}, {"name": "mean", "tap": "a b"}, {"name": "x" * 300}],
)  # fmt: skip
def test_parts_from_elsewhere_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(MapError):
        MapSpec(**wrong)
