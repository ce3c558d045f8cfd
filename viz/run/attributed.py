"""Attribution of a traced picture: the model's own preparation, step and class, kept with the trace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

import torch

from viz.attribution.layers import find_probe, method_of
from viz.attribution.run import attribute
from viz.core.attribution import Attribution
from viz.core.card import ModelCard
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.target import ClassTarget
from viz.core.trace import Trace
from viz.core.words import method_words
from viz.environment import plain_torch
from viz.errors import ModelError
from viz.geometry import prepare
from viz.models.networks.base import StepNetwork
from viz.plotting import import_matplotlib


class Runs(Protocol):
    """What is asked of a loaded model, see `viz.run.model.Model`."""

    @property
    def card(self) -> ModelCard: ...
    @property
    def network(self) -> StepNetwork: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def alone(self) -> AbstractContextManager[None]: ...
    def turn(self, waiting: Callable[[], None]) -> AbstractContextManager[None]: ...


def definite_method(network: StepNetwork, method: MapSpec | str) -> MapSpec:
    """The method with its probe's full name.

    Raises:
        VizError: unknown method. ProbeError: unknown probe, or one that is no map.
    """
    choice = method_of(method)
    return choice if choice.tap is None else choice.with_probe(find_probe(network, choice.tap)[0])


@plain_torch()
def attributed(
    model: Runs,
    trace: Trace,
    method: MapSpec | str,
    *,
    class_index: int | str | None = None,
    step: int = -1,
    region: tuple[int, ...] | None = None,
    options: AttributionOptions | None = None,
    progress: Callable[[float], None] | None = None,
) -> Trace:
    """See `Model.attribute`."""
    if trace.card.sha256 != model.card.sha256 or trace.card.name != model.card.name:
        raise ModelError(f"The trace of {trace.card.name} belongs to another model than {model.card.name}.")
    choice, options = definite_method(model.network, method), options or DEFAULT_OPTIONS
    number = trace.step_number(choice.step if step == -1 else step)
    number, index = trace.asked(number, choice.cls if class_index is None else class_index)
    asked = replace(choice, cls=index, step=number, region=choice.region if region is None else region)
    known = trace.attribution_of(asked, options=options.used(choice.method))
    if known is not None:
        # The newest is what is shown.
        others = tuple(a for a in trace.attributions if a is not known)
        return trace if trace.attributions[-1] is known else replace(trace, attributions=(*others, known))
    target = trace.target(number, index, asked.region)
    with _turn(model, choice, progress), model.alone():
        x, _ = prepare(trace.picture, model.card.preprocessing, trace.geometry.mode)
        values = attribute(
            model.network,
            x.to(device=model.device, dtype=model.dtype),
            torch.tensor([target.class_index]) if isinstance(target, ClassTarget) else [target],
            choice,
            step=number,
            options=options,
            preprocessing=model.card.preprocessing,
            progress=progress,
        )[0].numpy()
    values.setflags(write=False)
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
        captum_version(),
        asked.region,
    )
    return replace(trace, attributions=(*trace.attributions, made))


def _turn(model: Runs, choice: MapSpec, progress: Callable[[float], None] | None) -> AbstractContextManager[None]:
    if not choice.method.slow:
        return nullcontext()
    return model.turn(lambda: None if progress is None else progress(0.0))


def captum_version() -> str:
    """The installed version of Captum."""
    import_matplotlib()  # Captum does
    from captum import __version__

    return str(__version__)
