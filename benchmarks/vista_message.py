"""What predicted kernels cost: a loop over shifted views against the unfold form, in CPU time and in memory.

Bars, at 60 x 80 cells and width 512, one thread, inference: at most 1/2 of the CPU time and 1/5 of the peak memory of
the unfold form. Two unfold forms stand beside ours: the published arrangement, which lays out both features for all
three dilations and holds these six tensors until the message is done, and one that frees each at once. Measured for the
whole message graph, whose own convolutions all forms share, and for its three messages alone. Memory: the rise of the
process's peak resident size over what it holds before the call (weights and inputs in place), each form and round in a
child process of its own; Linux only. It is measured twice: with an allocator that gives freed blocks back at once,
hence what a form needs (it repeats to within 1 MB, so once is enough), and with the C library's own, which keeps some
of them and adds its fragments to every form.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common import Timing, interleave, one_thread, rounds_from_command_line, save, show
from viz.families.local import TAPS, local
from viz.families.vista import graph as vista
from viz.families.vista.graph import AttentionGraph, GatedMessage

WIDTH, ROWS, COLUMNS = 512, 60, 80
HELD, FREED, OURS = "unfold, all held as published", "unfold, each freed at once", "shifted views"
FORMS = (HELD, FREED, OURS)
ALLOCATORS: dict[str, tuple[dict[str, str], int]] = {
    "freed blocks given back": ({"MALLOC_MMAP_THRESHOLD_": "65536"}, 1),
    "allocator as it is": ({}, 2),
}


@dataclass(frozen=True)
class Peak:
    """Rise of the peak resident size in MB: median over the rounds, and its ratio to the published form's."""

    name: str
    median_mb: float
    min_mb: float
    max_mb: float
    ratio: float


def unfolded(kernels: Tensor, x: Tensor, dilation: int = 1) -> Tensor:
    """The same operation with all nine neighbours of every cell laid out in memory."""
    n, c, h, w = x.shape
    neighbours = F.unfold(x, 3, dilation=dilation, padding=dilation).view(n, c, TAPS, h, w)
    return (neighbours * kernels[:, None]).sum(dim=2)


def held(message: GatedMessage, receiving: Tensor, emitting: Tensor, source: vista.DrawSource) -> Tensor:
    """One published message with its six unfolded features alive to the end; each product is made once for each use."""
    n, c, h, w = receiving.shape

    def laid_out(x: Tensor, d: int) -> Tensor:
        return F.unfold(x, 3, dilation=d, padding=d).view(n, c, TAPS, h, w)

    def summed(kernels: Tensor, neighbours: Tensor) -> Tensor:
        return (neighbours * kernels[:, None]).sum(dim=2)

    kernels = message._kernels(receiving, emitting)
    layouts = [(laid_out(emitting, d), laid_out(receiving, d)) for d in vista.DILATIONS]
    energies = [
        receiving * summed(p, of_e) + summed(e, of_e) + summed(r, of_r)
        for (p, e, r), (of_e, of_r) in zip(kernels, layouts, strict=True)
    ]
    gates = [message.structured(q, energy, source) for q, energy in enumerate(energies, 1)]
    parts = [gate * summed(p, of_e) for gate, (p, _, _), (of_e, _) in zip(gates, kernels, layouts, strict=True)]
    combined: Tensor = message.combination_msgs(torch.cat(parts, dim=1))
    return combined


@contextmanager
def form(name: str) -> Iterator[None]:
    """Let the published modules use one of the forms."""
    if name == HELD:
        with mock.patch.object(GatedMessage, "forward", held):
            yield
    else:
        with mock.patch.object(vista, "local", unfolded if name == FREED else local):
            yield


