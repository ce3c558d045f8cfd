"""Words and tables of the Faithfulness tab: every number with its unit, and beside it what it shows and does not."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from viz.measures.faithfulness import Report, words_for
from viz.measures.faithfulness.curves import CurveResult
from viz.measures.faithfulness.randomisation import Randomisation
from viz.measures.faithfulness.reliance import Reliance, Replaced
from viz.measures.faithfulness.stability import Stability

# Below this change of the probability nobody would call the answer another one.
SMALL_POINTS = 1.0


def points(drop: float) -> str:
    """A drop of a probability (0 to 1) in percentage points, with its sign."""
    return f"{100 * drop:+.2f}" if math.isfinite(drop) else "none"


def percent(value: float) -> str:
    """A share (0 to 1) in percent."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "none"


def number(value: float) -> str:
    """Three digits behind the point."""
    return f"{value:.3f}" if math.isfinite(value) else "none"


def head_html(report: Report, source: str, labels: Sequence[str]) -> str:
    """Which answer is asked about, and reliance on the gates.

    Args:
        source: the map, in words. labels: names of the network's classes.
    """
    best = "its best class" if report.best else "not its best class"
    asked = (
        f"<p><strong>{_safe(report.model)}</strong> gives {_safe(report.label)} <strong>"
        f"{percent(report.probability)}</strong> at step {report.step} on {_safe(report.picture)} ({best}). "
        f"Tested map: {_safe(source)}.</p>"
    )
    parts = [asked, *(f"<p>{_safe(why)}</p>" for why in report.skipped.values())]
    if report.reliance is not None:
        parts.append(_section("reliance", verdict(report.reliance), _reliance_table(report.reliance, labels)))
    return _wrapped(parts)


def verdict(found: Reliance) -> str:
    """What the table says, in one sentence."""
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
    same = "the best class stays in all of them" if kept else "the best class does not stay in all of them"
    return (
        f"The probability {how} by up to {abs(100 * drop):.2f} points ({gates(most)} replaced by "
        f"{replaced_by(most, found)}); {same}."
    )


def gates(entry: Replaced) -> str:
    """The replaced gates, in words."""
    return " + ".join(label.replace("_", " ") for label in entry.gates)


def replaced_by(entry: Replaced, found: Reliance) -> str:
    """What stands in for the gate, in words."""
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
        first = f"<td><strong>{_safe(gates(r))}</strong> by {_safe(replaced_by(r, found))}</td>"
        if r.reason:
            rows.append(f'<tr>{first}<td class="fa-why" colspan="4">{_safe(r.reason)}</td></tr>')
            continue
        after = [
            f"{percent(found.probability).removesuffix(' %')} → {percent(r.probability)}",
            points(found.probability - r.probability),
            f"{found.log_odds - r.log_odds:+.2f}" if math.isfinite(r.log_odds) else "none",
            _kept(r, labels),
        ]
        rows.append(_row(after, first))
    head = ["gate replaced", "probability", "drop, points", "drop, log-odds", "best class"]
    return _table("reliance", head, rows)


def curves_html(results: Sequence[CurveResult]) -> str:
    """Areas of map and floors, and the words of each control."""
    if not results:
        return ""
    rows = []
    for r in results:
        random, centre = r.gain(r.random_area), r.gain(r.centre.area)
        areas = [number(v) for v in (r.area, r.random_area, r.centre.area)]
        rows.append(_row([_control(r.control), *areas, _sign(random), _sign(centre)]))
    head = ["curve", "area, map", "random maps", "centre", "gain over random", "gain over centre"]
    said = "Area under the curve, 0 to 1. A gain above 0: the map orders pixels better than that floor."
    reasons = [f"<p>{_safe(r.reason)}</p>" for r in results if r.reason]
    told = dict.fromkeys("road" if r.control.startswith("road") else r.control for r in results)
    return _wrapped([f"<p>{said}</p>", _table("curves", head, rows), *reasons, *(_words(c) for c in told)])


def _control(name: str) -> str:
    return {"road_morf": "ROAD, most relevant first", "road_lerf": "ROAD, least relevant first"}.get(name, name)


def rest_html(report: Report) -> str:
    """Words on random weights, and stability with its words."""
    parts = []
    if report.randomisation is not None:
        cells, chance = report.randomisation.cells, report.randomisation.chance
        said = f"Dotted: what rank correlation {cells} independent cells reach by chance, {number(chance)}."
        parts += [f"<p>{said}</p>", *_untouched(report.randomisation), _words("randomisation")]
    if report.stability is not None:
        parts.append(_section("stability", "", _stability_table(report.stability)))
    return _wrapped(parts) if parts else ""


def _untouched(found: Randomisation) -> list[str]:
    """Blocks that the map does not depend on: a map computed below them stays, and that says nothing against it."""
    alone = [s for s in found.stages if s.mode == "independent"]
    same = [s.blocks[0] for s in alone if s.similarity.spearman == 1 and s.similarity.ssim > 1 - 1e-9]
    if not same or len(same) == len(alone):
        return []
    return [f"<p>The map is computed without {_safe(', '.join(same))}; random weights there cannot change it.</p>"]


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


def _sign(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "none"


def _section(control: str, said: str, table: str) -> str:
    words = words_for(control)
    sentence = f"<p>{_safe(said)}</p>" if said else ""
    return f"<h3>{_safe(words.title)}</h3>{sentence}{table}{_words(control, titled=False)}"


def _words(control: str, *, titled: bool = True) -> str:
    words = words_for(control)
    title = f"<strong>{_safe(words.title)}.</strong> " if titled else ""
    return (
        f'<p class="fa-words">{title}{_safe(words.shows)}</p>'
        f'<details class="fa-words"><summary>What it does not show</summary><p>{_safe(words.limits)}</p>'
        f"<p>Source: {_safe(words.source)}.</p></details>"
    )


def _table(name: str, head: Sequence[str], rows: Iterable[str]) -> str:
    heads = "".join(f"<th>{_safe(h)}</th>" for h in head)
    return (
        f'<div class="fa-wrap"><table class="fa-table" data-name="{name}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(cells: Iterable[str], first: str = "") -> str:
    return f"<tr>{first}" + "".join(f"<td>{_safe(c)}</td>" for c in cells) + "</tr>"


def _wrapped(parts: Iterable[str]) -> str:
    return f'<section class="fa">{"".join(parts)}</section>'


def _safe(text: str) -> str:
    return html.escape(text)
