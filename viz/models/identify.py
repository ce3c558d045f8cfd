"""Published TDAM checkpoints: the configuration read from keys and shapes alone, and a strict load.

Layout: shantanuj/TDAM_Top_down_attention_module@1e4a2cd (``tdresnet.py`` of its timm, and its legacy file: one layout).
A file's name and its notes (``arch``, ``args``) are never used to decide.

What keys cannot tell, and how it is settled:

- the pooling, the order of the two steps and the gates' functions carry no weights: those of the published models are
  taken (average, channel then spatial, sigmoid);
- without per-step batch norms either T = 1 (the modules never run) or m = 0; see `viz.models.layout.unrolled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.geometry import Preprocessing
from viz.models.layout import STEP_NORM, Shapes, blocks_of, layers_of, searchlight_of, shape_of, unrolled
from viz.models.networks.td_resnet import DEPTHS, TDResNet, TDResNetConfig, released_config
from viz.models.reading import COUNTER, MAX_BYTES, read_checkpoint
from viz.models.weights import Wanted
from viz.picture import text_name

_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
# The evaluation script's short side: 224 / crop_pct, with 0.95 for the two deepest models and 0.875 for the others.
_SHORT_SIDE = {101: 235, 152: 235}
# Keys that stand at the root of every ResNet of this layout.
LANDMARKS = ("conv1.weight", "layer1.0.conv1.weight")
TECHNIQUE_NAMES = {
    "joint_concat": "joint",
    "joint_sum": "bilinear",
    "top_only": "top",
    "simple_mapping": "mapping",
    "identity": "identity",
}


@dataclass(frozen=True)
class Identified:
    """What a TD-ResNet's keys and shapes say.

    Attributes:
        config: how to build it; ``config.searchlight`` holds the technique and the reduction or width.
        depth: 18, 34, 50, 101, 152, or None for another count of blocks.
        preprocessing: that of the authors' evaluation script for this depth.
        parameters: how many it has.
        released: True for one of the four published configurations.
        warnings: what the keys leave open and how it was settled; empty for a published one.
        sha256, metadata, notes: of the file, where it came from one; see `viz.models.reading.Checkpoint`.
    """

    config: TDResNetConfig
    depth: int | None
    preprocessing: Preprocessing
    parameters: int
    released: bool
    warnings: tuple[str, ...] = ()
    sha256: str = ""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def technique(self) -> str:
        """Our name of how the searchlight is made."""
        return str(self.config.searchlight["technique"])

    @property
    def name(self) -> str:
        """Like the authors' own file names: ``tdresnet50_t2_m1_joint``."""
        depth = "x".join(map(str, self.config.layers)) if self.depth is None else str(self.depth)
        c = self.config
        return f"tdresnet{depth}_t{c.steps}_m{c.feedback}_{TECHNIQUE_NAMES[self.technique]}"


def identify(state: Mapping[str, Tensor], name: str = "The file") -> Identified:
    """Read a TD-ResNet's configuration from its state_dict; values are not looked at (meta tensors will do).

    Args:
        state: keys as the network has them, without a wrapper's prefix.
        name: what to call the file in messages.

    Raises:
        CheckpointError: another network, or keys and shapes that fit no TD-ResNet.
    """
    return identify_shapes({key: tuple(value.shape) for key, value in state.items()}, name)


