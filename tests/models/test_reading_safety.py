"""Two walls stand between a weights file and the machine: the check of the container, and ``weights_only``.

Either must hold alone. Here the first one is taken away.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from tests.checkpoint_files import Evil, evil_files, refused
from viz.errors import CheckpointError
from viz.models import reading
from viz.models.container import Declared, declared
from viz.models.reading import read_checkpoint
from viz.models.table import Entry, Stored


@pytest.fixture
def open_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the container says that every file holds one small tensor."""
    content = {"a": Entry(Stored("0", 4, 4), 0, (1,))}
    monkeypatch.setattr(reading, "declared", lambda *arguments: Declared("torch-zip", content, {}))


def test_a_file_that_passes_the_first_check_cannot_run_code(open_gate: None, tmp_path: Path) -> None:
    files = [p for p in evil_files(tmp_path) if p.name.startswith("evil_")]
    assert [p.name for p in files] == ["evil_zip.pth", "evil_legacy.pth"]
    for path in files:
        with pytest.raises(CheckpointError, match="more than tensors and plain values"):
            read_checkpoint(path)
        assert not (tmp_path / "pwned").exists(), path.name


def trust(path: Path) -> None:
    """What nothing but these tests does: read a file without the check, to show that it would run code."""
    torch.load(path, weights_only=False)


def test_these_files_would_run_code_elsewhere(tmp_path: Path) -> None:
    """The files are what they claim to be: torch itself, told to trust them, creates the file."""
    for path in evil_files(tmp_path)[:2]:
        trust(path)
        assert (tmp_path / "pwned").exists(), path.name
        (tmp_path / "pwned").unlink()


def nested(path: Path) -> Path:
    """A table that names a function of torch alone, which loads the bytes beside it without any check."""
    inner = io.BytesIO()
    torch.save(Evil(path.parent / "pwned"), inner, _use_new_zipfile_serialization=False)
    held = pickle.dumps(inner.getvalue(), protocol=2)  # bytes, as protocol 2 writes them
    body = held[2:-1]  # without the protocol's own first and last sign
    table = b"\x80\x02}X\x01\0\0\0a" + b"ctorch.storage\n_load_from_bytes\n" + body + b"\x85Rs."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nested/data.pkl", table)
        archive.writestr("nested/version", "3\n")
    return path


def test_torchs_own_loader_inside_a_table_runs_nothing(open_gate: None, tmp_path: Path) -> None:
    path = nested(tmp_path / "nested.pth")
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not (tmp_path / "pwned").exists()
    trust(path)
    assert (tmp_path / "pwned").exists()


def test_the_container_check_refuses_it_as_well(tmp_path: Path) -> None:
    path = nested(tmp_path / "nested.pth")
    with path.open("rb") as file, pytest.raises(CheckpointError, match=r"torch\.storage\._load_from_bytes"):
        declared(file, path.stat().st_size, 1 << 30)
    assert "could run code" in refused(path)
    assert not (tmp_path / "pwned").exists()
