"""The layout of a TD-ResNet as keys and shapes show it: blocks, technique, steps T and feedback distance m.

Layout: shantanuj/TDAM_Top_down_attention_module@1e4a2cd. Every function raises `CheckpointError` with one sentence that
begins with `name`, what the file is called.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from viz.errors import CheckpointError
from viz.models.networks.td_resnet import STAGE_WIDTHS

_BLOCK_KEY = re.compile(r"layer([1-4])\.(\d{1,3})\.(.+)")
STEP_NORM = re.compile(r"bn([1-3])_(\d{1,2})\.weight")

Shapes = Mapping[str, tuple[int, ...]]


def blocks_of(shapes: Shapes, name: str) -> dict[tuple[int, int], dict[str, tuple[int, ...]]]:
    """Shapes of each block by (stage, index), both 0-based."""
    blocks: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        if match := _BLOCK_KEY.fullmatch(key):
            blocks.setdefault((int(match[1]) - 1, int(match[2])), {})[match[3]] = shape
    stages = {stage for stage, _ in blocks}
    if "conv1.weight" not in shapes or not stages:
        some = ", ".join(repr(k[:60]) for k in list(shapes)[:3])
        kind = "TDAM weights on another backbone" if any("RA_block." in k for k in shapes) else "another network"
        raise CheckpointError(f"{name} is no TD-ResNet but {kind}: its {len(shapes)} tensor(s) are named like {some}.")
    # A ResNet's names from here on: what it lacks is told.
    lacking = [f"layer{stage + 1}" for stage in range(4) if stage not in stages]
    if lacking or "fc.weight" not in shapes:
        lacking += [] if "fc.weight" in shapes else ["the classifier fc.weight"]
        raise CheckpointError(f"{name} looks like a ResNet, but it lacks {' and '.join(lacking)}.")
    return blocks


def layers_of(blocks: Mapping[tuple[int, int], Shapes], shapes: Shapes, name: str) -> tuple[int, int, int, int]:
    """Blocks of each stage; refuses gaps and widths that no TD-ResNet has."""
    counts = []
    for stage, width in enumerate(STAGE_WIDTHS):
        indices = sorted(b for s, b in blocks if s == stage)
        if indices != list(range(len(indices))):
            raise CheckpointError(f"{name} lacks blocks of layer{stage + 1}: only {len(indices)} are there.")
        if shape_of(blocks[stage, 0], "conv1.weight", 4, name)[0] != width:
            raise CheckpointError(f"{name} is a ResNet of another width or kind, which no published TDAM model is.")
        counts.append(len(indices))
    if shape_of(shapes, "conv1.weight", 4, name) != (STAGE_WIDTHS[0], 3, 7, 7):
        raise CheckpointError(f"{name} is a ResNet with another first convolution, which no published TDAM model has.")
    return (counts[0], counts[1], counts[2], counts[3])


def searchlight_of(td: Mapping[tuple[int, int], Shapes], block: str, name: str) -> dict[str, Any]:
    """Technique and reduced width of the modules.

    Most blocks decide: where a few keys are missing or wrong, the strict comparison that follows names them all.
    """
    wide = 4 if block == "bottleneck" else 1
    found = [(STAGE_WIDTHS[stage] * wide, *_module_of(b, name)) for (stage, _), b in td.items()]
    techniques = Counter(technique for _, technique, _ in found if technique is not None)
    technique = next((t for t, _ in techniques.most_common()), "identity")
    if technique in ("identity", "simple_mapping"):
        return {"technique": technique}
    widths = {(top, k) for top, t, k in found if t == technique}
    # The original floors Ct / r; 16 is tried first because it is what every published model has.
    for r in (16, *range(1, max(top for top, _ in widths) + 1)):
        if all(top // r == k for top, k in widths):
            return {"technique": technique, "reduction": r}
    widths_alone = sorted({k for _, k in widths})
    if len(widths_alone) == 1:
        return {"technique": technique, "width": widths_alone[0]}
    raise CheckpointError(f"{name} has searchlights whose reduced widths {widths_alone} follow no one rule.")


def _module_of(block: Shapes, name: str) -> tuple[str | None, int]:
    """Technique and reduced width of one block's module; None without one, or where its keys are incomplete."""
    ra = {k.removeprefix("RA_block."): v for k, v in block.items() if k.startswith("RA_block.")}
    if "top_linear_spatial.weight" in ra:
        raise CheckpointError(f"{name} uses a learned pooling, whose place its keys do not tell; it cannot be shown.")
    if "Ug_conv.weight" in ra:
        return "simple_mapping", 0
    first, second = ra.get("Ug_mlp.0.weight", ()), ra.get("Ug_mlp.2.weight", ())
    top = ra.get("Ug_top_mlp.0.weight", ())
    if len(first) == 4 and len(second) == 4:
        return "top_only", first[0]
    if len(first) == 4 and len(top) == 4:
        return ("joint_sum" if first[1] == top[0] else "joint_concat"), top[0]
    return None, 0


