"""The layout of a TD-ResNet, from keys and shapes: blocks, technique, steps T and feedback distance m.

Layout: shantanuj/TDAM_Top_down_attention_module@1e4a2cd. Every function raises `CheckpointError`, in a sentence without
the name of the file (see `viz.models.reading.naming`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from viz.errors import CheckpointError
from viz.models.networks.td_resnet import STAGE_WIDTHS
from viz.models.weights import Shapes

_BLOCK_KEY = re.compile(r"layer([1-4])\.(\d{1,3})\.(.+)")
STEP_NORM = re.compile(r"bn([1-3])_(\d{1,2})\.weight")

# Of the two kinds of blocks: output channels per plane, and number of convolutions.
_WIDENING = {"basic": 1, "bottleneck": 4}
_CONVOLUTIONS = {"basic": 2, "bottleneck": 3}
# The layer of a module that gives the channels of its bottom; ``Ug_mlp.0`` for the other techniques.
_LAST_LAYER = {"top_only": "Ug_mlp.2", "simple_mapping": "Ug_conv"}


def blocks_of(shapes: Shapes) -> dict[tuple[int, int], dict[str, tuple[int, ...]]]:
    """Shapes of each block by (stage, index), both 0-based."""
    blocks: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        if match := _BLOCK_KEY.fullmatch(key):
            blocks.setdefault((int(match[1]) - 1, int(match[2])), {})[match[3]] = shape
    stages = {stage for stage, _ in blocks}
    if "conv1.weight" not in shapes or not stages:
        some = ", ".join(repr(k[:60]) for k in list(shapes)[:3])
        kind = "TDAM weights on another backbone" if any("RA_block." in k for k in shapes) else "another network"
        raise CheckpointError(f"is not a TD-ResNet but {kind}: its {len(shapes)} tensor(s) are named like {some}.")
    missing = [f"layer{stage + 1}" for stage in range(4) if stage not in stages]
    missing += [] if "fc.weight" in shapes else ["the classifier fc.weight"]
    if missing:
        raise CheckpointError(f"looks like a ResNet, but it lacks {' and '.join(missing)}.")
    return blocks


def layers_of(blocks: Mapping[tuple[int, int], Shapes], shapes: Shapes) -> tuple[int, int, int, int]:
    """Number of blocks in each stage; refuses gaps and widths that no TD-ResNet has."""
    counts = []
    for stage, width in enumerate(STAGE_WIDTHS):
        indices = sorted(b for s, b in blocks if s == stage)
        if indices != list(range(len(indices))):
            raise CheckpointError(f"lacks blocks of layer{stage + 1}: it has only {len(indices)}.")
        if shape_of(blocks[stage, 0], "conv1.weight", 4)[0] != width:
            raise CheckpointError("is a ResNet of another width or kind than the published TDAM models.")
        counts.append(len(indices))
    if shape_of(shapes, "conv1.weight", 4) != (STAGE_WIDTHS[0], 3, 7, 7):
        raise CheckpointError("is a ResNet with another first convolution than the published TDAM models.")
    return (counts[0], counts[1], counts[2], counts[3])


def searchlight_of(td: Mapping[tuple[int, int], Shapes], block: str) -> dict[str, Any]:
    """Technique and reduced width of the modules.

    The majority of blocks decides: if a few keys are missing or wrong, the strict comparison that follows names them.
    """
    found = [(STAGE_WIDTHS[stage] * _WIDENING[block], *_module_of(b)) for (stage, _), b in td.items()]
    techniques = Counter(technique for _, technique, _ in found if technique is not None)
    technique = next((t for t, _ in techniques.most_common()), "identity")
    if technique in ("identity", "simple_mapping"):
        return {"technique": technique}
    widths = {(top, k) for top, t, k in found if t == technique}
    # The original floors Ct / r; 16 is tried first, the value of every published model.
    for r in (16, *range(1, max(top for top, _ in widths) + 1)):
        if all(top // r == k for top, k in widths):
            return {"technique": technique, "reduction": r}
    widths_alone = sorted({k for _, k in widths})
    if len(widths_alone) == 1:
        return {"technique": technique, "width": widths_alone[0]}
    raise CheckpointError(f"has searchlights whose reduced widths {widths_alone} follow no common rule.")


def _module_of(block: Shapes) -> tuple[str | None, int]:
    """Technique and reduced width of one block's module; None without one, or if its keys are incomplete."""
    ra = {k.removeprefix("RA_block."): v for k, v in block.items() if k.startswith("RA_block.")}
    if "top_linear_spatial.weight" in ra:
        raise CheckpointError("uses a learned pooling, which cannot be identified from its keys; it is not supported.")
    if "Ug_conv.weight" in ra:
        return "simple_mapping", 0
    first, second = ra.get("Ug_mlp.0.weight", ()), ra.get("Ug_mlp.2.weight", ())
    top = ra.get("Ug_top_mlp.0.weight", ())
    if len(first) == 4 and len(second) == 4:
        return "top_only", first[0]
    if len(first) == 4 and len(top) == 4:
        return ("joint_sum" if first[1] == top[0] else "joint_concat"), top[0]
    return None, 0


