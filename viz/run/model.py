"""A loaded model: it traces pictures and computes attributions, one pass at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.map_spec import MapSpec
from viz.core.methods import AttributionOptions
from viz.core.output import output_type
from viz.core.trace import Trace
from viz.environment import plain_torch
from viz.errors import ModelError
from viz.geometry import MODES, Mode
from viz.models.cards import labels_for
from viz.models.catalogue import Catalogue
from viz.models.networks.base import StepNetwork
from viz.picture import PictureSource, open_picture
from viz.run.attributed import attributed
from viz.run.forward import trace_picture

# Seconds between two looks whether the work is still wanted.
_LOOK = 0.2
Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model.

    Attributes:
        card: what is known of it. network: in evaluation mode on `device`.
        class_weights: float32 (classes, C) of its linear classifier, or None. labels: of its classes.
        geometry: how pictures are fitted. dtype: number format of the forward pass.
    """

    card: ModelCard
    network: StepNetwork = field(repr=False)
    class_weights: NDArray[np.float32] | None = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    geometry: Mode
    device: torch.device
    dtype: torch.dtype
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    # Of an engine: shared by its models, so that one slow attribution at a time holds memory.
    _turn: threading.Lock | None = field(default=None, repr=False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other pass runs on this network while the block does."""
        with self._lock:
            yield

    @contextmanager
    def turn(self, waiting: Callable[[], None]) -> Iterator[None]:
        """No other slow attribution runs on any model of the engine: each holds gradients of a whole batch, more than a
        gigabyte.

        Args:
            waiting: called now and then until it is this one's turn; what it raises ends the wait.
        """
        if self._turn is None:
            yield
            return
        while not self._turn.acquire(timeout=_LOOK):
            waiting()
        try:
            yield
        finally:
            self._turn.release()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: all but the locks, which belong to this one."""
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_turn")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _turn=None)

    def trace(
        self,
        picture: PictureSource,
        *,
        probes: Sequence[str] | None = None,
        steps: int | None = None,
        geometry: Mode | None = None,
    ) -> Trace:
        """One forward pass on one picture.

        Args:
            picture: a Picture, or what `viz.open_picture` takes.
            probes: which probes to copy; None takes all that fire.
            steps: how many computation steps to run; None runs all.
            geometry: another way to fit the picture than the model's.

        Raises:
            PictureError, ProbeError, ModelError: one sentence each.
        """
        if steps is not None and not 1 <= steps <= self.network.steps:
            raise ModelError(f"{self.card.name} has {self.network.steps} step(s), not {steps}.")
        with self.alone():
            return trace_picture(
                self.network,
                self.card,
                self.class_weights,
                self.labels,
                open_picture(picture),
                mode=_checked_mode(geometry) or self.geometry,
                probes=probes,
                steps=steps,
                device=self.device,
                dtype=self.dtype,
            )

    def attribute(
        self,
        trace: Trace,
        method: MapSpec | str,
        *,
        class_index: int | str | None = None,
        step: int = -1,
        region: tuple[int, ...] | None = None,
        options: AttributionOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Trace:
        """The same trace with an attribution map more, which `Trace.attribution` then gives.

        What the trace already has is not computed again. While it is computed, no other pass runs on this model.

        Args:
            trace: of this model.
            method: e.g. ``gradcam``, ``occlusion`` or ``gradcam(spatial_gate)``, see `viz.attribution`.
            class_index: number or name of the class; default: the step's own best class.
            region: of a dense answer, in picture pixels: x0, y0, x1, y1, or the point x, y; see `viz.core.target`.
            options: of the methods; default `AttributionOptions()`.
            progress: called with the done share, 0 to 1; what it raises ends the work.

        Raises:
            ModelError: a trace of another model, no such step or class. ProbeError, VizError: see `viz.attribution`.
        """
        return attributed(
            self, trace, method, class_index=class_index, step=step, region=region, options=options, progress=progress
        )


def _checked_mode(mode: str | None) -> Mode | None:
    if mode is None:
        return None
    for known in MODES:
        if mode == known:
            return known
    raise ModelError(f"Geometry must be one of {', '.join(MODES)}, not {mode!r}.")


def pick_device(device: str) -> torch.device:
    """``auto`` takes CUDA where there is one.

    Raises:
        ModelError: a device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type == "meta":  # has shapes, but no numbers
            raise RuntimeError
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError):
        raise ModelError(f"This machine has no device {device!r}; use cpu, cuda or auto.") from None
    return chosen


@plain_torch()
def load(
    model: str | Path,
    device: str = "auto",
    geometry: Mode | None = None,
    *,
    precision: Precision = "float32",
    models: str | Path | None = None,
) -> Model:
    """Load a model.

    Args:
        model: a name of the catalogue (``searchlight models``), or the path of a checkpoint file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        geometry: ``center_crop``, ``squash`` or ``letterbox``; default the model's own.
        precision: number format of the forward pass; captured values are float32 in any case.
        models: a folder with further checkpoint files.

    Raises:
        ModelError: unknown name, device or geometry. CheckpointError: a file that does not fit.
    """
    if precision not in _DTYPES:
        raise ModelError(f"Precision must be one of {', '.join(_DTYPES)}, not {precision!r}.")
    mode = _checked_mode(geometry)
    target = pick_device(device)
    card, network = Catalogue(Path(models) if models else None).build(model)
    network.eval().requires_grad_(False).to(device=target, dtype=_DTYPES[precision])
    return model_of(network, card, mode or card.geometry, target, _DTYPES[precision])


def model_of(network: StepNetwork, card: ModelCard, geometry: Mode, device: torch.device, dtype: torch.dtype) -> Model:
    """A network that is in place, with its card, as a loaded model.

    Raises:
        ModelError: the card says another sort of answer, or has no labels where the number of classes is not known.
    """
    if network.output != card.output:
        raise ModelError(f"The network of {card.name} predicts {network.output}, but its card says {card.output}.")
    found = network.class_weights()
    weights = None if found is None else found.detach().to("cpu", torch.float32, copy=True).numpy()
    if weights is not None:
        weights.setflags(write=False)
    labels = card.labels or (() if weights is None else labels_for(len(weights)))
    if not labels and output_type(card.output).has_classes:
        raise ModelError(f"The card of {card.name} must list its classes under labels.")
    return Model(card, network, weights, labels, geometry, device, dtype)


def versions() -> dict[str, str]:
    """Versions of what computes and draws, for records."""
    import cv2
    import PIL

    from viz.version import __version__

    return {
        "searchlight-viz": __version__,
        "python": ".".join(str(v) for v in sys.version_info[:3]),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
