"""The container of a weights file, recognised by its first bytes, and its checks before anything is unpacked.

Only the start of a file and its tables are read here, so the cost of a refused file does not grow with its size.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from viz.errors import CheckpointError
from viz.models.table import DAMAGED, MAX_TABLE, TABLE_TOO_LARGE, Entry, Stored, TableReader

Container = Literal["safetensors", "torch-zip", "torch-legacy"]

# Every file from before torch 1.6 starts with a protocol 2 pickle of torch's magic number.
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
# The magic number, the protocol, the writer's machine, the content, the list of storages; raw storages follow.
LEGACY_PICKLES, LEGACY_CONTENT = 5, 3
MAX_ENTRIES = 20_000
MAX_DIRECTORY = 2 << 20
MAX_HEADER = 4 << 20
# Brackets, braces and commas of a safetensors header: fourteen per tensor of four dimensions.
MAX_MARKS = 300_000
_ITEM_SIZE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


@dataclass(frozen=True)
class Declared:
    """The declared content of a weights file, before a tensor is read.

    Attributes:
        container: of the file. content: as `TableReader` returns it; of a safetensors file its tensors.
        metadata: the text entries of a safetensors header.
    """

    container: Container
    content: Any
    metadata: dict[str, str]


def declared(file: BinaryIO, size: int, max_bytes: int) -> Declared:
    """The declared content of an open file of `size` bytes.

    Raises:
        CheckpointError: not a weights file, damaged, or asking for more than it can need.
    """
    container = container_of(file.read(512))
    if container == "safetensors":
        return Declared(container, *_safetensors_header(file, size))
    if container == "torch-zip":
        table, records = _zip_table(file, size, max_bytes)
        reader = TableReader(table)
        content = reader.read()
        complete = all(count <= records.get(key, 0) for key, count in reader.declared.items())
    else:
        file.seek(0)
        reader = TableReader(file.read(MAX_TABLE + 1))
        content = [reader.read() for _ in range(LEGACY_PICKLES)][LEGACY_CONTENT]
        # The memory of each tensor follows the tables, with its length before it.
        complete = reader.end + sum(8 + count for count in reader.declared.values()) <= size
    if not complete:
        raise CheckpointError(DAMAGED)
    return Declared(container, content, {})


def container_of(head: bytes) -> Container:
    """The container of a file with these first bytes.

    Raises:
        CheckpointError: none of the three; the message says what it seems to be.
    """
    if head.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if head.startswith(LEGACY_MAGIC):
        return "torch-legacy"
    # A longer header is refused when it is read.
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100 << 20:
        return "safetensors"
    raise CheckpointError(f"is not a weights file: {_guess(head)}.")


# First bytes of files that are given by mistake, and what to do.
_MISTAKES: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"<!doctype html", b"<html"), "it is a web page; download the file itself in a browser"),
    ((b"version https://git-lfs",), "it is a Git LFS pointer; fetch the file that it points to"),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf"), "it is an archive; unpack it and give the file inside"),
    ((b"pk",), "it is a damaged or empty zip file; download it again"),
    ((b"\x80",), "it is a plain Python pickle, which is never opened; save it with torch.save or safetensors"),
    ((b"\x89hdf",), "it is an HDF5 file, and only PyTorch and safetensors files can be read"),
)


def _guess(head: bytes) -> str:
    for starts, what in _MISTAKES:
        if head.lstrip().lower().startswith(starts):
            return what
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it and give the file inside"
    if min(head) >= 9:
        return "it is a text file"
    return "it is neither a safetensors nor a PyTorch file, or its start is missing"


class _Bounded:
    """A file for `zipfile`, which would read a directory of any declared size at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count if 0 <= count <= MAX_DIRECTORY else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise CheckpointError("has a directory of too many entries; it is not a weights file.")
        return data


def _zip_table(file: BinaryIO, size: int, max_bytes: int) -> tuple[bytes, dict[str, int]]:
    """The pickle of a torch zip file, and the sizes of its tensors' records by key, from its directory alone.

    torch stores entries uncompressed and one after the other, so it wrote no file with compressed entries, or with
    entries that together are larger than the file.

    Raises:
        CheckpointError: truncated, not from torch, a TorchScript program, or a zip bomb.
    """
    try:
        bounded: Any = _Bounded(file)
        with zipfile.ZipFile(bounded) as archive:
            entries = archive.infolist()
            table = _checked_entries(entries, size, max_bytes)
            with archive.open(table) as stream:
                data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, RuntimeError, OSError):
        raise CheckpointError(DAMAGED) from None
    root = table.filename.removesuffix("data.pkl") + "data/"
    return data, {e.filename.removeprefix(root): e.file_size for e in entries if e.filename.startswith(root)}


def _checked_entries(entries: list[zipfile.ZipInfo], size: int, max_bytes: int) -> zipfile.ZipInfo:
    """The entry of the table."""
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"holds {len(entries)} entries; it is not a weights file.")
    paths = [e.filename for e in entries]
    inside = {p.partition("/")[2] for p in paths}
    if "constants.pkl" in inside or any(p.startswith("code/") for p in inside):
        raise CheckpointError("is a TorchScript program, which could run code; save its state_dict instead.")
    tables = [e for e in entries if e.filename.rpartition("/")[2] == "data.pkl"]
    if len(tables) != 1:
        raise CheckpointError("is a zip file but not a PyTorch checkpoint; if it is an archive, unpack it first.")
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        raise CheckpointError("has compressed entries, unlike any PyTorch file; do not trust the file.")
    if any(e.flag_bits & 0x1 for e in entries):
        raise CheckpointError("is encrypted; give a file without a password.")
    total = sum(e.file_size for e in entries)
    if total > min(size, max_bytes) or len(set(paths)) != len(paths):
        raise CheckpointError("has entries that overlap or exceed the file; do not trust the file.")
    if any(e.file_size > MAX_TABLE for e in entries if e.filename.endswith(".pkl")):
        raise CheckpointError(TABLE_TOO_LARGE)
    return tables[0]


def _safetensors_header(file: BinaryIO, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors that a safetensors header declares, by key, and its text entries.

    Raises:
        CheckpointError: the header is cut off, malformed or too large, or does not fit the file.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    damaged = CheckpointError("is a cut off or damaged safetensors file; download it again.")
    if length > size - 8:
        raise damaged
    if length > MAX_HEADER:
        raise CheckpointError(f"has a header of more than {MAX_HEADER >> 20} MB; no weights file needs that.")
    text = file.read(length)
    if sum(map(text.count, (b"{", b"[", b","))) > MAX_MARKS:
        raise CheckpointError("has a header of more parts than weights need; do not trust the file.")
    try:
        header = json.loads(text)
        metadata = {str(k): str(v) for k, v in (header.pop("__metadata__", None) or {}).items()}
        entries = {key: _entry(key, value) for key, value in header.items()}
        if sum(e.stored.size for e in entries.values() if e.stored) > size - 8 - length:
            raise ValueError("more than the file")
    except (ValueError, AttributeError, RecursionError, TypeError, KeyError, OverflowError):
        raise damaged from None
    return entries, metadata


def _entry(key: str, value: Any) -> Entry:
    shape, (start, end) = value["shape"], value["data_offsets"]
    if any(type(n) is not int or n < 0 for n in (*shape, start, end)):
        raise ValueError("no shape")
    if len(shape) > 100 or math.prod(shape) * _ITEM_SIZE[value["dtype"]] != end - start:
        raise ValueError("not its bytes")
    return Entry(Stored(key, end - start, _ITEM_SIZE[value["dtype"]]), 0, tuple(shape))
