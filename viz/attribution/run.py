"""`attribute`: one attribution map a picture, computed by Captum (arXiv 2009.07896).

Guided backpropagation changes the `nn.ReLU` modules alone, those inside attention modules among them; a gate's sigmoid
or softmax passes its plain gradient.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from viz.attribution.layers import Steps, find_probe, method_of, tapped
from viz.capture.probe import muted
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.output import output_type
from viz.core.outputs.class_scores import ClassScores
from viz.core.target import Target
from viz.environment import plain_torch
from viz.errors import ModelError, VizError
from viz.geometry import Preprocessing
from viz.models.networks.base import StepNetwork
from viz.plotting import import_matplotlib

Progress = Callable[[float], None]
# A pass with gradients holds about 80 MB for each picture of this size in EfficientNet-Lite0.
_PIXELS = 224 * 224


@plain_torch()
def attribute(
    network: StepNetwork,
    x: Tensor,
    targets: Tensor | Sequence[Target],
    method: MapSpec | str,
    *,
    step: int = -1,
    options: AttributionOptions = DEFAULT_OPTIONS,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """How much each place of the input, or of a layer, speaks for a class, or another number, at one computation step.

    Grad-CAM is clipped at 0, as published. Methods on the input give the sum over the colours of \\|value\\|, but for
    occlusion, whose colours are covered together and share one signed value. Methods on a probe give the sum over its
    channels. A probe that fires several times is attributed to at the last firing that the step uses.

    A probe of kind spatial has one channel, so its Grad-CAM is the probe's value times one number, or 0 everywhere
    where that number is negative: gradient x activation says more there. Of a gate that is divided by its own mean
    (`lite0_tdam`) gradient x activation sums to 0: it says where weight moved, not how much there is.

    The network is left as it is: no gradient is stored, no hook stays behind. While it runs, Captum's hooks may stand
    on the network, so no other thread may use it (`Model.attribute` sees to that).

    Args:
        network: in evaluation mode. x: (N, 3, h, w), prepared, on the network's device and in its number format.
        targets: what is asked of each picture: of a classifier (N,) integers, its classes; or N targets.
        step: 1-based, or from -1 (the last).
        preprocessing: needed by the baseline ``black`` alone.
        progress: called with the done share, 0 to 1; what it raises ends the work.

    Returns:
        float32 (N, h', w') on the CPU: h', w' of the input, or of the layer.

    Raises:
        VizError, ModelError, ProbeError: one sentence each.
    """
    import_matplotlib()  # Captum does
    choice = method_of(method)
    step = _checked_step(network, step)
    asked = None if isinstance(targets, Tensor) else list(targets)
    columns = targets if isinstance(targets, Tensor) else torch.arange(len(targets))
    _check(network, x, columns, options, choice, classes=asked is None)
    work = _Work(choice, options, _baseline(options, choice, x, preprocessing))
    options = replace(options, batch=_pass_size(options, x))
    starts = range(0, len(x), options.batch)
    maps = []
    with torch.inference_mode(False), muted():
        pictures, target = x.detach().clone(), columns.detach().to(x.device, torch.int64, copy=True)
        for number, start in enumerate(starts):
            rows = slice(start, start + options.batch)
            part = pictures[rows]
            passes = _passes(choice, options, x, len(part))
            count = None if progress is None else _counter(progress, number, len(starts), passes)
            values = work.run(Steps(network, step, count, asked), part, target[rows])
            maps.append(values.detach().to("cpu", torch.float32))
    return torch.cat(maps)


@dataclass(frozen=True, eq=False)
class _Work:
    """A method with all that it needs beside network, pictures and classes."""

    choice: MapSpec
    options: AttributionOptions
    baseline: Tensor

    def run(self, model: Steps, x: Tensor, target: Tensor) -> Tensor:
        """(n, h', w') of at most `options.batch` pictures."""
        if self.choice.tap is not None:
            name, _ = find_probe(model.network, self.choice.tap)
            with tapped(model, name, x, target) as layer:
                return self._to_layer(model, layer, x, target)
        if self.choice.name == "gradcam":
            return self._to_layer(model, model.network.class_layer(), x, target)
        return self._to_input(model, x, target)

    def _to_input(self, model: Steps, x: Tensor, target: Tensor) -> Tensor:
        from captum.attr import GuidedBackprop, IntegratedGradients, Occlusion

        options, values = self.options, x
        if self.choice.name == "guided_backprop":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Setting backward hooks")
                values = GuidedBackprop(model).attribute(x.requires_grad_(), target)
            return values.abs().sum(dim=1)
        if self.choice.name == "integrated_gradients":
            values = IntegratedGradients(model).attribute(
                x, self.baseline.expand_as(x), target, n_steps=options.n_steps, internal_batch_size=options.batch
            )
            return values.abs().sum(dim=1)
        values = Occlusion(model).attribute(
            x,
            (3, options.window, options.window),
            (3, options.stride, options.stride),
            self.baseline.expand_as(x[:1]),
            target,
            perturbations_per_eval=max(1, options.batch // len(x)),
        )
        return values.mean(dim=1)

    def _to_layer(self, model: Steps, layer: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Of a module's output (n, C, h', w')."""
        from captum.attr import LayerGradCam, LayerGradientXActivation, LayerIntegratedGradients

        options = self.options
        made: Any
        if self.choice.name == "gradcam":
            made = LayerGradCam(model, layer).attribute(x, target, relu_attributions=True)
        elif self.choice.name == "gradient_x_activation":
            made = LayerGradientXActivation(model, layer).attribute(x, target)
        else:
            made = LayerIntegratedGradients(model, layer).attribute(
                x, self.baseline.expand_as(x), target, n_steps=options.n_steps, internal_batch_size=options.batch
            )
        values: Tensor = (made[0] if isinstance(made, tuple) else made).sum(dim=1)
        return values


