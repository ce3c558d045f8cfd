"""Models that stay loaded, and traces that are not computed twice. Shared by the page, the command line and Python."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from viz.allocator import give_back
from viz.core.map_spec import MapSpec
from viz.core.output import ClassHead
from viz.core.trace import Trace
from viz.environment import plain_torch
from viz.errors import ModelError
from viz.geometry import MODES, Mode
from viz.models.cards import ModelCard, labels_for
from viz.models.catalogue import Catalogue
from viz.models.networks.base import StepNetwork
from viz.picture import Picture, PictureSource, open_picture
from viz.run.forward import trace_picture

if TYPE_CHECKING:
    from viz.core.methods import AttributionOptions

Precision = Literal["float32", "bfloat16", "float16"]
MAX_ATTRIBUTIONS = 64
_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model.

    Attributes:
        card: what is known of it. network: in evaluation mode on `device`. head: class weights and labels.
        geometry: how pictures are fitted. dtype: number format of the forward pass.
    """

    card: ModelCard
    network: StepNetwork = field(repr=False)
    head: ClassHead = field(repr=False)
    geometry: Mode
    device: torch.device
    dtype: torch.dtype
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    # Of an engine: shared by its models, so that one slow attribution at a time holds memory.
    _turn: threading.Lock | None = field(default=None, repr=False)

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
        with self._lock:
            return trace_picture(
                self.network,
                self.card,
                self.head,
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
        options: AttributionOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Trace:
        """The same trace with an attribution map more, which `Trace.attribution` then gives.

        What the trace already has is not computed again. While it is computed, no other pass runs on this model.

        Args:
            trace: of this model.
            method: e.g. ``gradcam``, ``occlusion`` or ``gradcam(spatial_gate)``, see `viz.attribution`.
            class_index: number or name of the class; default: the step's own best class.
            options: of the methods; default `AttributionOptions()`.
            progress: called with the done share, 0 to 1; what it raises ends the work.

        Raises:
            ModelError: a trace of another model, no such step or class. ProbeError, VizError: see `viz.attribution`.
        """
        from viz.run.attributed import attributed

        return attributed(self, trace, method, class_index=class_index, step=step, options=options, progress=progress)


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
    weights = network.class_weights().to("cpu", torch.float32, copy=True).numpy()
    weights.setflags(write=False)
    network.eval().requires_grad_(False).to(device=target, dtype=_DTYPES[precision])
    head = ClassHead(weights, labels_for(weights.shape[0]))
    return Model(card, network, head, mode or card.geometry, target, _DTYPES[precision])


def _weight(trace: Trace) -> int:
    """Bytes that a trace holds beside what it shares with others."""
    arrays = [
        trace.logits,
        *trace.features,
        *(r.values for r in trace.records),
        *(a.values for a in trace.attributions),
    ]
    return sum(int(a.nbytes) for a in arrays) + int(trace.picture.rgb.nbytes)


class Engine:
    """Loads each model once and keeps the newest traces, bounded in number and bytes. Safe to share between threads.

    Args:
        device, precision: for every model, see `load`.
        models: folder with further checkpoints.
        max_models: networks kept in memory.
        max_traces, max_bytes: traces kept.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: Precision = "float32",
        models: str | Path | None = None,
        *,
        max_models: int = 8,
        max_traces: int = 64,
        max_bytes: int = 512 * 2**20,
    ) -> None:
        self.device, self.precision = device, precision
        self.catalogue = Catalogue(Path(models) if models else None)
        self._models_folder = models
        self._max_models, self._max_traces, self._max_bytes = max_models, max_traces, max_bytes
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._traces: OrderedDict[tuple[str, str, str], Trace] = OrderedDict()
        self._held = 0
        # One lock for each model being loaded and each trace being made; they live as long as that takes.
        self._loading: dict[str, threading.Lock] = {}
        self._tracing: dict[tuple[str, str, str], threading.Lock] = {}
        self._attributing: dict[tuple[str, str, str], threading.Lock] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self.forwards = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, or copied, an engine starts empty: models and traces stay where they are."""
        limits = {"max_models": self._max_models, "max_traces": self._max_traces, "max_bytes": self._max_bytes}
        return partial(Engine, self.device, self.precision, self._models_folder, **limits), ()

    def model(self, name: str) -> Model:
        """The loaded model of that name."""
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
                return self._models[name]
            lock = self._loading.setdefault(name, threading.Lock())
        with lock:
            with self._lock:
                if name in self._models:
                    return self._models[name]
            try:
                loaded = load(name, self.device, precision=self.precision, models=self._models_folder)
                model = replace(loaded, _turn=self._turn)
                with self._lock:
                    self.catalogue.seen[name] = model.card
                    self._models[name] = model
                    while len(self._models) > self._max_models:
                        self._models.popitem(last=False)
            finally:
                with self._lock:
                    self._loading.pop(name, None)
            return model

    def trace(self, picture: Picture, name: str, geometry: Mode | None = None) -> Trace:
        """The trace of a picture under a model; the same three again cost no forward pass, even at the same time."""
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._lock:
            lock = self._tracing.setdefault(key, threading.Lock())
        with lock:
            with self._lock:
                known = self._known(key, picture)
            if known is not None:
                return known
            try:
                trace = model.trace(picture, geometry=geometry)
                with self._lock:
                    self.forwards += 1
                    self._keep(key, trace)
            finally:
                with self._lock:
                    self._tracing.pop(key, None)
            return trace

    def attribute(
        self,
        picture: Picture,
        name: str,
        method: MapSpec | str,
        geometry: Mode | None = None,
        *,
        class_index: int | str | None = None,
        step: int = -1,
        options: AttributionOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Trace:
        """The trace of a picture under a model with an attribution map, see `Model.attribute`; each is computed once.

        A trace holds at most `MAX_ATTRIBUTIONS` of them; the oldest go first. Of the slow methods one runs at a
        time, on whichever model, and memory goes back to the system afterwards: visitors add up to no peak.
        """
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._lock:
            lock = self._attributing.setdefault(key, threading.Lock())
        with lock:
            try:
                # Whoever waited here for the same map finds it in the trace.
                trace = self.trace(picture, name, geometry)
                made = model.attribute(
                    trace, method, class_index=class_index, step=step, options=options, progress=progress
                )
                if made is trace:
                    return trace
                give_back()
                with self._lock:
                    newest = made.attributions[-1]
                    others = [a for a in self._traces.get(key, made).attributions if a is not newest]
                    made = replace(made, attributions=(*others, newest)[-MAX_ATTRIBUTIONS:])
                    self._keep(key, made)
            finally:
                with self._lock:
                    self._attributing.pop(key, None)
            return made

    def _known(self, key: tuple[str, str, str], picture: Picture) -> Trace | None:
        known = self._traces.get(key)
        if known is None:
            return None
        self._tracing.pop(key, None)
        self._traces.move_to_end(key)
        # The same file under another name: same numbers, but the page must not show the other person's file name.
        return known if known.picture.name == picture.name else replace(known, picture=picture)

    def _keep(self, key: tuple[str, str, str], trace: Trace) -> None:
        before = self._traces.pop(key, None)
        self._held += _weight(trace) - (_weight(before) if before is not None else 0)
        self._traces[key] = trace
        while len(self._traces) > self._max_traces or (self._held > self._max_bytes and len(self._traces) > 1):
            _, oldest = self._traces.popitem(last=False)
            self._held -= _weight(oldest)

    @property
    def held_bytes(self) -> int:
        """Bytes of the cached traces (a picture shared by several counts each time)."""
        return self._held


def versions() -> dict[str, str]:
    """Versions of what computes and draws, for records."""
    import cv2
    import PIL

    from viz import __version__

    return {
        "searchlight-viz": __version__,
        "python": ".".join(str(v) for v in sys.version_info[:3]),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
