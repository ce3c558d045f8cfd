"""Which photographs the page offers: those on which every family's attention says most about what is seen.

The rule: a family's own attention, at its last step, is compared by rank correlation with plain Lite0's class map of
its own first answer. A photograph's value is the lowest among PSA, EMA and VISTA; the page offers the six highest.
TDAM and PAKA have no say: TDAM's gate looks away from what was named, and PAKA's map says how much a cell takes in.
"""

from __future__ import annotations

import json
from pathlib import Path

from viz.measures.agreement import agreement
from viz.models.paths import bundled
from viz.picture import open_picture
from viz.run.engine import Engine, versions

RESULTS = Path(__file__).parent / "results" / "samples.json"
NETWORKS = ("lite0-psa", "lite0-ema", "lite0-vista")
# Made of two of the others.
COMPOSED = "clutter.jpg"


def main() -> None:
    engine, rows = Engine("cpu"), {}
    for path in sorted(bundled("assets").glob("*.jpg")):
        if path.name == COMPOSED:
            continue
        picture = open_picture(path)
        plain = engine.trace(picture, "lite0").class_map(1)
        found = {n: agreement(engine.trace(picture, n).heatmap("attention"), plain).spearman for n in NETWORKS}
        rows[path.name] = {"lowest": min(found.values()), **found}
    order = sorted(rows, key=lambda name: -rows[name]["lowest"])
    data = {"versions": versions(), "rank_correlation": {name: rows[name] for name in order}}
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")
    print("\n".join(f"{name}: {rows[name]['lowest']:.3f}" for name in order))


if __name__ == "__main__":
    main()
