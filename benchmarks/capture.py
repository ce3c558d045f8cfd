"""What it costs to watch: a forward with every probe copied, and one with idle probes, over the plain forward.

Aim 1.02, bar 1.05. The plain forward is the same network, all its steps (`forward_steps`), with its probes taken out.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.common import (
    Timing,
    interleave,
    models,
    one_thread,
    photo,
    rounds_from_command_line,
    save,
    show,
    without_probes,
)
from viz.capture.probe import capture
from viz.geometry import prepare
from viz.run.engine import Model


def jobs_for(model: Model) -> dict[str, Any]:
    """The jobs of one model, on one prepared input."""
    _, picture = photo()
    x, _ = prepare(picture, model.card.preprocessing, model.geometry)
    network, bare = model.network, without_probes(model.network)

    def plain() -> None:
        with torch.inference_mode():
            bare.forward_steps(x)  # type: ignore[operator]

    def idle() -> None:
        with torch.inference_mode():
            network.forward_steps(x)

    def watched() -> None:
        with torch.inference_mode(), capture(network) as sink:
            network.forward_steps(x)
        sink.records()

    def whole() -> None:
        model.trace(picture)

    return {
        "plain forward, probes taken out": plain,
        "probes idle": idle,
        "all probes copied": watched,
        "whole trace (with preprocessing, step outputs copied)": whole,
    }


def main() -> None:
    rounds = rounds_from_command_line(31)
    one_thread()
    tables: dict[str, list[Timing]] = {}
    sizes = {}
    for name, model in models().items():
        jobs = jobs_for(model)
        tables[name] = interleave(jobs, next(iter(jobs)), rounds)
        trace = model.trace(photo()[1])
        held = sum(r.values.nbytes for r in trace.records)
        sizes[name] = {"records": len(trace.records), "record_bytes": held}
        show(f"{name}: {len(trace.records)} records, {held / 1e6:.2f} MB", tables[name])
    save("capture", rounds, tables, sizes=sizes)


if __name__ == "__main__":
    main()
