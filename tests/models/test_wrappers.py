"""Checkpoints in ordinary wrappings give the network inside; what is ambiguous is refused; refusing is cheap."""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.checkpoint_files import random_network, refused
from viz.errors import CheckpointError
from viz.models import container, layout, table
from viz.models.catalogue import Catalogue
from viz.models.networks import td_resnet
from viz.models.networks.td_resnet import STAGE_WIDTHS, TDResNet
from viz.models.published import load_published, load_published_model

State = dict[str, Tensor]
X = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64)


def _set_widths(patch: pytest.MonkeyPatch, widths: tuple[int, ...]) -> None:
    for module in (layout, td_resnet):
        patch.setattr(module, "STAGE_WIDTHS", widths)


@pytest.fixture(autouse=True, scope="module")
def _narrow() -> Iterator[None]:
    """Wrappings do not depend on how wide a network is: files of 4 MB instead of 50."""
    with pytest.MonkeyPatch.context() as patch:
        _set_widths(patch, (64, 64, 96, 128))
        yield


@pytest.fixture(scope="module")
def source() -> TDResNet:
    return random_network(18)


@pytest.fixture(scope="module")
def wanted(source: TDResNet) -> Tensor:
    with torch.inference_mode():
        return source(X)


@pytest.fixture
def state(source: TDResNet) -> State:
    return dict(source.state_dict())


def prefixed(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items()}


def under(key: str, state: State) -> dict[str, Any]:
    """The general checkpoint of PyTorch's tutorial."""
    return {"epoch": 5, key: state, "optimizer_state_dict": {}, "loss": 0.1}


def with_counters(state: State) -> State:
    """What thop leaves in a network: two counters on every module."""
    modules = sorted({k.rpartition(".")[0] for k in state})
    counters = {f"{m}.{c}": torch.zeros(1, dtype=torch.float64) for m in modules for c in ("total_ops", "total_params")}
    return {**state, "total_ops": torch.zeros(1), **counters}


