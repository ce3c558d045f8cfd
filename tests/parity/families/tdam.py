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
from viz.capture.probe import capture
from viz.families.tdam.module import Searchlight
from viz.models.networks.td_resnet import ResidualBlock, Stage, TDResNet

FAMILY = "tdam"
PROBES = {
    "searchlight_pre": "channel_logits",
    "searchlight": "channel_gate",
    "spatial_pre": "spatial_score",
    "spatial": "spatial_gate",
}
_SUFFIX = r"(?P<suffix>_stat|_head64|_strided64|)"
_IN_STEP = re.compile(rf"(?P<path>.*RA_block)/step(?P<call>\d+)/(?P<what>[a-z_]+?){_SUFFIX}")
_STAGE = re.compile(rf"(?P<path>layer[1-4]){_SUFFIX}")
_PICTURES = ("x", "input", "image", "images")
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
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(module, Stage):
                seen.add(path, "out", output.clone())
                return
            seen.add(path, "bottom", inputs[0].clone())
            seen.add(path, "top", inputs[1].clone())
            seen.add(path, "out", output.clone())

        return hook

    handles = [
        module.register_forward_hook(hook_of(path))
        for path, module in network.named_modules()
        if isinstance(module, Searchlight | Stage)
    ]
    try:
        with capture(network) as sink:
            yield seen
    finally:
        for handle in handles:
            handle.remove()
    names = {label: name for name, label in PROBES.items()}
    for tap, _, value in sink.batches:
        if tap.label in names:
            seen.add(tap.path, names[tap.label], value)


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of a TDAM case."""
    if case.kind == "rule":
        return evaluate_rule(case)
    return {"module": _module, "block": _block, "network": _network}[case.kind](case)


def _call(case: Case, known: set[str]) -> dict[str, Any]:
    """The arguments of the original's call, ``kwargs`` among them."""
    call = {**case.call, **(case.call.get("kwargs") or {})}
    call.pop("kwargs", None)
    if call.pop("args", None) or set(call) - known:
        raise NotUnderstoodError(f"call {dict(case.call)}")
    return call


def _steps_asked(call: Mapping[str, Any]) -> int | None:
    """The number of steps that a call asks for; None for all."""
    asked = {call[k] for k in ("steps", "time_steps", "t") if call.get(k) is not None}
    if len(asked) > 1:
        raise NotUnderstoodError(f"call {dict(call)}")
    return asked.pop() if asked else None


def _module(case: Case) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"bottom", "top", "bottom_x", "top_x", "prev_searchlight"})
    order = _call(case, {"arguments", "prev_searchlight"}).get("arguments") or ()
    names = [str(name).split(" ")[0] for name in order] or ["bottom", "top"]
    # What the original calls the previous searchlight, its third argument, is accepted there and never used.
    if not 2 <= len(names) <= 3:
        raise NotUnderstoodError(f"call arguments {order}")
    arguments = module_arguments(case)
    module = realize(case, lambda: Searchlight(**arguments))
    bottom, top = (case.required(name, f"{name}_x", name.removesuffix("_x")) for name in names[:2])
    with _watching(module) as seen:
        out = module(bottom, top)
    made = {"out": out.numpy()}
    for name in case.expected:
        match = re.fullmatch(rf"(?P<what>[a-z_]+?){_SUFFIX}", name)
        value = seen.get("", match["what"], 1) if match else None
        if match and value is not None:
            made[name] = reduced(value, match["suffix"])
    return made


def _block(case: Case) -> dict[str, NDArray[Any]]:
    case.only("inputs", set(_PICTURES))
    arguments = block_arguments(case)
    module = realize(case, lambda: ResidualBlock(**arguments))
    steps = _steps_asked(_call(case, {"steps", "time_steps", "t", "arguments"})) or arguments["steps"]
    with _watching(module) as seen:
        out = module(case.required(*_PICTURES), steps)
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
    case.only("inputs", set(_PICTURES))
    call = _call(case, {"steps", "time_steps", "t", "output_over_t", "output_over_t_blocks", "arguments"})
    config, varied = network_config(case)
    varied = tuple(call.get("output_over_t_blocks", varied))
    network = realize(case, lambda: TDResNet(config))
    if not isinstance(network, TDResNet):
        raise TypeError(type(network))
    x, steps = case.required(*_PICTURES), _steps_asked(call)
    with _watching(network) as seen:
        logits = network(x, steps)
    _check_calls(case, seen)
    made = {"logits": logits.numpy(), **_in_steps(case, seen)}
    stages = {name: match for name in case.expected if (match := _STAGE.fullmatch(name))}
    made |= {name: reduced(seen.values[m["path"], "out"][0], m["suffix"]) for name, m in stages.items()}
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
