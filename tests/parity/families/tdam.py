"""TDAM: the searchlight module, a TD block, TD-ResNets, and the box rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.case import Case, MismatchError, NotUnderstoodError, realize
from tests.parity.families.tdam_build import block_arguments, module_arguments, network_config
from tests.parity.families.tdam_rule import evaluate_rule
from tests.parity.reduce import reduced
from viz.attention.probe import capture
from viz.attention.tdam import Searchlight
from viz.networks.td_resnet import ResidualBlock, TDResNet

FAMILY = "tdam"
PROBES = {
    "searchlight_pre": "channel_logits",
    "searchlight": "channel_gate",
    "spatial_pre": "spatial_score",
    "spatial": "spatial_gate",
}
_SUFFIX = r"(?P<suffix>_stat|_head64|_strided64|)"
_IN_STEP = re.compile(rf"(?P<path>.*RA_block)/step(?P<call>\d+)/(?P<what>[a-z_]+?){_SUFFIX}")
_OVER_STEPS = re.compile(rf"(?P<what>logits|cam_class|cam|layer4)_t(?P<step>\d+){_SUFFIX}")


@dataclass
class _Seen:
    """What one pass showed: probed values and the modules' own inputs and outputs, by path, name and call."""

    values: dict[tuple[str, str], list[Tensor]] = field(default_factory=dict)

    def add(self, path: str, what: str, value: Tensor) -> None:
        self.values.setdefault((path, what), []).append(value)

    def get(self, path: str, what: str, call: int) -> Tensor | None:
        """The value of a call, counted from 1 in order of calling."""
        found = self.values.get((path, what), [])
        return found[call - 1] if 1 <= call <= len(found) else None