def _pass_size(options: AttributionOptions, x: Tensor) -> int:
    """Pictures in one pass: fewer where they are larger than 224 x 224 pixels, so that memory is bounded."""
    pixels = x.shape[2] * x.shape[3]
    return options.batch if pixels <= _PIXELS else max(1, options.batch * _PIXELS // pixels)


def _passes(choice: MapSpec, options: AttributionOptions, x: Tensor, pictures: int) -> int:
    """How often Captum calls the network for one chunk."""
    together = max(1, options.batch // pictures)
    if choice.name == "integrated_gradients":
        return math.ceil(options.n_steps / together) + (2 if choice.tap is not None else 0)
    if choice.name == "occlusion":
        windows = math.prod(math.ceil((size - options.window) / options.stride) + 1 for size in x.shape[2:])
        return 1 + math.ceil(windows / together)
    return 1


def _counter(progress: Progress, number: int, chunks: int, passes: int) -> Callable[[], None]:
    """Tells `progress` after every pass of chunk `number` (from 0)."""
    done = itertools.count(1)
    return lambda: progress((number + min(next(done), passes) / passes) / chunks)


def _baseline(options: AttributionOptions, choice: MapSpec, x: Tensor, preprocessing: Preprocessing | None) -> Tensor:
    """(1, 3, 1, 1): the baseline's colour as the network gets it."""
    mean = torch.zeros(1, 3, 1, 1, device=x.device, dtype=x.dtype)
    if options.baseline == "mean" or "baseline" not in choice.method.options:
        return mean
    if preprocessing is None:
        raise VizError("The black baseline needs the model's preprocessing; without it only the mean colour is known.")
    black = -torch.tensor(preprocessing.mean, dtype=torch.float64) / torch.tensor(preprocessing.std)
    return mean + black.to(mean)[None, :, None, None]


def _checked_step(network: StepNetwork, step: int) -> int:
    number = step if step > 0 else network.steps + 1 + step
    if step == 0 or not 1 <= number <= network.steps:
        raise ModelError(f"This network has steps 1 to {network.steps}; there is no step {step}.")
    return number


def _check(
    network: StepNetwork, x: Tensor, columns: Tensor, options: AttributionOptions, choice: MapSpec, *, classes: bool
) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise VizError(f"Attribution needs pictures of shape (N, 3, h, w), not {tuple(x.shape)}.")
    if columns.shape != (len(x),) or columns.is_floating_point():
        raise VizError(f"Attribution needs one whole class number, or one target, for each of {len(x)} pictures.")
    if classes and output_type(network.output) is not ClassScores:
        raise ModelError("Class numbers alone are enough only for a classifier; give a target for each picture.")
    weights = network.class_weights() if classes else None
    if weights is not None and not (int(columns.min()) >= 0 and int(columns.max()) < len(weights)):
        raise ModelError(f"This network has classes 0 to {len(weights) - 1}.")
    if choice.name == "occlusion" and options.window > min(x.shape[2:]):
        raise VizError(f"The window of occlusion must fit into the input of {x.shape[2]} x {x.shape[3]} pixels.")
