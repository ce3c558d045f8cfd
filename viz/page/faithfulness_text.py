"""Texts and tables of the Faithfulness tab: numbers with units, and what each control shows and does not show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from viz.measures.faithfulness import Report, words_for
from viz.measures.faithfulness.curves import CurveResult
from viz.measures.faithfulness.randomisation import Randomisation
from viz.measures.faithfulness.reliance import Reliance, Replaced
from viz.measures.faithfulness.stability import Stability

# A smaller change of the probability is negligible.
SMALL_POINTS = 1.0
_CONTROLS = {"road_morf": "ROAD, most relevant first", "road_lerf": "ROAD, least relevant first"}


def number(value: float, form: str = ".3f") -> str:
    """A number in a format, or "none" if it is not finite."""
    return format(value, form) if math.isfinite(value) else "none"


def points(drop: float) -> str:
    """A drop of a probability (0 to 1) in percentage points, with its sign."""
    return number(100 * drop, "+.2f")


def percent(value: float) -> str:
    """A share (0 to 1) in percent."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "none"


def head_html(report: Report, source: str, labels: Sequence[str]) -> str:
    """The measured answer and map, and reliance on the gates.

    Args:
        source: title of the map. labels: names of the network's classes.
    """
    best = "its best class" if report.best else "not its best class"
    asked = (
        f"<p><strong>{escape(report.model)}</strong> gives {escape(report.label)} <strong>"
        f"{percent(report.probability)}</strong> at step {report.step} on {escape(report.picture)} ({best}). "
        f"Tested map: {escape(source)}.</p>"
    )
    parts = [asked, *(f"<p>{escape(why)}</p>" for why in report.skipped.values())]
    if report.reliance is not None:
        parts.append(_section("reliance", verdict(report.reliance), _reliance_table(report.reliance, labels)))
    return _wrapped(parts)


def verdict(found: Reliance) -> str:
    """The reliance table in one sentence."""
    good = [r for r in found.replaced if math.isfinite(r.probability)]
    if not good:
        return "No replacement could be made."
    most = max(good, key=lambda r: abs(found.probability - r.probability))
    drop = found.probability - most.probability
    kept = all(r.top1_kept == 1 for r in good)
    if kept and abs(100 * drop) < SMALL_POINTS:
        return (
            f"No replacement moves the probability by more than {abs(100 * drop):.2f} points or changes the best "
            "class: on this picture the answer hardly needs the gate."
        )
    how = "falls" if drop > 0 else "rises"
    same = "the best class stays the same in all of them" if kept else "the best class changes in some of them"
    return (
        f"The probability {how} by up to {abs(100 * drop):.2f} points ({gates(most)} replaced by "
        f"{replaced_by(most, found)}); {same}."
    )


def gates(entry: Replaced) -> str:
    """The replaced gates."""
    return " + ".join(label.replace("_", " ") for label in entry.gates)


def replaced_by(entry: Replaced, found: Reliance) -> str:
    """What replaces the gate."""
    others = found.others or "other pictures"
    return {
        "neutral": "its neutral value",
        "flat": "its own mean",
        "mean": f"its mean over {others}",
        "other": f"another picture's ({others}, mean of {entry.passes})" if entry.passes else "another picture's",
    }[entry.how]


def _kept(entry: Replaced, labels: Sequence[str]) -> str:
    if entry.top1_kept == 1:
        return "kept"
    if entry.passes > 1:
        return f"kept in {round(entry.top1_kept * entry.passes)} of {entry.passes}"
    return "changed" if entry.answer is None else f"changed to {labels[entry.answer]}"


def _reliance_table(found: Reliance, labels: Sequence[str]) -> str:
    rows = []
    for r in found.replaced:
        first = f"<td><strong>{escape(gates(r))}</strong> by {escape(replaced_by(r, found))}</td>"
        if r.reason:
            rows.append(f'<tr>{first}<td class="fa-why" colspan="4">{escape(r.reason)}</td></tr>')
            continue
        after = [
            f"{percent(found.probability).removesuffix(' %')} → {percent(r.probability)}",
            points(found.probability - r.probability),
            number(found.log_odds - r.log_odds, "+.2f"),
            _kept(r, labels),
        ]
        rows.append(_row(after, first))
    return _table("reliance", ["gate replaced", "probability", "drop, points", "drop, log-odds", "best class"], rows)


