"""What PAKA costs: its convolution over a plain 3x3, beside the form that writes out patches and attention.

Bar 4.0 over the plain convolution, forward and forward with backward, and 1/3 of the written-out form's extra memory.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import interleave, one_thread, rounds_from_command_line, save, show, without_probes
from viz.capture.probe import capture
from viz.families.paka.conv import adaptive_conv2d
from viz.families.paka.hpm import HPM
from viz.families.paka.module import AdaptiveConv2d, PAKA2d

# (N, C, H, W), C filters of 3x3.
SHAPES = ((1, 256, 64, 64), (8, 64, 32, 32))
OPERATIONS = ("plain", "ours", "written out")
MODES = ("forward", "forward + backward")
NAMES = {"plain": "plain 3x3 convolution", "ours": "Searchlight", "written out": "patches and attention written out"}


def written_out(x: Tensor, weight: Tensor, channel: Tensor, tap: Tensor) -> Tensor:
    """The operation as published code forms it: unfolded patches times A, then a 3-D convolution over the taps."""
    n, c, h, w = x.shape
    patches = F.unfold(x, 3, padding=1).view(n, c, 9, h, w)
    return F.conv3d(patches * (1 + torch.tanh(tap.unsqueeze(1) + channel.unsqueeze(2))), weight).squeeze(2)


def plain(x: Tensor, weight: Tensor, channel: Tensor, tap: Tensor) -> Tensor:
    """A 3x3 convolution with the same weight."""
    return F.conv2d(x, weight.view(len(weight), -1, 3, 3), padding=1)


def job(operation: str, mode: str, shape: tuple[int, int, int, int]) -> Callable[[], None]:
    """One operation on fixed operands, ready to be run."""
    torch.manual_seed(0)
    n, c, h, w = shape
    operands = [torch.randn(size) for size in ((n, c, h, w), (c, c, 9, 1, 1), (n, c, h, w), (n, 9, h, w))]
    known: dict[str, Callable[..., Tensor]] = {"plain": plain, "ours": adaptive_conv2d, "written out": written_out}
    run = known[operation]
    pull = torch.randn(n, c, h, w)

    def forward() -> None:
        with torch.inference_mode():
            run(*operands)

    def both() -> None:
        # The plain convolution knows no logits, so it has no gradients of theirs to make.
        leaves = operands[:2] if operation == "plain" else operands
        torch.autograd.grad(run(*operands), leaves, pull)

    if mode == "forward":
        return forward
    for operand in operands:
        operand.requires_grad_()
    return both


def extra_memory(operation: str, mode: str, shape: tuple[int, int, int, int]) -> float:
    """Peak MB of this process during one run, above what it held before. Only on Linux."""
    one_thread()
    job(operation, mode, (1, 4, 8, 8))()  # what libraries allocate at first use
    run = job(operation, mode, shape)
    Path("/proc/self/clear_refs").write_text("5")  # starts the peak again at the present size
    before = _resident("VmRSS")
    run()
    return (_resident("VmHWM") - before) / 1024


def _resident(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"the system does not tell {what}")
    return int(found[1])


def peaks() -> dict[str, dict[str, float]]:
    """Extra memory of every operation, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for shape in SHAPES:
            for mode in MODES:
                row = {o: round(pool.submit(extra_memory, o, mode, shape).result(), 1) for o in OPERATIONS}
                row["ours / written out"] = round(row["ours"] / row["written out"], 4)
                found[f"{_title(shape)}, {mode}"] = row
    return found


def _title(shape: tuple[int, ...]) -> str:
    n, c, h, w = shape
    return f"{n} x {c} channels {h}x{w}, k = 3"


def watching() -> dict[str, Callable[[], object]]:
    """A whole PAKA2d, logits and all: without probes, with idle ones, and with all of them copied."""
    torch.manual_seed(0)
    module, x = PAKA2d(256, 256).eval(), torch.randn(SHAPES[0])
    bare = without_probes(module)

    def forward(network: nn.Module) -> None:
        with torch.inference_mode():
            network(x)

    def watched() -> None:
        with torch.inference_mode(), capture(module) as sink:
            module(x)
        sink.records()

    return {
        "PAKA2d (reduction form), probes taken out": partial(forward, bare),
        "probes idle": partial(forward, module),
        "all probes copied": watched,
        "plain 3x3 convolution": partial(forward, nn.Conv2d(256, 256, 3, padding=1, bias=False)),
    }


def hierarchy() -> dict[str, Callable[[], object]]:
    """Three depthwise levels on 64 maps of 320 x 7 x 7."""
    torch.manual_seed(0)
    module, x = HPM(320), torch.randn(64, 320, 7, 7)

    def forward() -> None:
        with torch.inference_mode():
            module(x)

    def convolutions() -> None:
        with torch.inference_mode():
            z = x
            for level in module.levels:
                if isinstance(level, AdaptiveConv2d):
                    d = level.dilation
                    z = F.conv2d(z, level.weight.view(320, 1, 3, 3), padding=d, dilation=d, groups=320)

    def both() -> None:
        torch.autograd.grad(module(x)[-1].square().sum(), list(module.parameters()))

    return {"forward": forward, "forward + backward": both, "its three convolutions without PAKA": convolutions}


def main() -> None:
    rounds = rounds_from_command_line(15)
    one_thread()
    tables = {}
    for shape in SHAPES:
        for mode in MODES:
            title = f"{_title(shape)}, {mode}"
            jobs: dict[str, Callable[[], object]] = {NAMES[o]: job(o, mode, shape) for o in OPERATIONS}
            tables[title] = interleave(jobs, NAMES["plain"], rounds)
            show(title, tables[title])
    more = {"Watching a PAKA2d, 256 channels 64x64": watching(), "HPM, 64 x 320 x 7 x 7": hierarchy()}
    for title, jobs in more.items():
        tables[title] = interleave(jobs, next(iter(jobs)), rounds)
        show(title, tables[title])
    memory = peaks()
    print(
        "\n| extra memory, MB | plain | ours | written out | ours / written out |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for title, row in memory.items():
        print(f"| {title} | " + " | ".join(f"{v:g}" for v in row.values()) + " |")
    save("paka_cost", rounds, tables, extra_memory_mb=memory)


if __name__ == "__main__":
    main()
