"""Published TDAM checkpoints: configuration from keys and shapes alone, strict loading, and the model card.

Layout: shantanuj/TDAM_Top_down_attention_module@1e4a2cd (``tdresnet.py`` of its timm, and its legacy file: one layout).
A file's name and its notes (``arch``, ``args``) never decide.

Keys do not show everything:

- the pooling, the order of the two steps and the gates' functions have no weights: those of the published models are
  assumed (average, channel then spatial, sigmoid);
- without per-step batch norms either T = 1 (the modules never run) or m = 0; see `viz.models.layout.unrolled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from viz.core.card import ModelCard
from viz.errors import CheckpointError
from viz.geometry import Preprocessing
from viz.models.layout import STEP_NORM, blocks_of, layers_of, searchlight_of, shape_of, unrolled
from viz.models.networks.td_resnet import DEPTHS, RELEASED_DEPTHS, TDResNet, TDResNetConfig, released_config
from viz.models.reading import COUNTER, MAX_BYTES, naming, read_checkpoint
from viz.models.weights import Shapes, Wanted
from viz.picture import text_name

_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
# The evaluation script's short side: 224 / crop_pct, with 0.95 for the two deepest models and 0.875 for the others.
_SHORT_SIDE = {101: 235, 152: 235}
# Keys at the root of every ResNet of this layout.
LANDMARKS = ("conv1.weight", "layer1.0.conv1.weight")
TECHNIQUE_NAMES = {
    "joint_concat": "joint",
    "joint_sum": "bilinear",
    "top_only": "top",
    "simple_mapping": "mapping",
    "identity": "identity",
}

SOURCE = "shantanuj/TDAM_Top_down_attention_module@1e4a2cdd0bf1ea8c0a64aa9f674a58f5405ccce8 (ECCV 2022)"
# Top-1 / top-5 on ImageNet validation of the four published files, from the authors' README.
STATED = {18: "72.16 / 90.61", 34: "75.75 / 92.58", 50: "78.96 / 94.19", 101: "81.62 / 95.76"}
DEVIATIONS = (
    "The number of steps is an argument of each call; the authors' code leaves it set on the blocks.",
    "The spatial step weighs channels with the raw searchlight, as the authors' code does.",
)
STEP_NOTE = (
    "Step t re-runs only the last stage with t steps, as the authors' code does; the stage before has run all its "
    "steps. So step 1 is without top-down signal in the last stage only."
)


@dataclass(frozen=True)
class Identified:
    """A TD-ResNet identified from its keys and shapes.

    Attributes:
        config: how to build it; ``config.searchlight`` holds the technique and the reduction or width.
        depth: 18, 34, 50, 101, 152, or None for other numbers of blocks.
        preprocessing: that of the authors' evaluation script for this depth.
        released: True for one of the four published configurations.
        warnings: assumptions about what the keys do not show; empty for a published one.
        sha256, metadata, notes: of the file, if there is one; see `viz.models.reading.Checkpoint`.
    """

    config: TDResNetConfig
    depth: int | None
    preprocessing: Preprocessing
    released: bool
    warnings: tuple[str, ...] = ()
    sha256: str = ""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def technique(self) -> str:
        """Our name of the searchlight's technique."""
        return str(self.config.searchlight["technique"])

    @property
    def name(self) -> str:
        """Like the authors' own file names: ``tdresnet50_t2_m1_joint``."""
        depth = "x".join(map(str, self.config.layers)) if self.depth is None else str(self.depth)
        c = self.config
        return f"tdresnet{depth}_t{c.steps}_m{c.feedback}_{TECHNIQUE_NAMES[self.technique]}"


def identify(state: Mapping[str, Tensor], name: str = "The file") -> Identified:
    """Read a TD-ResNet's configuration from its state_dict; values are not read (meta tensors will do).

    Args:
        state: the network's own keys, without a wrapper's prefix.
        name: of the file, for messages.

    Raises:
        CheckpointError: another network, or keys and shapes that fit no TD-ResNet.
    """
    with naming(name):
        return _identify({key: tuple(value.shape) for key, value in state.items()})


def _identify(shapes: Shapes) -> Identified:
    blocks = blocks_of(shapes)
    layers = layers_of(blocks, shapes)
    block: Literal["basic", "bottleneck"] = "bottleneck" if "conv3.weight" in blocks[0, 0] else "basic"
    td = {at: b for at, b in blocks.items() if any(k.startswith("RA_block.") or STEP_NORM.match(k) for k in b)}
    depth = next((d for d, how in DEPTHS.items() if how == (block, layers)), None)
    if not td:
        kind = "ResNet" if depth is None else f"ResNet-{depth}"
        raise CheckpointError(f"is a plain {kind} without top-down modules; give a TDAM checkpoint.")
    searchlight = searchlight_of(td, block)
    feedback, steps, warnings = unrolled(td, block, searchlight["technique"])
    stages = sorted({stage for stage, _ in td})
    config = TDResNetConfig(
        block,
        layers,
        num_classes=shape_of(shapes, "fc.weight", 2)[0],
        steps=steps,
        feedback=feedback,
        td_blocks={s: tuple(sorted(b for stage, b in td if stage == s)) for s in stages},
        searchlight=searchlight,
    )
    with torch.device("meta"):
        network = TDResNet(config)
    released = _is_released(config, depth)
    if not released:
        warnings += ("This is not one of the four published configurations; its pooling and gates are assumed.",)
    short_side = _SHORT_SIDE.get(depth or 0, 256)
    preprocessing = Preprocessing((224, 224), "resize", 0.875, short_side, "bicubic", _MEAN, _STD)
    found = Identified(config, depth, preprocessing, released, warnings)
    _check_fit({k: tuple(v.shape) for k, v in network.state_dict().items()}, shapes, found.name)
    return found