def curves_html(results: Sequence[CurveResult]) -> str:
    """Areas of the map and of the baselines, with an explanation of each control."""
    if not results:
        return ""
    rows = []
    for r in results:
        areas = [number(v) for v in (r.area, r.random_area, r.centre.area)]
        gains = [number(r.gain(area), "+.3f") for area in (r.random_area, r.centre.area)]
        rows.append(_row([_CONTROLS.get(r.control, r.control), *areas, *gains]))
    head = ["curve", "area, map", "random maps", "centre", "gain over random", "gain over centre"]
    lead = "<p>Area under the curve, 0 to 1. A gain above 0: the map ranks pixels better than that baseline.</p>"
    reasons = [f"<p>{escape(r.reason)}</p>" for r in results if r.reason]
    controls = dict.fromkeys("road" if r.control.startswith("road") else r.control for r in results)
    return _wrapped([lead, _table("curves", head, rows), *reasons, *(_explained(c) for c in controls)])


def rest_html(report: Report) -> str:
    """Explanation of the random weights, and stability with its explanation."""
    parts = []
    if report.randomisation is not None:
        cells, chance = report.randomisation.cells, report.randomisation.chance
        lead = f"<p>Dotted: rank correlation that {cells} independent cells reach by chance, {number(chance)}.</p>"
        parts += [lead, *_untouched(report.randomisation), _explained("randomisation")]
    if report.stability is not None:
        parts.append(_section("stability", "", _stability_table(report.stability)))
    return _wrapped(parts) if parts else ""


def _untouched(found: Randomisation) -> list[str]:
    """Blocks that the map does not depend on: it cannot change with them, which is no evidence against it."""
    alone = [s for s in found.stages if s.mode == "independent"]
    same = [s.blocks[0] for s in alone if s.similarity.spearman == 1 and s.similarity.ssim > 1 - 1e-9]
    if not same or len(same) == len(alone):
        return []
    return [f"<p>The map is computed without {escape(', '.join(same))}; random weights there cannot change it.</p>"]


def _stability_table(found: Stability) -> str:
    rows = [
        _row(
            [
                f"noise, deviation {n.sigma:g} of 255",
                number(n.spearman),
                number(n.least),
                points(n.probability_change).lstrip("+"),
                f"{round(n.best_kept * n.draws)} of {n.draws}",
            ]
        )
        for n in found.noises
    ]
    head = ["input", "map: rank correlation", "its smallest", "probability moves, points", "best class kept"]
    more = (
        f"<p>Largest relative change of the map for noise up to {found.radius:g} of 255: "
        f"{number(found.sensitivity_max)} (0 is none). Share of the logit's change under removed squares that the map "
        f"leaves unexplained: {number(found.unexplained)} (0 is none, 1 is all).</p>"
    )
    return _table("stability", head, rows) + more


def _section(control: str, lead: str, table: str) -> str:
    sentence = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<h3>{escape(words_for(control).title)}</h3>{sentence}{table}{_explained(control, titled=False)}"


def _explained(control: str, *, titled: bool = True) -> str:
    words = words_for(control)
    title = f"<strong>{escape(words.title)}.</strong> " if titled else ""
    return (
        f'<p class="fa-words">{title}{escape(words.shows)}</p>'
        f'<details class="fa-words"><summary>What it does not show</summary><p>{escape(words.limits)}</p>'
        f"<p>Source: {escape(words.source)}.</p></details>"
    )


def _table(name: str, head: Sequence[str], rows: Iterable[str]) -> str:
    heads = "".join(f"<th>{escape(h)}</th>" for h in head)
    return (
        f'<div class="fa-wrap"><table class="fa-table" data-name="{name}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(cells: Iterable[str], first: str = "") -> str:
    return f"<tr>{first}" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"


def _wrapped(parts: Iterable[str]) -> str:
    return f'<section class="fa">{"".join(parts)}</section>'
