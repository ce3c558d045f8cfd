"""One option has one spelling in all commands; earlier spellings are accepted and not shown."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from viz.cli.options import SEVERAL
from viz.cli.program import _parser

DATA = ["--data", "D", "--json", "r.json", "--model", "a"]
COMMANDS: dict[str, list[str]] = {
    "trace": ["p.png", "--out", "o"],
    "figure": ["p.png", "--out", "f.pdf"],
    "compare": ["p.png", "--out", "o"],
    "evaluate": DATA,
    "faithfulness": DATA,
}
OF_MODELS = ("compare", "evaluate", "faithfulness")


def parse(command: str, *words: str, base: list[str] | None = None) -> dict[str, Any]:
    """The values of a command line, without the function that would run it."""
    found = vars(_parser().parse_args([command, *(COMMANDS[command] if base is None else base), *words]))
    return {name: value for name, value in found.items() if name != "run"}


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found.choices)


@pytest.mark.parametrize(
    ("command", "earlier", "now"),
    [
        *((c, ["--n-steps", "9"], ["--ig-steps", "9"]) for c in ("figure", "compare", "evaluate", "faithfulness")),
        *((c, ["--source", "cam", "gradcam"], ["--map", "cam", "gradcam"]) for c in OF_MODELS),
        *((c, ["--classes", "predicted"], ["--class", "predicted"]) for c in ("evaluate", "faithfulness")),
        ("evaluate", ["--classes=label"], ["--class=label"]),
    ],
)
def test_earlier_spellings_say_the_same_and_are_not_shown(command: str, earlier: list[str], now: list[str]) -> None:
    assert parse(command, *earlier) == parse(command, *now) != parse(command, *_other(now))
    shown = commands()[command].format_help()
    assert now[0].partition("=")[0] in shown and earlier[0].partition("=")[0] not in shown


def _other(words: list[str]) -> list[str]:
    value = {"predicted": "label", "label": "predicted", "9": "8"}
    option, _, joined = words[0].partition("=")
    return [option, *(value.get(w, "attention") for w in [joined, *words[1:]] if w)]


@pytest.mark.parametrize("command", OF_MODELS)
def test_models_and_maps_are_listed_repeated_or_both(command: str) -> None:
    base = [word for word in COMMANDS[command] if word not in ("--model", "a")]
    for option, dest in (("--model", "model"), ("--map", "maps")):
        more = [] if option == "--model" else ["--model", "m"]
        for words in (
            [option, "a", "b", "c"],
            [option, "a", option, "b", option, "c"],
            [option, "a", "b", option, "c"],
        ):
            assert parse(command, *more, *words, base=base)[dest] == ["a", "b", "c"]


@pytest.mark.parametrize("command", ["trace", "figure"])
def test_a_checkpoint_is_named_like_any_model(command: str) -> None:
    from viz.cli.common import model_named

    assert str(model_named(argparse.Namespace(**parse(command, "--checkpoint", "a.pth")))) == "a.pth"
    assert model_named(argparse.Namespace(**parse(command, "--model", "a.pth"))) == "a.pth"
    assert "--checkpoint" not in commands()[command].format_help()


def test_what_is_the_same_is_spelled_and_shaped_the_same() -> None:
    spelled: dict[str, set[tuple[str, ...]]] = {}
    for parser in commands().values():
        for action in parser._actions:
            if action.option_strings and action.help != argparse.SUPPRESS:
                spelled.setdefault(action.dest, set()).add(tuple(action.option_strings))
                assert action.help or action.choices or action.nargs == 0, action.option_strings
                if action.dest in ("model", "maps") and action.nargs is not None:
                    assert action.nargs == SEVERAL["nargs"] and isinstance(action, argparse._ExtendAction)
    assert {dest: strings for dest, strings in spelled.items() if len(strings) > 1} == {}


@pytest.mark.parametrize(
    "words",
    [
        ["{p}", "{f}", "--model", "a", "b"],
        ["--model", "a", "--model", "b", "{p}", "{f}"],
        ["--model", "a", "b", "{p}", "{f}"],
        ["--model", "a", "b", "--map", "m", "{p}", "{f}"],
    ],
)
def test_pictures_may_follow_the_values_of_an_option(words: list[str], tmp_path: Any) -> None:
    from viz.cli.compare import _checked

    places = {"p": str(tmp_path / "p.jpg"), "f": str(tmp_path)}
    args = argparse.Namespace(**parse("compare", *(w.format(**places) for w in words), base=["--out", "o"]))
    if args.maps:
        args.maps[0] = "class_map"
    _checked(args)
    assert args.pictures == [places["p"], places["f"]] and args.model == ["a", "b"]


def test_a_comparison_without_a_picture_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    from viz.cli import main

    with pytest.raises(SystemExit) as left:
        main(["compare", "--model", "a", "b", "--out", "o"])
    assert left.value.code == 2 and capsys.readouterr().err == "searchlight: Name at least one picture or folder.\n"