def load_published(path: str | Path, max_bytes: int = MAX_BYTES) -> tuple[TDResNet, Identified]:
    """Load a TDAM checkpoint file: the network in evaluation mode (float32, CPU, frozen), and its configuration.

    Raises:
        CheckpointError: one sentence on why the file cannot be used.
    """
    checkpoint = read_checkpoint(path, max_bytes, Wanted(LANDMARKS, _identify))
    found = identify(checkpoint.state, checkpoint.name)
    with torch.device("meta"):
        network = TDResNet(found.config)
    with naming(checkpoint.name):
        state = {key: _fitted(key, target, checkpoint.state) for key, target in network.state_dict().items()}
    network.load_state_dict(state, strict=True, assign=True)
    network.eval().requires_grad_(False)
    return network, replace(found, sha256=checkpoint.sha256, metadata=checkpoint.metadata, notes=checkpoint.notes)


def _fitted(key: str, target: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """The value of a key in the type of the network's own tensor."""
    value = state.get(key)
    # Only the counters may be missing: files from before PyTorch 0.4.1 have none. Floating-point ones are meaningless.
    if value is None or (key.endswith(COUNTER) and value.is_floating_point()):
        value = torch.zeros((), dtype=target.dtype)
    if value.is_floating_point() != target.is_floating_point():
        raise CheckpointError(f"has the weight {key!r} of type {value.dtype}, which does not fit.")
    if key.endswith("running_var") and bool((value < 0).any()):
        raise CheckpointError(f"has negative values in the variance {key!r}; the file is damaged.")
    return value.to(target.dtype)


def _is_released(config: TDResNetConfig, depth: int | None) -> bool:
    if depth not in RELEASED_DEPTHS:
        return False
    released = released_config(depth)
    blocks = {s: tuple(b for b in found if b < config.layers[s]) for s, found in released.td_blocks.items()}
    return config == replace(released, td_blocks=blocks, searchlight={"technique": "joint_concat", "reduction": 16})


def _check_fit(wanted: Shapes, found: Shapes, network: str) -> None:
    """Report every difference of keys and shapes in one sentence."""
    missing = [k for k in wanted if k not in found and not k.endswith(COUNTER)]
    unexpected = [k for k in found if k not in wanted]
    wrong = [f"{k} {_text(found[k])} for {_text(wanted[k])}" for k in wanted if k in found and found[k] != wanted[k]]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    problems = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in parts.items() if keys]
    if problems:
        raise CheckpointError(f"does not fit as {network}: {', '.join(problems)}.")


def _some(keys: list[str]) -> str:
    return ", ".join(k[:80] for k in keys[:3]) + (", ..." if len(keys) > 3 else "")


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _notes(found: Identified) -> tuple[str, ...]:
    notes = [STEP_NOTE]
    if found.released and found.depth in STATED:
        notes.append(
            f"The authors state {STATED[found.depth]} % top-1 / top-5. Their script counts a picture as right when any "
            "of its filtered steps is right, so the last step alone may score lower. Nothing was measured here."
        )
    if not found.released:
        notes.append("This is not one of the four published configurations.")
    return (*notes, *found.warnings, *found.notes)


def load_published_model(path: Path) -> tuple[ModelCard, TDResNet]:
    """Load a TDAM checkpoint file as a model: its card, and the network in evaluation mode.

    Raises:
        CheckpointError: one sentence on why the file cannot be used.
    """
    network, found = load_published(path)
    depth, config = f"-{found.depth}" if found.depth else "", found.config
    arguments = {"technique": found.technique, "layers": list(config.layers), "feedback": config.feedback}
    card = ModelCard(
        name=found.name,
        title=f"TD-ResNet{depth}, T = {config.steps}, m = {config.feedback}, {found.technique}",
        family="tdam",
        network="td_resnet",
        arguments=arguments,
        preprocessing=found.preprocessing,
        origin="published",
        file=text_name(path.name),
        sha256=found.sha256,
        task="ImageNet classification" if config.num_classes == 1000 else "classification",
        steps=config.steps,
        source=f"file given by the user; layout of {SOURCE}",
        licence="as its authors state (code: MIT)",
        deviations=DEVIATIONS,
        notes=_notes(found),
    )
    return card, network