WRAPPED: dict[str, Callable[[State], Any]] = {
    **{
        key: partial(under, key)
        for key in ("model_state_dict", "model_state", "net", "network", "weights", "params", "state", "module")
    },
    **{
        prefix: partial(prefixed, prefix=prefix)
        for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.")
    },
    "nested": lambda s: {"model": {"state_dict": s}, "epoch": 1},
    "nested twice": lambda s: {"checkpoint": {"model": {"state_dict": prefixed(s, "module.")}}},
    "compiled parts": lambda s: {k.replace("layer1.", "layer1._orig_mod.", 1): v for k, v in s.items()},
    "ordered": OrderedDict,
    "lightning": lambda s: {
        "state_dict": {**prefixed(s, "model."), "criterion.weight": torch.ones(1000)},
        "pytorch-lightning_version": "2.5.0",
        "hyper_parameters": {"lr": 0.1},
        "callbacks": {},
    },
    "thop": with_counters,
    "thop and DataParallel": lambda s: prefixed(with_counters(s), "module."),
    "SWA": lambda s: {"n_averaged": torch.tensor(7), **prefixed(s, "module.")},
    "no counters": lambda s: {"model": {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")}},
    "float counters": lambda s: {
        k: v.double().mul(1e300).mul(1e300) if k.endswith("num_batches_tracked") else v for k, v in s.items()
    },
    "values beside the weights": lambda s: {**s, "epoch": 3, "best": 0.7, "args": argparse.Namespace(lr=0.1)},
    "twice the same": lambda s: {"state_dict": s, "model": dict(s)},
    "optimizer": lambda s: {
        "net": s,
        "optimizer": {"state": {i: {"momentum_buffer": torch.ones(2)} for i in range(3)}, "param_groups": [{}]},
    },
    "another network beside it": lambda s: {"generator": {"0.weight": torch.ones(900, 9)}, "classifier": s},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", WRAPPED)
def test_ordinary_wrappings_load(tmp_path: Path, state: State, wanted: Tensor, kind: str, legacy: bool) -> None:
    torch.save(WRAPPED[kind](state), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    network, found = load_published(tmp_path / "w.pth")
    with torch.inference_mode():
        assert torch.equal(network(X), wanted)
    assert found.released and not found.warnings


def test_a_prefix_in_safetensors_is_found(tmp_path: Path, state: State, wanted: Tensor) -> None:
    save_file({k: v.contiguous() for k, v in prefixed(state, "module._orig_mod.").items()}, tmp_path / "w.safetensors")
    with torch.inference_mode():
        assert torch.equal(load_published(tmp_path / "w.safetensors")[0](X), wanted)


AVERAGED = ("state_dict_ema", "model_ema", "params_ema", "ema_state_dict", "ema", "swa_model", "averaged")


@pytest.mark.parametrize("key", AVERAGED)
def test_trained_weights_come_before_averaged_ones_and_the_card_says_so(
    tmp_path: Path, state: State, wanted: Tensor, key: str
) -> None:
    other = {k: v * 0.5 if v.is_floating_point() else v for k, v in state.items()}
    torch.save({key: other, "state_dict": state}, tmp_path / "w.pth")
    card, network = load_published_model(tmp_path / "w.pth")
    with torch.inference_mode():
        assert torch.equal(network(X), wanted)
    assert any(f"averaged weights under '{key}'" in n and "'state_dict' are used" in n for n in card.notes)
    torch.save({key: state}, tmp_path / "alone.pth")
    card, network = load_published_model(tmp_path / "alone.pth")
    with torch.inference_mode():
        assert torch.equal(network(X), wanted)
    assert any("These are averaged weights" in n and key in n for n in card.notes)


@pytest.mark.parametrize(
    "both",
    [
        lambda a, b: {"model": a, "state_dict": b},
        lambda a, b: {"student": a, "teacher": b},
        lambda a, b: {**prefixed(a, "encoder_q."), **prefixed(b, "encoder_k.")},
        lambda a, b: {**a, **prefixed(b, "module.")},
        lambda a, b: {"ema": a, "swa": b},
    ],
)
def test_two_sets_that_fit_are_refused(tmp_path: Path, state: State, both: Callable[[State, State], Any]) -> None:
    other = {k: v * 0.5 if v.is_floating_point() else v for k, v in state.items()}
    torch.save(both(state, other), tmp_path / "w.pth")
    text = refused(tmp_path / "w.pth")
    assert "2 sets of weights that fit" in text and "save only the one to use" in text


def test_what_is_not_used_is_told(tmp_path: Path, state: State) -> None:
    torch.save({**prefixed(state, "model."), "criterion.weight": torch.ones(3)}, tmp_path / "w.pth")
    card, _ = load_published_model(tmp_path / "w.pth")
    assert "Not used from the file: 1 entry beside the weights (criterion.weight)." in card.notes
    torch.save(state, tmp_path / "plain.pth")
    card, _ = load_published_model(tmp_path / "plain.pth")
    assert not any("file" in n and "used" in n for n in card.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")},
            "looks like a ResNet, but it lacks the clas",
        ),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("layer4.")}, "it lacks layer4"),
        (lambda s: {**s, "head.weight": torch.ones(2)}, "1 unexpected (head.weight)"),
        (lambda s: {k: v for k, v in s.items() if k != "bn1.weight"}, "1 missing (bn1.weight)"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_reason_is_true_under_a_prefix_too(
    tmp_path: Path, state: State, change: Callable[[State], State], message: str, prefix: str
) -> None:
    torch.save({"model_state_dict": prefixed(change(state), prefix)}, tmp_path / "w.pth")
    text = refused(tmp_path / "w.pth")
    assert message in text and "another backbone" not in text


def test_a_later_pickle_protocol_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth", pickle_protocol=4)
    assert "protocol 3 or later" in refused(tmp_path / "w.pth")


# --- what refusing costs

_FULL = table.MAX_TABLE - 100
_ORDERED = b"](ccollections\nOrderedDict\nq\0)R"
_TEXT = b"c_codecs\nencode\nq\0X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\1X\6\0\0\0latin1\x86q\2R"


def _tables() -> dict[str, bytes]:
    """Tables of at most 8 MB that ask for much more."""
    return {
        "none": b"](" + b"N" * _FULL + b"e.",
        "lists": b"](" + b"]" * _FULL + b"e.",
        "sets": b"](" + b"\x8f" * _FULL + b"e.",
        "marks": b"(" * _FULL + b".",
        "tuples": b")" + b"\x85" * _FULL + b".",
        "texts": b"](" + b"X\1\0\0\0a" * (_FULL // 6) + b"e.",
        "names": b"](" + b"ctorch\nSize\n" * (_FULL // 12) + b"e.",
        "calls": _ORDERED + b"h\0)R" * (_FULL // 5) + b"e.",
        "copies of a text": b"](" + _TEXT + b"h\0h\2R" * 60_000 + b"e.",
        "copies of a list": b"](](" + b"N" * 50_000 + b"e\x85q\0cbuiltins\nset\nq\1" + b"h\1h\0R" * 20_000 + b"e.",
        "hash of nested tuples": b")q\0" + b"0h\0h\0\x86q\0" * 60 + b"0cbuiltins\nset\n](h\0e\x85R.",
        "nested keys": b"})q\0" + b"0h\0h\0\x86q\0" * 60 + b"Ns.",
        "storage": b"}X\1\0\0\0actorch\nFloatStorage\n\x8a\5" + struct.pack("<q", 1 << 33)[:5] + b"\x85Rs.",
    }


def _write(path: Path, kind: str, tables: Mapping[str, bytes]) -> None:
    if kind == "safetensors":
        text = b'{"a":[' + b"[]," * (10 << 20) + b"1]}"
        path.write_bytes(struct.pack("<Q", len(text)) + text)
    elif kind == "gigabytes":
        with path.open("wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate((1 << 30) - 10)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            if kind == "entries":
                for i in range(60_000):
                    archive.writestr(f"x/data/{i}", b"")
            archive.writestr("x/data.pkl", b"\x80\2" + tables.get(kind, b"}."))


def _write_foreign(path: Path) -> None:
    """A large file of another network."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [150_000_000], "data_offsets": [0, 600_000_000]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 600_000_000)


KINDS = (*_tables(), "safetensors", "entries", "gigabytes")


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cost]:
    folder = tmp_path_factory.mktemp("asking")
    paths, tables = [folder / f"{i}-asks.pth" for i, _ in enumerate(KINDS)], _tables()
    for path, kind in zip(paths, KINDS, strict=True):
        _write(path, kind, tables)
    foreign = folder / "large.safetensors"
    _write_foreign(foreign)
    return dict(zip((*KINDS, "foreign"), _costs([*paths, foreign]), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_refusing_costs_little(costs: dict[str, Cost], kind: str) -> None:
    seconds, megabytes, text = costs[kind]
    assert "LOADED" not in text and text.startswith(f"{KINDS.index(kind)}-asks.pth ")
    # Without its limits each of these took 1 to 15 s, 150 MB to all memory there was. The bounds leave room for a
    # slow machine.
    assert seconds < 2.5 and megabytes < 90, (seconds, megabytes, text)


# CPU seconds, growth in MB and the sentence of reading a file.
Cost = tuple[float, float, str]
_COST = """
import json, os, sys, time, torch
from viz.errors import CheckpointError
from viz.models.published import load_published
def peak(): return [int(l.split()[1]) / 1e3 for l in open('/proc/self/status') if l.startswith('VmHWM')][0]
for path in sys.argv[1:]:
    if child := os.fork():  # each in a process of its own, which need not import torch again
        assert os.waitpid(child, 0)[1] == 0, path
        continue
    open('/proc/self/clear_refs', 'w').write('5')
    before, start = peak(), time.process_time()
    try:
        load_published(path)
        text = 'LOADED'
    except CheckpointError as error:
        text = str(error)
    print(json.dumps([time.process_time() - start, peak() - before, text]), flush=True)
    os._exit(0)
"""


def _costs(paths: Sequence[Path]) -> list[Cost]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux to measure memory")
    done = subprocess.run(
        [sys.executable, "-c", _COST, *map(str, paths)], capture_output=True, text=True, timeout=600, check=True
    )
    made = [json.loads(line) for line in done.stdout.splitlines()]
    return [(float(seconds), float(megabytes), str(text)) for seconds, megabytes, text in made]


def test_a_large_foreign_file_is_refused_unread(costs: dict[str, Cost]) -> None:
    seconds, megabytes, text = costs["foreign"]
    assert "not a TD-ResNet" in text and seconds < 1 and megabytes < 50


def test_a_full_training_checkpoint_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, their average and three tensors of optimizer state for each: far below the limits."""
    _set_widths(monkeypatch, STAGE_WIDTHS)
    state = random_network(18).state_dict()
    parameters = [v for k, v in state.items() if v.is_floating_point()]
    kinds = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    optimizer = {
        i: {"step": torch.ones(()), **{k: torch.ones_like(v) for k in kinds}} for i, v in enumerate(parameters)
    }
    content = {
        "state_dict": state,
        "state_dict_ema": {k: v.clone() * 2 for k, v in state.items()},
        "optimizer": {"state": optimizer, "param_groups": [{"params": list(range(len(parameters)))}]},
    }
    torch.save(content, tmp_path / "full.pth")
    load_published(tmp_path / "full.pth")
    with zipfile.ZipFile(tmp_path / "full.pth") as archive:
        reader = table.TableReader(archive.read("full/data.pkl"))
        reader.read()
        assert reader.opcodes < table.MAX_OPCODES / 4 and len(archive.infolist()) < container.MAX_ENTRIES / 4


def test_memory_that_a_record_does_not_have_is_not_read(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(4.0)}, tmp_path / "small.pth")
    with (
        zipfile.ZipFile(tmp_path / "small.pth") as old,
        zipfile.ZipFile(tmp_path / "more.pth", "w") as new,
    ):
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                more = b"J" + struct.pack("<i", 400_000)
                assert data.count(b"K\x04") == 2
                data = data.replace(b"K\x04", more)
            new.writestr(entry.filename, data)
    assert "cut off or damaged" in refused(tmp_path / "more.pth")


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path)
    whole = torch.load

    def later(*args: Any, **more: Any) -> Any:
        content = whole(*args, **more)
        with path.open("ab") as file:
            file.write(b"more")
        return content

    monkeypatch.setattr(torch, "load", later)
    assert "changed while it was read" in refused(path)


# --- names


def test_a_folder_of_models_with_names_that_are_no_text(tmp_path: Path, state: State) -> None:
    first = tmp_path / "caf\udce9.pth"
    try:
        torch.save(state, tmp_path / "plain.pth")
        first.write_bytes((tmp_path / "plain.pth").read_bytes())
        (tmp_path / "caf\udcea.pth").write_bytes(b"PK\x03\x04")
    except (OSError, UnicodeError):
        pytest.skip("this disk has no such names")
    (tmp_path / "._plain.pth").write_bytes(b"\0\5\x16\7")
    (tmp_path / ".pth").write_bytes(b"\0")
    catalogue = Catalogue(tmp_path)
    names = list(catalogue.files)
    assert len(names) == 3 and "plain" in names and not any(n.startswith(".") for n in names)
    json.dumps(names, ensure_ascii=False).encode()
    card, _ = catalogue.build("caf\ufffd")
    json.dumps(card.as_json(), ensure_ascii=False).encode()
    with pytest.raises(CheckpointError) as caught:
        catalogue.build(tmp_path / "caf\udcea.pth")
    str(caught.value).encode()
    for command in (["models", "--models", str(tmp_path)], ["models", "--json", "--models", str(tmp_path)]):
        done = subprocess.run([sys.executable, "-m", "viz", *command], capture_output=True, timeout=120, check=False)
        assert done.returncode == 0 and not done.stderr and b"caf" in done.stdout
        done.stdout.decode()
