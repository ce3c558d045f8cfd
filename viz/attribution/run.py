"""Attribution maps, computed by Captum (arXiv 2009.07896).

Guided backpropagation changes only the `nn.ReLU` modules, including those inside attention modules; a gate's sigmoid or
softmax passes its plain gradient.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from viz.attribution.layers import Steps, find_probe, method_of, tapped
from viz.capture.probe import muted
from viz.core.card import step_number
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
# A pass with gradients holds about 80 MB per picture of this size in EfficientNet-Lite0.
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
    """The contribution of each place of the input, or of a layer, to a class score or another number at one step.

    Grad-CAM is clipped at 0, as published. Methods on the input give the sum over the colours of \\|value\\|, except
    occlusion, whose colours are covered together and share one signed value. Methods on a probe give the sum over its
    channels. A probe that fires several times is attributed to at the last firing that the step uses.

    A probe of kind spatial has one channel, so its Grad-CAM is the probe's value times one number, or 0 everywhere if
    that number is negative: use gradient x activation instead. For a gate that is divided by its own mean
    (`lite0_tdam`), gradient x activation sums to 0: it shows where weight moved, not how much there is.

    The network is left unchanged: no gradient is stored and no hook remains. Meanwhile Captum's hooks may be on the
    network, so no other thread may use it (`Model.attribute` ensures that).

    Args:
        network: in evaluation mode. x: (N, 3, h, w), prepared, on the network's device and in its number format.
        targets: the question per picture: (N,) class indices of a classifier, or N targets.
        step: 1-based, or from -1 (the last).
        preprocessing: needed only by the baseline ``black``.
        progress: called with the finished share, 0 to 1; an exception from it ends the work.

    Returns:
        float32 (N, h', w') on the CPU: h', w' of the input, or of the layer.

    Raises:
        VizError, ModelError, ProbeError: arguments that do not fit the network.
    """
    import_matplotlib()  # Captum imports it, too
    choice = method_of(method)
    step = step_number(step, network.steps, "This network")
    asked = None if isinstance(targets, Tensor) else list(targets)
    columns = targets if isinstance(targets, Tensor) else torch.arange(len(targets))
    _check(network, x, columns, options, choice, classes=asked is None)
    baseline = _baseline(options, choice, x, preprocessing)
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
            model = Steps(network, step, count, asked)
            with _layer(model, choice, part, target[rows]) as layer:
                values = _values(
                    model, layer, part, target[rows], method=choice.name, options=options, baseline=baseline
                )
            maps.append(values.detach().to("cpu", torch.float32))
    return torch.cat(maps)


def _layer(model: Steps, choice: MapSpec, x: Tensor, target: Tensor) -> AbstractContextManager[nn.Module | None]:
    """The module whose output is attributed to, or None for the input."""
    if choice.tap is not None:
        return tapped(model, find_probe(model.network, choice.tap)[0], x, target)
    return nullcontext(model.network.class_layer() if choice.name == "gradcam" else None)


def _values(
    model: Steps,
    layer: nn.Module | None,
    x: Tensor,
    target: Tensor,
    *,
    method: str,
    options: AttributionOptions,
    baseline: Tensor,
) -> Tensor:
    """(n, h', w') for at most `options.batch` pictures."""
    from captum import attr

    path = {"n_steps": options.n_steps, "internal_batch_size": options.batch}
    values: Any
    if layer is not None:
        if method == "gradcam":
            values = attr.LayerGradCam(model, layer).attribute(x, target, relu_attributions=True)
        elif method == "gradient_x_activation":
            values = attr.LayerGradientXActivation(model, layer).attribute(x, target)
        else:
            values = attr.LayerIntegratedGradients(model, layer).attribute(x, baseline.expand_as(x), target, **path)
        summed: Tensor = (values[0] if isinstance(values, tuple) else values).sum(dim=1)
        return summed
    if method == "occlusion":
        covered: Tensor = attr.Occlusion(model).attribute(
            x,
            (3, options.window, options.window),
            (3, options.stride, options.stride),
            baseline.expand_as(x[:1]),
            target,
            perturbations_per_eval=max(1, options.batch // len(x)),
        )
        return covered.mean(dim=1)
    if method == "guided_backprop":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting backward hooks")
            values = attr.GuidedBackprop(model).attribute(x.requires_grad_(), target)
    else:
        values = attr.IntegratedGradients(model).attribute(x, baseline.expand_as(x), target, **path)
    strength: Tensor = values.abs().sum(dim=1)
    return strength


def _pass_size(options: AttributionOptions, x: Tensor) -> int:
    """Pictures per pass: fewer if they are larger than 224 x 224 pixels, to bound memory."""
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
    """A function that reports to `progress` after each pass of chunk `number` (from 0)."""
    done = itertools.count(1)
    return lambda: progress((number + min(next(done), passes) / passes) / chunks)


def _baseline(options: AttributionOptions, choice: MapSpec, x: Tensor, preprocessing: Preprocessing | None) -> Tensor:
    """(1, 3, 1, 1): the baseline's colour as a network input."""
    mean = torch.zeros(1, 3, 1, 1, device=x.device, dtype=x.dtype)
    if options.baseline == "mean" or "baseline" not in choice.method.options:
        return mean
    if preprocessing is None:
        raise VizError("The black baseline needs the model's preprocessing; pass it, or use the mean baseline.")
    black = -torch.tensor(preprocessing.mean, dtype=torch.float64) / torch.tensor(preprocessing.std)
    return mean + black.to(mean)[None, :, None, None]


def _check(
    network: StepNetwork, x: Tensor, columns: Tensor, options: AttributionOptions, choice: MapSpec, *, classes: bool
) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise VizError(f"Attribution needs pictures of shape (N, 3, h, w), not {tuple(x.shape)}.")
    if columns.shape != (len(x),) or columns.is_floating_point():
        raise VizError(f"Attribution needs one whole class number, or one target, for each of {len(x)} pictures.")
    if classes and output_type(network.output) is not ClassScores:
        raise ModelError("Class numbers are targets only for a classifier; give one target per picture.")
    weights = network.class_weights() if classes else None
    low, high = int(columns.min()), int(columns.max())
    if weights is not None and not 0 <= low <= high < len(weights):
        raise ModelError(f"This network has classes 0 to {len(weights) - 1}, not {low} to {high}.")
    if choice.name == "occlusion" and options.window > min(x.shape[2:]):
        raise VizError(f"The window of occlusion must fit into the input of {x.shape[2]} x {x.shape[3]} pixels.")