def unrolled(td: Mapping[tuple[int, int], Shapes], block: str, technique: str) -> tuple[int, int, tuple[str, ...]]:
    """m, T and warnings about what was assumed.

    Without per-step norms the shape of the modules' bottom may exclude m = 0 (then T = 1) or every other m (then m = 0,
    and no key shows T: the published T = 2 is assumed). If it excludes neither, T = 1 is assumed, so that nothing is
    shown without evidence in the file.
    """
    convs = _CONVOLUTIONS[block]
    norms = [(int(m[1]), int(m[2])) for b in td.values() for k in b if (m := STEP_NORM.fullmatch(k))]
    if norms:
        if max(conv for conv, _ in norms) > convs:
            raise CheckpointError("has per-step norms of a convolution that its blocks do not have.")
        return len({conv for conv, _ in norms}), 1 + max(step for _, step in norms), ()
    key = f"RA_block.{_LAST_LAYER.get(technique, 'Ug_mlp.0')}.weight"
    bottoms = {at: shape_of(b, key, 4)[0] for at, b in td.items()}
    fits = [m for m in range(convs + 1) if all(_bottom_channels(block, *at, m) == c for at, c in bottoms.items())]
    if not fits:
        raise CheckpointError("has searchlights whose channels do not fit its blocks.")
    if fits == [0]:
        return 0, 2, ("The module acts on each block's own result (m = 0); T is not in the keys, T = 2 is assumed.",)
    later = next(m for m in fits if m > 0)
    if 0 in fits:
        return later, 1, ("The keys fit T = 1 and m = 0; T = 1 is assumed, so no top-down step is run or shown.",)
    return later, 1, ("Built for T = 1: its top-down modules have weights but never run.",)


def _bottom_channels(block: str, stage: int, index: int, feedback: int) -> int:
    """Channels of the bottom of a block's searchlight in the architecture, for m = `feedback`."""
    planes, outputs = STAGE_WIDTHS[stage], STAGE_WIDTHS[stage] * _WIDENING[block]
    if feedback == 0:
        return outputs
    if feedback < _CONVOLUTIONS[block]:
        return planes
    if index > 0:
        return outputs
    return STAGE_WIDTHS[stage - 1] * _WIDENING[block] if stage > 0 else 64


def shape_of(shapes: Shapes, key: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a weight, which must have so many dimensions."""
    shape = shapes.get(key)
    if shape is None or len(shape) != dimensions:
        state = "missing" if shape is None else f"of the wrong shape {'x'.join(map(str, shape)) or '(none)'}"
        raise CheckpointError(f"looks like a TD-ResNet, but its weight {key!r} is {state}.")
    return shape
