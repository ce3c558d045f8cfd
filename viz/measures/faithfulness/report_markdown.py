"""The means of a data set's controls as Markdown: reliance, curves, random weights, stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]
Row = Mapping[str, Any]
_RELIANCE = ("probability_drop", "best_drop", "top1_kept")
_CURVES = {
    "deletion": "deletion",
    "insertion": "insertion",
    "road_morf": "ROAD, most relevant first",
    "road_lerf": "ROAD, least relevant first",
}
# What of a picture the networks saw, by the geometry of the request: figures of two geometries differ by points.
_SEEN = {
    "center_crop": "centre crop",
    "squash": "whole picture, squashed to the network's square",
    "letterbox": "whole picture with bars to the network's square",
}
_GAINS = ("gain_over_random", "gain_over_centre")


def to_markdown(result: Result) -> str:
    """Tables of the controls that the result has; what has no number is left out.

    Args:
        result: what ``searchlight faithfulness`` writes as JSON.
    """
    parts = [part for make in (_reliance, _curves, _randomisation, _stability) if (part := make(result))]
    return "\n\n".join(parts) + "\n" if parts else ""


def _rows(model: Mapping[str, Any], control: str) -> list[Row]:
    return [r for r in model["table"] if r["control"] == control and r["n"]]


def _find(rows: Sequence[Row], **wanted: str) -> Row | None:
    return next((r for r in rows if all(r[k] == v for k, v in wanted.items())), None)


def _number(row: Row | None, factor: float = 1.0, form: str = "+.1f") -> str:
    if row is None:
        return ""
    value = f"{row['mean'] * factor:{form}}"
    if row["low"] is None:  # one picture has no interval
        return value
    return f"{value} ({row['low'] * factor:{form}} to {row['high'] * factor:{form}})"


def _reliance(result: Result) -> str:
    lines = []
    for model in result["models"]:
        rows = _rows(model, "reliance")
        top1 = _find(_rows(model, "network"), measure="best")
        for variant in dict.fromkeys(r["variant"] for r in rows):
            gates, _, how = variant.partition(": ")
            drop, best, kept = (_find(rows, variant=variant, measure=m) for m in _RELIANCE)
            cells = [f"`{model['model']}`", gates.replace("+", " + ").replace("_", " "), how]
            cells += [_number(top1, 100, ".1f"), _number(drop, 100), _number(best, 100), _number(kept, 100, ".1f")]
            lines.append(_line(cells))
    whose = "class" if result["models"][0]["request"]["asked"]["classes"] == "label" else "network's own best class"
    head = [
        *("network", "gates", "replaced by", "class is best, %", "drop of its probability, points"),
        *("drop of that share, points", "best class unchanged, %"),
    ]
    intro = (
        f"Reliance, over {_samples(result)}: what the answer loses when a gate no longer knows the picture, for the "
        f"{whose}, with 95 % bootstrap intervals. A drop below 0 is a gain."
    )
    return _table(intro, head, lines, words=3)


def _curves(result: Result) -> str:
    lines = []
    for model in result["models"]:
        for control, words in _CURVES.items():
            rows = _rows(model, control)
            for source in dict.fromkeys(r["source"] for r in rows):
                found = [_find(rows, source=source, measure=m) for m in _GAINS]
                cells = [_number(f, 1, "+.3f") for f in found]
                lines.append(_line([f"`{model['model']}`", source, words, *cells]))
    intro = (
        f"Curves, over {_samples(result)}: gain in area (of the class's probability over the share of pixels) over "
        "random maps of as many cells, and over a Gaussian in the middle; above 0 is better than the floor."
    )
    head = ["network", "map", "control", "gain over random", "gain over the middle"]
    return _table(intro, head, lines, words=3)


def _randomisation(result: Result) -> str:
    """After the first block, after the last, and the one block that is the attention itself."""
    lines = []
    for model in result["models"]:
        rows = [r for r in _rows(model, "randomisation") if r["measure"] == "spearman"]
        for source in dict.fromkeys(r["source"] for r in rows):
            own = [r for r in rows if r["source"] == source]
            cascade = [r for r in own if r["variant"].startswith("cascading: ")]
            alone = _find(own, variant="independent: attention")
            ends = (cascade[0], cascade[-1]) if cascade else (None, None)
            cells = [_number(r, 1, "+.2f") for r in (*ends, alone)]
            lines.append(_line([f"`{model['model']}`", source, *cells]))
    intro = (
        f"Random weights, over {_samples(result)}: rank correlation (Spearman) of the map with itself after weights "
        "became random. Near 1: the map does not depend on them."
    )
    head = ["network", "map", "classifier random", "whole network random", "attention alone random"]
    return _table(intro, head, lines, words=2)


def _stability(result: Result) -> str:
    lines = []
    for model in result["models"]:
        rows = _rows(model, "stability")
        for source in dict.fromkeys(r["source"] for r in rows):
            for level in dict.fromkeys(r["variant"] for r in rows if r["variant"].startswith("noise ")):
                same, best = (_find(rows, source=source, variant=level, measure=m) for m in ("spearman", "best_kept"))
                if same is not None:
                    cells = [_number(same, 1, ".2f"), _number(best, 100, ".1f")]
                    lines.append(_line([f"`{model['model']}`", source, level.removeprefix("noise "), *cells]))
    intro = (
        f"Stability, over {_samples(result)}: rank correlation of the map with that of the picture under Gaussian "
        "noise, whose deviation is given in steps of 0 to 255."
    )
    head = ["network", "map", "noise", "correlation", "best class unchanged, %"]
    return _table(intro, head, lines, words=2)


def _table(intro: str, head: Sequence[str], lines: Sequence[str], *, words: int) -> str:
    """A paragraph and a table whose first columns are `words`, the others numbers; empty without a line."""
    if not lines:
        return ""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join([intro, "", _line(head), _line(rule), *lines])


def _samples(result: Result) -> str:
    data = result["models"][0]["request"]["data"]
    counts = sorted({m["samples"] - m["failed_count"] for m in result["models"]})
    split = f", split {data[1]}" if data[1] else ""
    first = result["models"][0]
    chosen = [f"chosen of {first['chosen_of']} by a hash of their names"] if first["chosen_of"] else []
    chosen += [f"{len(first['left_out'])} left out by name"] if first.get("left_out") else []
    seen = _SEEN[first["request"]["model"][2]]
    more = f" ({', '.join(chosen)})" if chosen else ""
    return f"{counts[0]} pictures of {data[0]}{split}{more}, {seen}"


def _line(cells: Sequence[str]) -> str:
    # A name must not open a cell or a tag.
    safe = [c.replace("|", "\\|").replace("<", "&lt;") for c in cells]
    return f"| {' | '.join(safe)} |"