def identify_shapes(shapes: Shapes, name: str = "The file") -> Identified:
    """The same from the shapes of a state_dict by key.

    Raises:
        CheckpointError: as `identify`.
    """
    blocks = blocks_of(shapes, name)
    layers = layers_of(blocks, shapes, name)
    block: Literal["basic", "bottleneck"] = "bottleneck" if "conv3.weight" in blocks[0, 0] else "basic"
    td = {at: b for at, b in blocks.items() if any(k.startswith("RA_block.") or STEP_NORM.match(k) for k in b)}
    if not td:
        known = [str(d) for d, how in DEPTHS.items() if how == (block, layers)]
        raise CheckpointError(
            f"{name} is a plain ResNet{'-' + known[0] if known else ''} without top-down modules; "
            "give a TDAM checkpoint."
        )
    searchlight = searchlight_of(td, block, name)
    feedback, steps, warnings = unrolled(td, block, searchlight["technique"], name)
    stages = sorted({stage for stage, _ in td})
    config = TDResNetConfig(
        block,
        layers,
        num_classes=shape_of(shapes, "fc.weight", 2, name)[0],
        steps=steps,
        feedback=feedback,
        td_blocks={s: tuple(sorted(b for stage, b in td if stage == s)) for s in stages},
        searchlight=searchlight,
    )
    depth = next((d for d, how in DEPTHS.items() if how == (block, layers)), None)
    with torch.device("meta"):
        network = TDResNet(config)
    released = _is_released(config, depth)
    if not released:
        warnings += (
            "This is not one of the four published configurations; its pooling and gates are taken as theirs.",
        )
    found = Identified(
        config,
        depth,
        Preprocessing((224, 224), "resize", 0.875, _SHORT_SIDE.get(depth or 0, 256), "bicubic", _MEAN, _STD),
        sum(p.numel() for p in network.parameters()),
        released,
        warnings,
    )
    _check_fit({k: tuple(v.shape) for k, v in network.state_dict().items()}, shapes, f"{name} as {found.name}")
    return found


def load_published(path: str | Path, max_bytes: int = MAX_BYTES) -> tuple[TDResNet, Identified]:
    """Load a TDAM checkpoint file: the network in evaluation mode (float32, CPU, frozen), and what it is.

    Raises:
        CheckpointError: one sentence on why the file cannot be used.
    """
    name = text_name(Path(path).name)
    wanted = Wanted(LANDMARKS, lambda shapes: identify_shapes(shapes, name))
    checkpoint = read_checkpoint(path, max_bytes, wanted)
    found = identify(checkpoint.state, name)
    with torch.device("meta"):
        network = TDResNet(found.config)
    state: dict[str, Tensor] = {}
    for key, target in network.state_dict().items():
        value = checkpoint.state.get(key)
        # Only the counters may be absent: files from before PyTorch 0.4.1 have none. As floats they say nothing.
        if value is None or (key.endswith(COUNTER) and value.is_floating_point()):
            value = torch.zeros((), dtype=target.dtype)
        if value.is_floating_point() != target.is_floating_point():
            raise CheckpointError(f"{name}: the weight {key!r} is of type {value.dtype}, which does not fit.")
        if key.endswith("running_var") and bool((value < 0).any()):
            raise CheckpointError(f"{name}: the variance {key!r} holds negative values; the file is damaged.")
        state[key] = value.to(target.dtype)
    network.load_state_dict(state, strict=True, assign=True)
    network.eval().requires_grad_(False)
    return network, replace(found, sha256=checkpoint.sha256, metadata=checkpoint.metadata, notes=checkpoint.notes)


def _is_released(config: TDResNetConfig, depth: int | None) -> bool:
    if depth not in (18, 34, 50, 101):
        return False
    r = released_config(depth)
    blocks = {s: tuple(b for b in found if b < config.layers[s]) for s, found in r.td_blocks.items()}
    wanted = (r.num_classes, r.steps, r.feedback, blocks, {"technique": "joint_concat", "reduction": 16})
    return wanted == (
        config.num_classes,
        config.steps,
        config.feedback,
        dict(config.td_blocks),
        dict(config.searchlight),
    )


def _check_fit(wanted: Shapes, found: Shapes, what: str) -> None:
    """Report every difference of keys and shapes in one sentence."""
    missing = [k for k in wanted if k not in found and not k.endswith(COUNTER)]
    unexpected = [k for k in found if k not in wanted]
    wrong = [f"{k} {_text(found[k])} for {_text(wanted[k])}" for k in wanted if k in found and found[k] != wanted[k]]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    told = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in parts.items() if keys]
    if told:
        raise CheckpointError(f"{what} does not fit: {', '.join(told)}.")


def _some(keys: list[str]) -> str:
    return ", ".join(k[:80] for k in keys[:3]) + (", ..." if len(keys) > 3 else "")


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
