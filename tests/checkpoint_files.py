"""Weights files as the authors' scripts write them, and files that nobody should open."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from viz.errors import CheckpointError
from viz.models.networks.td_resnet import TDResNet, released_config
from viz.models.published import load_published

State = Mapping[str, Tensor]


def random_network(depth: int = 18) -> TDResNet:
    """A published configuration with random weights and running statistics."""
    torch.manual_seed(depth)
    network = TDResNet(released_config(depth)).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.9, 1.1)
            elif name.endswith("num_batches_tracked"):
                value.fill_(12345)
    return network.requires_grad_(False)


def arguments() -> argparse.Namespace:
    """What a training script's command line becomes."""
    return argparse.Namespace(model="tdresnet18", lr=0.1, mean=None, aug=[1, 2.5], flags={"amp": True}, out=(1, "x"))


def timm_saver(state: State, path: Path, **more: Any) -> None:
    """The dict of timm 0.5.4's saver, optimizer state included; ``.pth.tar`` is only a name."""
    some = next(iter(state.values()))
    content = {
        "epoch": 89,
        "arch": "tdresnet18",
        "state_dict": OrderedDict(state),
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.ones_like(some)}},
            "param_groups": [{"lr": 0.1, "nesterov": True, "params": [0]}],
        },
        "version": 2,
        "args": arguments(),
        "amp_scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 3},
        "metric": 72.16,
        **more,
    }
    torch.save(content, path)


def legacy_saver(state: State, path: Path) -> None:
    """The older script's dict, in the container from before PyTorch 1.6."""
    content = {
        "model": dict(state),
        "optimizer": {},
        "lr_scheduler": {"last_epoch": 3},
        "epoch": 3,
        "args": arguments(),
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _distributed(state: State, path: Path) -> None:
    timm_saver({f"module.{k}": v for k, v in state.items()}, path)


def _half(state: State, path: Path) -> None:
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)


def _without_counters(state: State, path: Path) -> None:
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)


def _averaged(state: State, path: Path) -> None:
    timm_saver(state, path, state_dict_ema={k: torch.zeros_like(v) for k, v in state.items()})


def _parameters(state: State, path: Path) -> None:
    torch.save({k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()}, path)


def _safetensors(state: State, path: Path) -> None:
    save_file(dict(state), path, metadata={"format": "pt", "note": "text"})


GOOD: dict[str, Callable[[State, Path], None]] = {
    "timm": timm_saver,
    "legacy": legacy_saver,
    "ddp": _distributed,
    "half": _half,
    "no_counters": _without_counters,
    "ema": _averaged,
    "parameters": _parameters,
    "safetensors": _safetensors,
}


class Evil:
    """Would create a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.target}'",)


def evil_files(folder: Path) -> list[Path]:
    """Pickles that run a command, in each container; none of them may leave ``pwned`` behind."""
    evil = {"state_dict": {"conv1.weight": torch.ones(1)}, "args": Evil(folder / "pwned")}
    torch.save(evil, folder / "evil_zip.pth")
    torch.save(evil, folder / "evil_legacy.pth", _use_new_zipfile_serialization=False)
    (folder / "evil.pkl").write_bytes(pickle.dumps(evil["args"], protocol=2))
    torch.save({"state_dict": nn.Linear(2, 2)}, folder / "module.pth")
    return [folder / name for name in ("evil_zip.pth", "evil_legacy.pth", "evil.pkl", "module.pth")]


def repacked(source: Path, target: Path, compression: int, extra: Mapping[str, bytes] | None = None) -> Path:
    """A torch zip file packed again, with other entries added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        for name, data in (extra or {}).items():
            new.writestr(name, data)
    return target


def refused(path: Path, read: Callable[..., object] = load_published, **more: Any) -> str:
    """The sentence with which a file is refused, checked for what every such sentence must be."""
    with pytest.raises(CheckpointError) as caught:
        read(path, **more)
    text = str(caught.value)
    assert path.name in text and str(path.parent) not in text
    assert "\n" not in text and text.endswith(".") and "Traceback" not in text
    assert caught.value.__cause__ is None and (caught.value.__suppress_context__ or caught.value.__context__ is None)
    return text
