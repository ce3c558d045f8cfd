"""An evaluation as one HTML page that needs nothing else: no script, no outside file, opens from a mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from viz.measures.localization.report_cases import FOUND, TRUTH, Pictures, figure_html
from viz.measures.localization.report_columns import (
    Column,
    Row,
    above_floor,
    columns_of,
    counted,
    counted_words,
    data_words,
    floors,
    interval_words,
    label,
    listed,
    number,
    signed,
)
from viz.measures.localization.report_curves import chart, drawn_rows, swatch
from viz.measures.localization.results import Result

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(result: Result, pictures: Pictures | None = None) -> str:
    """The page.

    Args:
        result: of an evaluation, see `viz.measures.localization.results`.
        pictures: gives photo and map of a case; without it cases are named only.
    """
    style = files("viz.measures.localization").joinpath("report.css").read_text(encoding="utf-8")
    title = f"Localization on {result['data']['name']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(_lead(result))}</p>',
        *_table(result),
        *_measured(result),
        *_curves(result),
        *_cases(result, pictures),
        *_networks(result),
        *_counted(result),
        *_origin(result),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _lead(result: Result) -> str:
    return f"{data_words(result)}. Rows stand on {counted_words(result)}. {result['tuning']['words']}"


def _table(result: Result) -> list[str]:
    columns = columns_of(result)
    heads = "".join(f'<th scope="col">{escape(c.head)}</th>' for c in columns)
    rows: list[str] = []
    last: object = ()
    for row in result["rows"]:
        if row["model"] != last:
            last = row["model"]
            name = "Floors: they look at no picture" if last is None else str(last)
            head = f'<th colspan="{len(columns) + 2}" scope="rowgroup"><span>{escape(name)}</span></th>'
            rows.append(f'<tr class="group">{head}</tr>')
        cells = "".join(_cell(row, c, result) for c in columns)
        title = escape(label(row, result, model=False))
        rows.append(f'<tr><th scope="row">{title}</th><td>{counted(row)}</td>{cells}</tr>')
    notes = [f"Percent. Small: {interval_words(result)}."]
    if any(above_floor(row, c, result) is False for row in result["rows"] for c in columns):
        names = listed([str(f["title"]) for f in floors(result)])
        notes.append(f"\u2020 The interval does not lie above the better floor ({names}).")
    return [
        '<div class="wide" tabindex="0" role="region" aria-label="Results"><table><thead>'
        f'<tr><th scope="col">Map</th><th scope="col">n</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        f'<p class="soft">{escape(" ".join(notes))}</p>',
        '<dl class="terms">' + "".join(f"<div>{_term(c.head, c.words)}</div>" for c in columns) + "</dl>",
    ]


def _term(head: str, words: str) -> str:
    return f"<dt>{escape(head)}</dt><dd>{escape(words)}</dd>"


def _cell(row: Row, column: Column, result: Result) -> str:
    value = column.get(row)
    middle = number(value)
    if middle is None or value is None:
        return '<td class="soft">\u2013</td>'
    mark = "<sup>\u2020</sup>" if above_floor(row, column, result) is False else ""
    low, high = value.get("low"), value.get("high")
    spread = ""
    if low is not None and high is not None:
        spread = f"<small>{signed(column, low)} to {signed(column, high)}</small>"
    return f"<td>{signed(column, middle)}{mark}{spread}</td>"


def _measured(result: Result) -> list[str]:
    protocol = result["protocol"]
    words = [
        *protocol["words"],
        result["tuning"]["words"],
        f"{protocol['thresholds']} thresholds in steps of {protocol['interval']:g} ({protocol['levels']} different "
        "levels of an 8-bit map).",
        *result["notes"],
    ]
    items = "".join(f"<li>{escape(str(w))}</li>" for w in dict.fromkeys(words))
    return ["<h2>How it was measured</h2>", f"<ul>{items}</ul>", *_optimistic(result)]


def _optimistic(result: Result) -> list[str]:
    """The reference's own number beside the reported one, so that both can be quoted as what they are."""
    if result["tuning"]["mode"] == "same" or not drawn_rows(result):
        return []
    rows = "".join(
        f'<tr><th scope="row">{escape(label(row, result))}</th><td>{row["boxes"]["max"]["v1"]["50"]:.1f}</td>'
        f"<td>{row['boxes']['max']['v2_mean']:.1f}</td></tr>"
        for _, row in drawn_rows(result)
    )
    return [
        "<details><summary>MaxBoxAcc as the reference reports it: thresholds chosen on these very pictures</summary>"
        '<div class="wide"><table><thead><tr><th scope="col">Map</th><th scope="col">MaxBoxAcc</th>'
        f'<th scope="col">MaxBoxAccV2</th></tr></thead><tbody>{rows}</tbody></table></div>'
        '<p class="soft">For comparison with published tables only: a threshold that has seen the pictures it is '
        "judged on flatters every map.</p></details>"
    ]