@contextmanager
def _watching(network: nn.Module) -> Iterator[_Seen]:
    """Probes by `capture`; a searchlight's bottom, top and output, which are no attention, by hooks."""
    seen = _Seen()

    def hook_of(path: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen.add(path, "bottom", inputs[0].clone())
            seen.add(path, "top", inputs[1].clone())
            seen.add(path, "out", output.bottom.clone())

        return hook

    handles = [
        module.register_forward_hook(hook_of(path))
        for path, module in network.named_modules()
        if isinstance(module, Searchlight)
    ]
    try:
        with capture(network) as sink:
            yield seen
    finally:
        for handle in handles:
            handle.remove()
    names = {label: name for name, label in PROBES.items()}
    for probe, path, _, value in sink.batches:
        if probe.label in names:
            seen.add(path, names[probe.label], value)


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of a TDAM case."""
    if case.kind == "rule":
        return evaluate_rule(case)
    return {"module": _module, "block": _block, "network": _network}[case.kind](case)


def _steps_asked(case: Case) -> int | None:
    """The number of steps that `call` asks for; None for all."""
    case.only("call", {"steps", "time_steps", "t", "output_over_t", "arguments"})
    asked = [case.call[k] for k in ("steps", "time_steps", "t") if case.call.get(k) is not None]
    if len(asked) > 1:
        raise NotUnderstoodError(f"call {dict(case.call)}")
    return asked[0] if asked else None


def _module(case: Case) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"bottom", "top", "bottom_x", "top_x", "prev_searchlight"})
    case.only("call", {"arguments"})
    module = realize(case, lambda: Searchlight(**module_arguments(case)))
    with _watching(module) as seen:
        out, logits = module(case.required("bottom", "bottom_x"), case.required("top", "top_x"))
    made = {"out": out.numpy()}
    for name in case.expected:
        match = re.fullmatch(rf"(?P<what>[a-z_]+?){_SUFFIX}", name)
        value = seen.get("", match["what"], 1) if match else None
        if match and value is not None:
            made[name] = reduced(value, match["suffix"])
        elif name in ("searchlight_raw", "s_t") and logits is not None:
            made[name] = logits.numpy()
    return made


def _block(case: Case) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"x"})
    arguments = block_arguments(case)
    module = realize(case, lambda: ResidualBlock(**arguments))
    steps = _steps_asked(case) or arguments["steps"]
    with _watching(module) as seen:
        out = module(case.required("x"), steps)
    return {"out": out.numpy(), **_in_steps(case, seen)}


def _in_steps(case: Case, seen: _Seen) -> dict[str, NDArray[Any]]:
    """Arrays named ``PATH/stepK/WHAT``: K counts the calls of the module."""
    made = {}
    for name in case.expected:
        match = _IN_STEP.fullmatch(name)
        value = seen.get(match["path"], match["what"], int(match["call"])) if match else None
        if match and value is not None:
            made[name] = reduced(value, match["suffix"])
    return made


def _network(case: Case) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"x"})
    config, varied = network_config(case)
    network = realize(case, lambda: TDResNet(config))
    if not isinstance(network, TDResNet):
        raise TypeError(type(network))
    x, steps = case.required("x"), _steps_asked(case)
    with _watching(network) as seen:
        logits = network(x, steps)
    _check_calls(case, seen)
    made = {"logits": logits.numpy(), **_in_steps(case, seen)}
    wanted = {name: match for name in case.expected if (match := _OVER_STEPS.fullmatch(name))}
    if wanted:
        over = _OverSteps(network, x, varied)
        made |= {name: over.array(m["what"], int(m["step"]), m["suffix"]) for name, m in wanted.items()}
    return made


def _check_calls(case: Case, seen: _Seen) -> None:
    """The manifest's own account of the TD blocks, where it gives one, must be what happened."""
    for path, told in (case.manifest.get("td_blocks") or {}).items():
        tops, bottoms = seen.values.get((path, "top"), []), seen.values.get((path, "bottom"), [])
        if len(tops) != told.get("calls", len(tops)):
            raise MismatchError(f"{path} was called {len(tops)} times, not {told['calls']}")
        for what, values in (("top", tops), ("bottom", bottoms)):
            sizes = [told.get(f"{what}_channels"), *told.get(f"{what}_hw", ())]
            if values and None not in sizes and list(values[0].shape[1:]) != sizes:
                raise MismatchError(f"{what} of {path} is {list(values[0].shape[1:])}, not {sizes}")


class _OverSteps:
    """Outputs of step 1 .. T: logits as ``output_over_t`` gives them, the rest as the CAM helper does."""

    def __init__(self, network: TDResNet, x: Tensor, varied: tuple[int, ...]) -> None:
        self.network = network
        self.outputs = network.forward_steps(x)
        last = network.get_submodule("layer4")
        # Blocks that output_over_t does not list keep all their steps; the CAM helper always varies the first five.
        self.logits = [o.logits for o in self.outputs]
        if not set(range(len(list(last.children())))) <= set(varied):
            self.logits = self._limited(x, varied)

    def _limited(self, x: Tensor, varied: tuple[int, ...]) -> list[Tensor]:
        network, found = self.network, []
        before = network._before_last_stage(x)
        for t in range(1, network.steps + 1):
            y = before
            for i, block in enumerate(network.get_submodule("layer4").children()):
                y = block(y, t if i in varied else network.steps)
            found.append(network.fc(y.mean(dim=(2, 3))))
        return found

    def array(self, what: str, step: int, suffix: str) -> NDArray[Any]:
        if not 1 <= step <= len(self.outputs):
            raise NotUnderstoodError(f"step {step} of {len(self.outputs)}")
        output = self.outputs[step - 1]
        classes = output.logits.argmax(dim=1)
        if what == "logits":
            return reduced(self.logits[step - 1], suffix)
        if what == "layer4":
            return reduced(output.features, suffix)
        if what == "cam_class":
            return classes.numpy()
        weights = self.network.class_weights()[classes]
        maps = (weights[:, :, None, None] * output.features).sum(dim=1).numpy()
        maps = maps - maps.min(axis=(1, 2), keepdims=True)
        top = maps.max(axis=(1, 2), keepdims=True)
        return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)
