"""A loaded model: it traces pictures and computes attributions, one pass at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from viz.attribution.layers import find_probe, method_of
from viz.attribution.run import attribute
from viz.capture.probe import capture
from viz.core.attribution import Attribution
from viz.core.card import ModelCard
from viz.core.finite import check_answer
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.output import output_of, output_type
from viz.core.target import ClassTarget
from viz.core.trace import Trace
from viz.core.words import method_words
from viz.environment import plain_torch
from viz.errors import ModelError
from viz.families.family import family_of
from viz.geometry import MODES, Mode, prepare
from viz.models.cards import labels_for
from viz.models.catalogue import Catalogue
from viz.models.networks.base import StepNetwork, StepOutput
from viz.picture import PictureSource, open_picture

# Seconds between two calls of `progress` while an attribution waits for its turn.
_POLL = 0.2
FloatArray = NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model.

    Attributes:
        card: its model card. network: in evaluation mode on `device`.
        class_weights: float32 (classes, C) of its linear classifier, or None. labels: class names.
        geometry: how pictures are fitted. dtype: number format of the forward pass.
    """

    card: ModelCard
    network: StepNetwork = field(repr=False)
    class_weights: FloatArray | None = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    geometry: Mode
    device: torch.device
    dtype: torch.dtype
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    # Shared by the models of an engine, so that one slow attribution at a time holds memory.
    _turn: threading.Lock | None = field(default=None, repr=False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other pass run on this network while the block runs."""
        with self._lock:
            yield

    @contextmanager
    def _slow_turn(self, progress: Callable[[float], None] | None) -> Iterator[None]:
        """Let no other slow attribution run in this engine: each holds over a gigabyte of gradients.

        `progress` is called with 0 while this waits; an exception from it ends the wait.
        """
        if self._turn is None:
            yield
            return
        while not self._turn.acquire(timeout=_POLL):
            if progress is not None:
                progress(0.0)
        try:
            yield
        finally:
            self._turn.release()

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process: all but the locks, which belong to this one."""
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_turn")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _turn=None)

    @plain_torch()
    def trace(
        self,
        picture: PictureSource,
        *,
        probes: Sequence[str] | None = None,
        steps: int | None = None,
        geometry: Mode | None = None,
    ) -> Trace:
        """Run one forward pass on one picture.

        Args:
            picture: a Picture, or anything that `viz.open_picture` takes.
            probes: which probes to copy (names, labels, globs); None copies all that fire.
            steps: how many computation steps to run; None runs all.
            geometry: how to fit the picture, instead of the model's own way.

        Raises:
            PictureError, ModelError: an argument that cannot be used. ProbeError: a probe is unknown or did not fire.
            NotFiniteError: the network's answer holds NaN or infinity.
        """
        card = self.card
        if steps is not None and not 1 <= steps <= self.network.steps:
            raise ModelError(f"{card.name} has {self.network.steps} step(s), not {steps}.")
        _check_mode(geometry)
        opened = open_picture(picture)
        x, fitted = prepare(opened, card.preprocessing, geometry or self.geometry)
        with self.alone(), torch.inference_mode(), capture(self.network, probes) as sink:
            outputs = self.network.forward_steps(x.to(device=self.device, dtype=self.dtype), steps)
            answers, features = to_numpy(outputs)
        precision = str(self.dtype).removeprefix("torch.")
        check_answer(np.stack(answers), card.name, precision, "logits" if card.output == "class_scores" else "values")
        return Trace(
            opened,
            fitted,
            card,
            output_of(self.network.output, [a[0] for a in answers], fitted, self.labels, card),
            tuple(f[0] for f in features),
            # A module that always computes all of its steps also reports those that were not asked for.
            tuple(r for r in sink.records() if r.step <= len(outputs)),
            self.class_weights,
            family_of(card.family),
            precision,
        )

    @plain_torch()
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
        """Return the trace with one more attribution map, which `Trace.attribution` then returns.

        A map that the trace already has is not computed again. No other pass runs on this model meanwhile.

        Args:
            trace: of this model.
            method: e.g. ``gradcam``, ``occlusion`` or ``gradcam(spatial_gate)``, see `viz.attribution`.
            class_index: number or name of the class; default: the step's own best class.
            region: of a dense answer, in picture pixels: x0, y0, x1, y1, or the point x, y; see `viz.core.target`.
            options: of the methods; default `AttributionOptions()`.
            progress: called with the finished share, 0 to 1; an exception from it ends the work.

        Raises:
            ModelError: a trace of another model, no such step or class. ProbeError, VizError: see `viz.attribution`.
        """
        card, options = self.card, options or DEFAULT_OPTIONS
        if trace.card.sha256 != card.sha256 or trace.card.name != card.name:
            raise ModelError(f"The trace of {trace.card.name} belongs to another model than {card.name}.")
        choice = method_of(method)
        if choice.tap is not None:
            choice = choice.with_probe(find_probe(self.network, choice.tap)[0])
        number = trace.step_number(choice.step if step == -1 else step)
        number, index = trace.asked(number, choice.cls if class_index is None else class_index)
        asked = replace(choice, cls=index, step=number, region=choice.region if region is None else region)
        known = trace.attribution_of(asked, options=options.used(choice.method))
        if known is not None:
            # The newest is the one shown.
            others = tuple(a for a in trace.attributions if a is not known)
            return trace if trace.attributions[-1] is known else replace(trace, attributions=(*others, known))
        target = trace.target(number, index, asked.region)
        with self._slow_turn(progress) if choice.method.slow else nullcontext(), self.alone():
            x, _ = prepare(trace.picture, card.preprocessing, trace.geometry.mode)
            values = attribute(
                self.network,
                x.to(device=self.device, dtype=self.dtype),
                torch.tensor([target.class_index]) if isinstance(target, ClassTarget) else [target],
                choice,
                step=number,
                options=options,
                preprocessing=card.preprocessing,
                progress=progress,
            )[0].numpy()
        import captum

        info = choice.method
        made = Attribution(
            choice.head,
            method_words(choice),
            number,
            index,
            choice.tap or info.layer,
            values,
            info.unit_of(trace.output.asked),
            info.bounds,
            0.0 if info.signed else None,
            options.used(info),
            options.words(info),
            str(captum.__version__),
            asked.region,
        )
        return replace(trace, attributions=(*trace.attributions, made))


def to_numpy(outputs: Sequence[StepOutput]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Copies of the answers and features of each step, float32 (N, ...); no features if the network has none."""
    answers = [o.answer.to("cpu", torch.float32, copy=True).numpy() for o in outputs]
    found = [o.features.to("cpu", torch.float32, copy=True).numpy() for o in outputs if o.features is not None]
    return answers, found


def _check_mode(mode: str | None) -> None:
    if mode is not None and mode not in MODES:
        raise ModelError(f"Unknown geometry {mode!r}. Choose one of: {', '.join(MODES)}.")


def pick_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA if this machine has it, else the CPU.

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
        ModelError: unknown name, device, geometry or precision. CheckpointError: a file that does not fit.
    """
    if precision not in _DTYPES:
        raise ModelError(f"Unknown precision {precision!r}. Choose one of: {', '.join(_DTYPES)}.")
    _check_mode(geometry)
    target = pick_device(device)
    card, network = Catalogue(Path(models) if models else None).build(model)
    network.eval().requires_grad_(False).to(device=target, dtype=_DTYPES[precision])
    return model_of(network, card, geometry or card.geometry, target, _DTYPES[precision])


def model_of(network: StepNetwork, card: ModelCard, geometry: Mode, device: torch.device, dtype: torch.dtype) -> Model:
    """A loaded model from a network that is already on its device, and its card.

    Raises:
        ModelError: the card names another output, or lists no labels where the number of classes is unknown.
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
    """Versions of the software that computes and draws, for records."""
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
