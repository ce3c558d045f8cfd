"""Weights files: the authors' own load and give the same logits; hostile ones are refused, in one sentence."""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.checkpoint_files import GOOD, arguments, evil_files, random_network, refused, repacked, timm_saver
from viz.models.networks.td_resnet import TDResNet
from viz.models.published import load_published
from viz.models.reading import read_checkpoint


@pytest.fixture(scope="module")
def source() -> TDResNet:
    return random_network(18)


@pytest.fixture
def state(source: TDResNet) -> dict[str, Tensor]:
    return dict(source.state_dict())


@pytest.fixture(autouse=True)
def _no_class_stays_allowed() -> Iterator[None]:
    yield
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("kind", GOOD)
def test_the_authors_files_load(tmp_path: Path, source: TDResNet, state: dict[str, Tensor], kind: str) -> None:
    path = tmp_path / "TD_RNet50_t9_m9_top.pth.tar"  # a name that lies
    GOOD[kind](state, path)
    network, found = load_published(path)
    assert found.name == "tdresnet18_t2_m2_joint" and found.released and found.warnings == ()
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert all(
        v.dtype in (torch.float32, torch.int64) and v.device.type == "cpu" for v in network.state_dict().values()
    )
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        wanted, got = source(x), network(x)
    if kind == "half":
        torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-2 * float(wanted.abs().max()))
    else:
        assert torch.equal(got, wanted)
    if kind == "timm":
        assert found.metadata == {"epoch": 89, "arch": "tdresnet18", "metric": 72.16, "version": 2}
    if kind == "safetensors":
        assert found.metadata["note"] == "text"


