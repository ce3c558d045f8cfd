"""Published checkpoints as models: a file that the user brought, its card read from its keys."""

from __future__ import annotations

from pathlib import Path

from viz.core.card import ModelCard
from viz.models.identify import Identified, load_published
from viz.models.networks.base import StepNetwork
from viz.picture import text_name

SOURCE = "shantanuj/TDAM_Top_down_attention_module@1e4a2cdd0bf1ea8c0a64aa9f674a58f5405ccce8 (ECCV 2022)"
# What the authors' README states for their four files, top-1 / top-5 on ImageNet validation.
STATED = {18: "72.16 / 90.61", 34: "75.75 / 92.58", 50: "78.96 / 94.19", 101: "81.62 / 95.76"}
DEVIATIONS = (
    "The number of steps is an argument of each call; the authors' code leaves it set on the blocks.",
    "The spatial step weighs channels with the raw searchlight, as the authors' code does.",
)
STEP_NOTE = (
    "Step t re-runs only the last stage with t steps, as the authors' code does; the stage before has run all its "
    "steps. So step 1 is without top-down signal in the last stage only."
)


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


def load_published_model(path: Path) -> tuple[ModelCard, StepNetwork]:
    """The card and network (evaluation mode) of a checkpoint file.

    Raises:
        CheckpointError: one sentence on why the file cannot be used.
    """
    network, found = load_published(path)
    depth = f"-{found.depth}" if found.depth else ""
    title = f"TD-ResNet{depth}, T = {found.config.steps}, m = {found.config.feedback}, {found.technique}"
    card = ModelCard(
        name=found.name,
        title=title,
        family="tdam",
        network="td_resnet",
        arguments={
            "technique": found.technique,
            "layers": list(found.config.layers),
            "feedback": found.config.feedback,
        },
        preprocessing=found.preprocessing,
        origin="published",
        file=text_name(path.name),
        sha256=found.sha256,
        task="ImageNet classification" if found.config.num_classes == 1000 else "classification",
        steps=found.config.steps,
        source=f"file given by the user; layout of {SOURCE}",
        licence="as its authors state (code: MIT)",
        deviations=DEVIATIONS,
        notes=_notes(found),
    )
    return card, network