def unrolled(
    td: Mapping[tuple[int, int], Shapes], block: str, technique: str, name: str
) -> tuple[int, int, tuple[str, ...]]:
    """m, T and what had to be settled.

    Without per-step norms the shape of the modules' bottom may exclude m = 0 (then T = 1) or every other m (then m = 0,
    whose T no key tells: the published T = 2 is taken). Where it excludes neither, T = 1 is taken: that shows nothing
    which the file does not prove.
    """
    norms = [(int(m[1]), int(m[2])) for b in td.values() for k in b if (m := STEP_NORM.fullmatch(k))]
    if norms:
        convs = 3 if block == "bottleneck" else 2
        feedback = len({conv for conv, _ in norms})
        if max(conv for conv, _ in norms) > convs:
            raise CheckpointError(f"{name} has per-step norms of a convolution that its blocks do not have.")
        return feedback, 1 + max(step for _, step in norms), ()
    fits = [
        m
        for m in range(4 if block == "bottleneck" else 3)
        if all(_bottom(b, technique, name) == _bottom_channels(block, *at, m) for at, b in td.items())
    ]
    if not fits:
        raise CheckpointError(f"{name} has searchlights whose channels fit no place in its blocks.")
    if fits == [0]:
        return 0, 2, ("The module acts on each block's own result (m = 0); the keys do not tell T, T = 2 is taken.",)
    later = next(m for m in fits if m > 0)
    if 0 in fits:
        return later, 1, ("The keys fit T = 1 as well as m = 0; T = 1 is taken, so no top-down step is run or shown.",)
    return later, 1, ("Built for T = 1: its top-down modules hold weights but never run.",)


def _bottom(block: Shapes, technique: str, name: str) -> int:
    """Channels of what a block's searchlight acts on."""
    if technique == "top_only":
        return shape_of(block, "RA_block.Ug_mlp.2.weight", 4, name)[0]
    if technique == "simple_mapping":
        return shape_of(block, "RA_block.Ug_conv.weight", 4, name)[0]
    return shape_of(block, "RA_block.Ug_mlp.0.weight", 4, name)[0]


def _bottom_channels(block: str, stage: int, index: int, feedback: int) -> int:
    """The same as the architecture has it, for m = `feedback`."""
    wide = 4 if block == "bottleneck" else 1
    planes = STAGE_WIDTHS[stage]
    if feedback == 0:
        return planes * wide
    if feedback < (3 if block == "bottleneck" else 2):
        return planes
    if index > 0:
        return planes * wide
    return STAGE_WIDTHS[stage - 1] * wide if stage > 0 else 64


def shape_of(shapes: Shapes, key: str, dimensions: int, name: str) -> tuple[int, ...]:
    shape = shapes.get(key)
    if shape is None or len(shape) != dimensions:
        state = "missing" if shape is None else f"of the wrong shape {'x'.join(map(str, shape)) or '(none)'}"
        raise CheckpointError(f"{name} looks like a TD-ResNet, but its weight {key!r} is {state}.")
    return shape