def _curves(result: Result) -> list[str]:
    rows = drawn_rows(result)
    if not rows:
        return []
    charts = "".join(chart(result, "v1", str(d), f"IoU at least {d / 100:.1f}") for d in result["protocol"]["deltas"])
    legend = "".join(f"<li>{swatch(i)}{escape(label(row, result))}</li>" for i, row in rows)
    return [
        "<h2>Box accuracy over the threshold</h2>",
        f'<div class="charts">{charts}</div><ul class="legend">{legend}</ul>',
        '<p class="soft">Share of samples whose box of the largest contour is right, if one threshold were used for '
        "all. Marks on the axis: thresholds that the table is reported at, one a fold. The fixed centred box has no "
        "threshold.</p>",
    ]


def _cases(result: Result, pictures: Pictures | None) -> list[str]:
    square = int(result["protocol"]["size"])
    parts: list[str] = []
    for row in result["rows"]:
        if row["kind"] == "floor" or not (row["cases"]["best"] or row["cases"]["worst"]):
            continue
        groups = []
        for key, head in (("worst", "Lowest IoU"), ("best", "Highest IoU")):
            figures = "".join(figure_html(row, case, pictures, square) for case in row["cases"][key])
            groups += [f'<h4>{head}</h4><div class="cases">{figures}</div>'] if figures else []
        shown = " open" if not parts else ""  # a page for reading: the first row is, the others are a tap away
        head = f"<summary><h3>{escape(label(row, result))}</h3></summary>"
        parts.append(f'<details class="row"{shown}>{head}{"".join(groups)}</details>')
    if not parts:
        return []
    key = (
        f'<p class="key"><span style="border-color:{TRUTH}"></span> true boxes '
        f'<span class="dashed" style="border-color:{FOUND}"></span> box of the map; '
        "left the photo, right the map over it (inferno, 0 to 1 of its own range)</p>"
    )
    about = '<p class="soft">Picked by IoU alone, ties by a hash of the name: nobody chose them.</p>'
    return ["<h2>Worst and best cases</h2>", key if pictures is not None else "", about, *parts]


def _networks(result: Result) -> list[str]:
    found = [(f"{m['name']}{_step_words(m, c)}", c) for m in result["models"] for c in m["classification"]]
    for m in result["models"]:
        found += [(f"{m['name']}, right at any step ({kind})", v) for kind, v in (m["union"] or {}).items()]
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>{v["top1"]["n"]}</td>{_plain(v["top1"])}{_plain(v["top5"])}</tr>'
        for name, v in found
    ]
    if not rows:
        return []
    return [
        "<h2>Classification</h2>",
        '<p class="soft">Of all samples that could be read and whose label is a class of the network, with or without '
        "a box.</p>",
        '<div class="wide"><table><thead><tr><th scope="col">Network</th><th scope="col">n</th>'
        '<th scope="col">Top-1</th><th scope="col">Top-5</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
    ]


def _step_words(model: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    return f", step {entry['step']}" if model["steps"] > 1 else ""


def _plain(value: Mapping[str, Any]) -> str:
    if value["value"] is None:
        return '<td class="soft">\u2013</td>'
    return f"<td>{value['value']:.1f}<small>{value['low']:.1f} to {value['high']:.1f}</small></td>"


def _counted(result: Result) -> list[str]:
    """What did not go in: nothing is left out silently."""
    data = result["data"]
    items = [f"{count} \u00d7 {kind} (in the data set's index)" for kind, count in data["index_problems"].items()]
    if data["chosen_of"]:
        items.append(f"{data['chosen_of'] - data['samples']} of {data['chosen_of']} samples, not chosen by their names")
    for key, words in (
        ("without_class", "without a class of the network"),
        ("without_boxes", "without a box"),
        ("empty_masks", "with an empty mask"),
    ):
        items += [f"{data[key]} samples {words}"] if data[key] else []
    if data["failed_count"]:
        items.append(f"{data['failed_count']} samples could not be read")
    if not items:
        return ["<h2>What was left out</h2>", "<p>Nothing: every sample of the index was read and counted.</p>"]
    failed = "".join(f"<li>{escape(str(f['id']))}: {escape(str(f['reason']))}</li>" for f in data["failed"])
    more = f"<details><summary>Samples that could not be read</summary><ul>{failed}</ul></details>" if failed else ""
    told = "".join(f"<li>{escape(str(p['message']))}</li>" for p in data["problems"])
    more += f"<details><summary>Problems of the index</summary><ul>{told}</ul></details>" if told else ""
    return ["<h2>What was left out</h2>", f"<ul>{''.join(f'<li>{escape(i)}</li>' for i in items)}</ul>{more}"]


def _origin(result: Result) -> list[str]:
    data, protocol = result["data"], result["protocol"]
    pairs: list[tuple[str, Any]] = [
        ("Data set", f"{data['name']}, layout {data['layout']}"),
        ("Fingerprint of its index", data["fingerprint"]),
        *((f"Weights of {m['name']}", m["sha256"] or "none") for m in result["models"]),
        ("Number format", protocol["mixed_precision"] or protocol["precision"]),
        ("Batch, threads", f"{protocol['batch']}, {protocol['threads']}"),
        *((str(name), value) for name, value in result["versions"].items()),
    ]
    return ["<h2>Origin</h2>", f'<dl class="origin">{_pairs(pairs)}</dl>']


def _pairs(pairs: Sequence[tuple[str, Any]]) -> str:
    return "".join(f"<div>{_term(name, str(value))}</div>" for name, value in pairs)