def test_reading_keeps_what_the_file_says(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "w.pth"
    GOOD["half"](state, path)
    checkpoint = read_checkpoint(str(path))
    assert checkpoint.format == "torch-zip" and checkpoint.size == path.stat().st_size and checkpoint.name == "w.pth"
    assert checkpoint.state["conv1.weight"].dtype == torch.float16
    assert {k: v.shape for k, v in checkpoint.state.items()} == {k: v.shape for k, v in state.items()}
    GOOD["legacy"](state, path)
    assert read_checkpoint(path).format == "torch-legacy"
    GOOD["safetensors"](state, path)
    assert read_checkpoint(path).format == "safetensors"


def test_only_a_prefix_of_every_key_is_stripped(tmp_path: Path) -> None:
    # DataParallel names every key so; where only some begin like that, a module of the network is called "module".
    torch.save({"module.a": torch.ones(1), "module.x.module.c": torch.ones(1)}, tmp_path / "p.pt")
    assert set(read_checkpoint(tmp_path / "p.pt").state) == {"a", "x.module.c"}
    torch.save({"module.a": torch.ones(1), "modules.b": torch.ones(1), "x.module.c": torch.ones(1)}, tmp_path / "p.pt")
    assert set(read_checkpoint(tmp_path / "p.pt").state) == {"module.a", "modules.b", "x.module.c"}
    torch.save({"_orig_mod.a": torch.ones(1), "a": torch.ones(1)}, tmp_path / "p.pt")
    assert "twice" in refused(tmp_path / "p.pt")


def test_entries_share_no_memory(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    torch.save({"a": whole, "b": whole, "c": whole[2:4], "d": whole[::2]}, tmp_path / "shared.pt")
    state = read_checkpoint(tmp_path / "shared.pt").state
    assert len({v.untyped_storage().data_ptr() for v in state.values()}) == 4
    assert state["c"].untyped_storage().nbytes() == 8 and state["d"].tolist() == [0, 2, 4, 6, 8]


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    for path in evil_files(tmp_path):
        text = refused(path)
        assert "code" in text or "pickle" in text, text
    assert "system" in refused(tmp_path / "evil_zip.pth")
    assert not (tmp_path / "pwned").exists()


def test_a_namespace_is_allowed_here_alone(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "args": arguments()}, tmp_path / "n.pth")
    assert set(read_checkpoint(tmp_path / "n.pth").state) == {"a"}
    with pytest.raises(Exception, match="Namespace"):
        torch.load(tmp_path / "n.pth", weights_only=True)


def test_many_threads_may_read(tmp_path: Path) -> None:
    timm_saver({"a": torch.ones(3)}, tmp_path / "t.pth")
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                read_checkpoint(tmp_path / "t.pth")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


NOT_FILES: list[tuple[str, bytes, str]] = [
    ("empty.pth", b"", "empty"),
    ("text.pth", b"my weights are elsewhere\n" * 30, "text file"),
    ("page.pth.tar", b"<!DOCTYPE html><html>Virus scan warning", "web page"),
    ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
    ("real.tar", b"name".ljust(257, b"\0") + b"ustar" + bytes(300), "tar"),
    ("packed.gz", b"\x1f\x8b\x08" + bytes(50), "archive"),
    ("zeros.bin", bytes(5000), "neither"),
    ("noise.bin", bytes(range(1, 256)) * 9, "neither"),
    ("short.pth", b"PK\x03\x04", "cut off"),
    ("table.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    ("one", b"\0", "neither"),
]


@pytest.mark.parametrize(("name", "data", "message"), NOT_FILES, ids=[n[0] for n in NOT_FILES])
def test_what_is_no_weights_file(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert message in refused(tmp_path / name)


def test_no_file_at_all(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "absent.pth")
    assert "folder" in refused(tmp_path)


@pytest.mark.parametrize("kind", ["timm", "legacy", "safetensors"])
def test_truncated_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut.pth"
    GOOD[kind]({"a": torch.arange(4000.0)}, path)
    data = path.read_bytes()
    for share in (0.02, 0.3, 0.7, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        text = refused(path)
        assert any(word in text for word in ("cut off", "damaged", "start is missing")), text


def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "bits.pth"
    generator = torch.Generator().manual_seed(0)
    for kind in ("timm", "legacy", "safetensors"):
        GOOD[kind]({"a": torch.arange(40.0), "b.weight": torch.ones(2, 2)}, path)
        data = path.read_bytes()
        for _ in range(60):
            broken = bytearray(data)
            for place in torch.randint(len(data), (6,), generator=generator).tolist():
                broken[place] = int(torch.randint(256, (1,), generator=generator))
            path.write_bytes(broken)
            refused(path)  # those that still open are refused as foreign


def test_zip_bombs(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pth"
    torch.save({"a": torch.zeros(1000)}, plain)
    bomb = repacked(plain, tmp_path / "bomb.pth", zipfile.ZIP_DEFLATED, {"plain/data/9": bytes(20_000_000)})
    assert bomb.stat().st_size < 100_000
    assert "compressed" in refused(bomb)
    assert "larger than" in refused(plain, max_bytes=1000)
    stored = repacked(plain, tmp_path / "stored.pth", zipfile.ZIP_STORED, {"plain/code/run.py": b"1"})
    assert "TorchScript" in refused(stored)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "not a PyTorch checkpoint" in refused(tmp_path / "photos.zip")


def test_a_tensor_larger_than_its_memory(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(200_000, 200_000)}, tmp_path / "expand.pth")
    assert "impossible shape 200000x200000" in refused(tmp_path / "expand.pth")
    views = torch.zeros(100_000)
    torch.save({str(i): views for i in range(50)}, tmp_path / "views.pth")
    assert "unpacks to more" in refused(tmp_path / "views.pth", max_bytes=2_000_000)


@pytest.mark.parametrize(
    ("module", "name"), [("builtins", "bytearray"), ("torch", "Tensor"), ("builtins", "eval"), ("torch.hub", "load")]
)
def test_constructors_are_refused_before_they_run(tmp_path: Path, module: str, name: str) -> None:
    # {"a": NAME(2**40)}: a hundred bytes that ask for a terabyte, though torch's own list allows the first.
    call = b"\x8a\x08" + struct.pack("<q", 1 << 40) + b"\x85R"
    table = b"\x80\x02}X\x01\0\0\0a" + f"c{module}\n{name}\n".encode() + call + b"s."
    with zipfile.ZipFile(tmp_path / "ask.pth", "w") as archive:
        archive.writestr("ask/data.pkl", table)
        archive.writestr("ask/version", "3\n")
    assert f"{module}.{name}" in refused(tmp_path / "ask.pth")


def _header(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


BAD_HEADERS = {
    "not_json": _header(b"{not json at all}"),
    "list_inside": _header({"a": [1]}),
    "outside": _header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"1234"),
    "negative": _header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
    "overlap": _header(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")},
        b"1234",
    ),
    "huge": _header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
    "unknown_type": _header({"a": {"dtype": "F3", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "metadata": _header({"__metadata__": ["a"], "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "long": struct.pack("<Q", 1 << 24) + b"{}",
    "deep": _header(b'{"a":' * 5000 + b"1" + b"}" * 5000),
}


@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_safetensors_with_a_bad_header(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{kind}.safetensors"
    path.write_bytes(BAD_HEADERS[kind])
    assert "damaged safetensors" in refused(path)


def _sparse() -> Tensor:
    return torch.eye(3).to_sparse()


WRONG_CONTENT: dict[str, tuple[Any, str]] = {
    "tensor": (torch.ones(3), "type Tensor"),
    "list": ([torch.ones(3)], "type list"),
    "nothing": ({}, "no weights"),
    "nothing_inside": ({"state_dict": {}}, "no weights"),
    "wrapped_list": ({"state_dict": [1]}, "'state_dict'"),
    "wrapped_none": ({"model": None}, "'model'"),
    "nested_list": ({"state_dict": {"state_dict": [torch.ones(1)]}}, "type list under 'state_dict'"),
    "number": ({"a": 1.0}, "type float"),
    "integer_key": ({3: torch.ones(1)}, "name is a value of type int"),
    "long_key": ({"k" * 10_000: torch.ones(1)}, "name"),
    "empty_tensor": ({"a": torch.ones(0, 3)}, "impossible shape 0x3"),
    "dimensions": ({"a": torch.ones(1, 1, 1, 1, 1, 1, 1, 1)}, "impossible shape"),
    "sparse": ({"a": _sparse()}, "sparse"),
    "complex": ({"a": torch.ones(2, dtype=torch.complex64)}, "complex"),
    "float8": ({"a": torch.ones(2).to(torch.float8_e4m3fn)}, "float8"),
    "meta": ({"a": torch.ones(2, device="meta")}, "meta"),
    "nan": ({"a": torch.tensor([1.0, torch.nan])}, "NaN"),
    "infinite": ({"a": torch.tensor([1.0, torch.inf]).half()}, "NaN or infinite"),
    "too_large": ({"a": torch.tensor([1e300], dtype=torch.float64)}, "NaN or infinite"),
}


@pytest.mark.parametrize("kind", WRONG_CONTENT)
def test_wrong_content_is_named(tmp_path: Path, kind: str) -> None:
    content, message = WRONG_CONTENT[kind]
    torch.save(content, tmp_path / f"{kind}.pth")
    # Without a network that is looked for: a file of another one is refused before its values are read.
    assert message in refused(tmp_path / f"{kind}.pth", read_checkpoint)


def test_a_whole_model_is_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    assert "save the bare state_dict" in refused(tmp_path / "whole.pth")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not hasattr(torch, "quantize_per_tensor"), reason="this PyTorch has no quantized tensors")
def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, tmp_path / "q.pth")
    assert "quantized" in refused(tmp_path / "q.pth")
