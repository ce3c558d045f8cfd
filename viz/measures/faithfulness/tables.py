"""The means of a data set's controls as tables: all of them as CSV, the main ones as Markdown for a README."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from viz.core.finite import finite
from viz.files import csv_text
from viz.measures.faithfulness.set_result import KEY, Result, SetResult, Summary
from viz.measures.tables import Cell, Number, Table, markdown

# A network and the cells of its rows.
Rows = Iterator[tuple[str, tuple[Cell, ...]]]
_CURVES = {
    "deletion": "deletion",
    "insertion": "insertion",
    "road_morf": "ROAD, most relevant first",
    "road_lerf": "ROAD, least relevant first",
}
# The part of a picture that the networks saw, by geometry: numbers of two geometries differ by points.
_SEEN = {
    "center_crop": "centre crop",
    "squash": "whole picture, squashed to the network's square",
    "letterbox": "whole picture with bars to the network's square",
}


def to_csv(result: Result) -> str:
    """One line per mean; a missing number is empty."""
    rows = [{"model": m.model, **s.to_json()} for m in result.models for s in m.table]
    return csv_text(rows, ("model", *KEY, "mean", "low", "high", "n", "missing"))


def to_markdown(result: Result) -> str:
    """Tables of the controls in the result, without empty rows."""
    parts = []
    for rows_of, words, columns, text in _TABLES:
        rows = tuple(row for model in result.models for row in rows_of(model))
        if rows:
            whose = "class" if result.models[0].request.asked.get("classes") == "label" else "network's own best class"
            intro = text.format(samples=_samples(result), whose=whose)
            parts.append(markdown(Table(columns, rows, words), intro))
    return "\n\n".join(parts) + "\n" if parts else ""


def _rows(model: SetResult, control: str) -> list[Summary]:
    return [s for s in model.table if s.control == control and s.n]


def _find(rows: Sequence[Summary], **wanted: str) -> Summary | None:
    return next((r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())), None)


def _number(row: Summary | None, factor: float = 1.0, form: str = "+.1f") -> Cell:
    if row is None:
        return None
    return Number(row.mean * factor, finite(row.low * factor), finite(row.high * factor), form)


def _sources(rows: Sequence[Summary]) -> Iterator[tuple[str, list[Summary]]]:
    for source in dict.fromkeys(r.source for r in rows):
        yield source, [r for r in rows if r.source == source]


def _reliance(model: SetResult) -> Rows:
    rows = _rows(model, "reliance")
    top1 = _number(_find(_rows(model, "network"), measure="best"), 100, ".1f")
    for variant in dict.fromkeys(r.variant for r in rows):
        gates, _, how = variant.partition(": ")
        drop, best = (_number(_find(rows, variant=variant, measure=m), 100) for m in ("probability_drop", "best_drop"))
        kept = _number(_find(rows, variant=variant, measure="top1_kept"), 100, ".1f")
        yield model.model, (gates.replace("+", " + ").replace("_", " "), how, top1, drop, best, kept)


def _curves(model: SetResult) -> Rows:
    for control, words in _CURVES.items():
        for source, rows in _sources(_rows(model, control)):
            gains = (_find(rows, measure=f"gain_over_{floor}") for floor in ("random", "centre"))
            yield model.model, (source, words, *(_number(gain, form="+.3f") for gain in gains))


def _randomisation(model: SetResult) -> Rows:
    """Correlation after the first block, after the last one, and with only the attention randomised."""
    for source, rows in _sources([r for r in _rows(model, "randomisation") if r.measure == "spearman"]):
        cascade = [r for r in rows if r.variant.startswith("cascading: ")]
        alone = _find(rows, variant="independent: attention")
        ends = (cascade[0], cascade[-1]) if cascade else (None, None)
        yield model.model, (source, *(_number(r, form="+.2f") for r in (*ends, alone)))


def _stability(model: SetResult) -> Rows:
    for source, rows in _sources(_rows(model, "stability")):
        for level in dict.fromkeys(r.variant for r in rows if r.variant.startswith("noise ")):
            same, best = (_find(rows, variant=level, measure=m) for m in ("spearman", "best_kept"))
            if same is not None:
                cells = (_number(same, form=".2f"), _number(best, 100, ".1f"))
                yield model.model, (source, level.removeprefix("noise "), *cells)


# Rows, number of text columns after the network, column heads, and the paragraph before the table.
_TABLES: tuple[tuple[Callable[[SetResult], Rows], int, tuple[str, ...], str], ...] = (
    (
        _reliance,
        2,
        (
            *("gates", "replaced by", "class is best, %", "drop of its probability, points"),
            *("drop of that share, points", "best class unchanged, %"),
        ),
        "Reliance, over {samples}: what the answer loses when a gate no longer knows the picture, for the {whose}, "
        "with 95 % bootstrap intervals. A drop below 0 is a gain.",
    ),
    (
        _curves,
        2,
        ("map", "control", "gain over random", "gain over the middle"),
        "Curves, over {samples}: gain in area (of the class's probability over the share of pixels) over random maps "
        "of as many cells, and over a Gaussian in the middle; above 0 is better than the floor.",
    ),
    (
        _randomisation,
        1,
        ("map", "classifier random", "whole network random", "attention alone random"),
        "Random weights, over {samples}: rank correlation (Spearman) of the map with itself after weights became "
        "random. Near 1: the map does not depend on them.",
    ),
    (
        _stability,
        1,
        ("map", "noise", "correlation", "best class unchanged, %"),
        "Stability, over {samples}: rank correlation of the map with that of the picture under Gaussian noise, whose "
        "deviation is given in steps of 0 to 255.",
    ),
)


def _samples(result: Result) -> str:
    first = result.models[0]
    name, split, _ = first.request.data
    count = min(m.samples - m.failed_count for m in result.models)
    chosen = [f"chosen of {first.chosen_of} by a hash of their names"] if first.chosen_of else []
    chosen += [f"{len(first.left_out)} left out by name"] if first.left_out else []
    more = f" ({', '.join(chosen)})" if chosen else ""
    seen = _SEEN[first.request.model[2]]
    return f"{count} pictures of {name}{f', split {split}' if split else ''}{more}, {seen}"
