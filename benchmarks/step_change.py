"""What a change of step, threshold, palette or opacity costs after a trace: no forward, and how much time beside one.

The page draws these changes in the browser without asking the server; the times here are of the same
work in Python.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.common import Timing, interleave, one_thread, photo, rounds_from_command_line, save, show
from viz.core.boxes import boxes
from viz.core.heatmap import PALETTES, overlay, scale_for
from viz.geometry import prepare
from viz.run.engine import Engine


def main() -> None:
    rounds = rounds_from_command_line(31)
    one_thread()
    engine = Engine("cpu")
    _, picture = photo()
    tables: dict[str, list[Timing]] = {}
    counts: dict[str, dict[str, int]] = {}
    for name in ("lite0", "lite0-tdam"):
        model = engine.model(name)
        network = model.network
        x, _ = prepare(picture, model.card.preprocessing, model.geometry)
        calls = [0]
        original = network.forward_steps

        def counted(*args: Any, calls: list[int] = calls, original: Any = original, **more: Any) -> Any:
            calls[0] += 1
            return original(*args, **more)

        network.forward_steps = counted  # type: ignore[method-assign]
        trace = engine.trace(picture, name)
        before = (calls[0], engine.forwards)
        changes = 0
        for step in range(1, trace.steps + 1):
            for palette in PALETTES:
                for opacity in (0.2, 0.55, 1.0):
                    heat = engine.trace(picture, name).class_map(step)
                    overlay(picture.rgb, heat, scale_for(heat, "image"), palette_name=palette, opacity=opacity)
                    changes += 1
            for threshold in (0.1, 0.5, 0.9):
                boxes(engine.trace(picture, name).class_map(step), threshold, "all")
                changes += 1
        counts[name] = {
            "changes": changes,
            "forwards_of_the_network": calls[0] - before[0],
            "forwards_of_the_engine": engine.forwards - before[1],
        }
        heat = trace.class_map()
        scale = scale_for(heat, "image")

        def forward(network: Any = network, x: Any = x) -> None:
            with torch.inference_mode():
                network.forward_steps(x)

        jobs = {
            "plain forward of all steps": forward,
            "new step: class map + overlay 500 x 375": lambda trace=trace, scale=scale: overlay(
                picture.rgb, trace.class_map(1), scale
            ),
            "new palette or opacity: overlay": lambda heat=heat, scale=scale: overlay(
                picture.rgb, heat, scale, palette_name="viridis"
            ),
            "new threshold: boxes": lambda heat=heat: boxes(heat, 0.4, "all"),
        }
        tables[name] = interleave(jobs, "plain forward of all steps", rounds)
        show(f"{name}: {counts[name]}", tables[name])
    save("step_change", rounds, tables, counts=counts)


if __name__ == "__main__":
    main()