def graph_job(width: int = WIDTH, rows: int = ROWS, columns: int = COLUMNS) -> Callable[[], Tensor]:
    """One pass of the published graph: 480 x 640 pixels in, hence scale 3 of 60 x 80 cells."""
    torch.manual_seed(0)
    channels = (width, 2 * width, 4 * width)
    graph = AttentionGraph(channels, width, rank=3).eval().requires_grad_(False)
    scales = [torch.randn(1, c, rows // k, columns // k) for c, k in zip(channels, (1, 2, 4), strict=True)]
    return lambda: graph(*scales)


def messages_job(width: int = WIDTH, rows: int = ROWS, columns: int = COLUMNS) -> Callable[[], Tensor]:
    """The graph's three messages alone; their sum, so that no form must hold all three."""
    torch.manual_seed(0)
    modules = [GatedMessage(width, rank=3).eval().requires_grad_(False) for _ in range(3)]
    receiving, *emitting = torch.randn(3, 1, width, rows, columns).unbind(0)

    def job() -> Tensor:
        source = vista._Source(None)
        total = torch.zeros_like(receiving)
        for module, sent in zip(modules, (*emitting, receiving), strict=True):
            total += module(receiving, sent, source)
        return total

    return job


JOBS = {
    "graph": ("whole message graph", graph_job),
    "messages": ("the three messages alone", messages_job),
}


def _status(field: str) -> float:
    """MB of a field of this process's status, Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def child(job: str, name: str) -> None:
    """In a process of its own: print the rise of the peak over one call, and a sum that all forms must share."""
    one_thread()
    make = JOBS[job][1]
    run, small = make(), make(16, 16, 16)
    with torch.inference_mode(), form(name):
        small()  # what the libraries load once is not the form's
        # Forget the peak of building; from here on it is the call's.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        out = run()
        after = _status("VmHWM")
    print(json.dumps({"mb": after - before, "sum": float(out.double().abs().sum())}))


def peaks(job: str, environment: Mapping[str, str], rounds: int) -> list[Peak]:
    """Memory of every form, one after the other in every round."""
    found: dict[str, list[float]] = {name: [] for name in FORMS}
    sums = []
    surroundings = {**os.environ, **environment}
    for _ in range(rounds):
        for name in FORMS:
            command = [sys.executable, "-m", "benchmarks.vista_message", "--child", job, name]
            said = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings).stdout
            )
            found[name].append(said["mb"])
            sums.append(said["sum"])
    if max(sums) - min(sums) > 1e-4 * max(sums):
        raise RuntimeError(f"the forms give different numbers: {sums}")
    base = statistics.median(found[HELD])
    return [
        Peak(
            n, round(statistics.median(v), 1), round(min(v), 1), round(max(v), 1), round(statistics.median(v) / base, 4)
        )
        for n, v in found.items()
    ]


def times(job: str, rounds: int) -> list[Timing]:
    """CPU time of every form."""
    run = JOBS[job][1]()

    def with_form(name: str) -> Callable[[], None]:
        def timed() -> None:
            with torch.inference_mode(), form(name):
                run()

        return timed

    return interleave({name: with_form(name) for name in FORMS}, FORMS[0], rounds, warmup=1)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4])
        return
    rounds = rounds_from_command_line()
    one_thread()
    tables, memory = {}, {}
    for job, (title, _) in JOBS.items():
        for allocator, (environment, times_over) in ALLOCATORS.items():
            found = peaks(job, environment, times_over)
            memory[f"{title}, {allocator}"] = [asdict(p) for p in found]
            print(f"\n{title}, {allocator}\n\n| what | peak MB | ratio |\n| --- | ---: | ---: |")
            for p in found:
                print(f"| {p.name} | {p.median_mb:.0f} | {p.ratio:.3f} |", flush=True)
        tables[title] = times(job, rounds)
        show(title, tables[title])
    size = {"width": WIDTH, "rows": ROWS, "columns": COLUMNS, "dilations": vista.DILATIONS, "rank": 3}
    save("vista_message", rounds, tables, size=size, memory_mb=memory)


if __name__ == "__main__":
    main()
