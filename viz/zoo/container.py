"""What a weights file is, told from its first bytes, and checks of the container before anything is unpacked."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Literal

from viz.errors import CheckpointError

Container = Literal["safetensors", "torch-zip", "torch-legacy"]

# A protocol 2 pickle of torch's own magic number opens every file from before 1.6.
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
# That number, the protocol, the writer's machine, the content, the list of storages; raw storages follow.
LEGACY_PICKLES = 5
MAX_ENTRIES = 100_000
MAX_PICKLE = 8 << 20
MAX_HEADER = 32 << 20

# What the table of contents of a weights file may name. torch's own list is longer: it holds constructors such as
# bytearray, with which a file of a hundred bytes can ask for all memory there is.
_HARMLESS = re.compile(
    r"argparse\.Namespace|collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.(set|complex)|_codecs\.encode"
    r"|torch\.(Size|device|bool|[a-z]+\d\w*|per_\w+|\w*Storage)|torch\.storage\.(Typed|Untyped)Storage"
    r"|torch\._utils\._rebuild_\w+"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
)


def container_of(data: bytes, name: str) -> Container:
    """The container of a file's bytes; its name is only used in messages.

    Raises:
        CheckpointError: none of the three, with what it seems to be.
    """
    if data.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if data.startswith(LEGACY_MAGIC):
        return "torch-legacy"
    if len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= MAX_HEADER:
        return "safetensors"
    raise CheckpointError(f"{name} is not a weights file: {_guess(data)}.")


# First bytes of files that people give by mistake, and what to do about it.
_MISTAKES: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"<!doctype html", b"<html"), "it is a web page, so download the file itself through a browser"),
    ((b"version https://git-lfs",), "it is a Git LFS pointer, so fetch the file that it points to"),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"7z\xbc\xaf"), "it is an archive, so unpack it and give the file inside"),
    ((b"pk",), "it is a damaged or empty zip file, so download it again"),
    ((b"\x80",), "it is a plain Python pickle, which is never opened, so save it with torch.save or safetensors"),
    ((b"\x89hdf",), "it is an HDF5 file, and only PyTorch and safetensors files can be read"),
)


def _guess(data: bytes) -> str:
    head = data[:512]
    for starts, what in _MISTAKES:
        if head.lstrip().lower().startswith(starts):
            return what
    if head[257:262] == b"ustar":
        return "it is a tar archive, so unpack it and give the file inside"
    if min(head) >= 9:
        return "it is a text file"
    return "it is neither a safetensors nor a PyTorch file, or its start is missing"


def check_zip(data: bytes, name: str, max_bytes: int) -> None:
    """Check the table of a torch zip file before torch opens it.

    torch stores entries uncompressed, one behind the other; so a compressed entry, or entries that together are larger
    than the file, come from elsewhere.

    Raises:
        CheckpointError: truncated, no torch file, a TorchScript program, or a zip bomb.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, data, name, max_bytes)
            tables = [archive.read(e) for e in entries if e.filename.endswith(".pkl")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, RuntimeError, OSError):
        raise CheckpointError(f"{name} is cut off or damaged; download it again.") from None
    for table in tables:
        check_pickles(table, name)


def _check_entries(entries: list[zipfile.ZipInfo], data: bytes, name: str, max_bytes: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"{name} holds {len(entries)} entries; it is not a weights file.")
    paths = [e.filename for e in entries]
    inside = {p.partition("/")[2] for p in paths}
    if "constants.pkl" in inside or any(p.startswith("code/") for p in inside):
        raise CheckpointError(f"{name} is a TorchScript program, which could run code; save its state_dict instead.")
    if sum(p.rpartition("/")[2] == "data.pkl" for p in paths) != 1:
        raise CheckpointError(f"{name} is a zip file but no PyTorch checkpoint; if it is an archive, unpack it first.")
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        raise CheckpointError(f"{name} has compressed entries, as no PyTorch file has; it is not to be trusted.")
    if any(e.flag_bits & 0x1 for e in entries):
        raise CheckpointError(f"{name} is encrypted; give a file without a password.")
    total = sum(e.file_size for e in entries)
    if total > min(len(data), max_bytes) or len(set(paths)) != len(paths):
        raise CheckpointError(f"{name} has entries that overlap or exceed the file; it is not to be trusted.")
    if any(e.file_size > MAX_PICKLE for e in entries if e.filename.endswith(".pkl")):
        raise CheckpointError(f"{name} has a table of contents of more than 8 MB; it is not to be trusted.")


def check_pickles(data: bytes, name: str, count: int = 1) -> None:
    """Read, without running, the first `count` pickles of some bytes, and refuse any object that weights do not need.

    Raises:
        CheckpointError: damaged, too long, or naming such an object.
    """
    stream = io.BytesIO(data)
    try:
        for _ in range(count):
            for opcode, argument, position in pickletools.genops(stream):
                if (position or 0) > MAX_PICKLE:
                    raise CheckpointError(f"{name} has a table of contents of more than 8 MB; it is not to be trusted.")
                if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
                    what = str(argument or "of an unknown kind").replace(" ", ".")
                    if opcode.name != "GLOBAL" or not _HARMLESS.fullmatch(what):
                        raise CheckpointError(
                            f"{name} holds the Python object {what[:80]}, which could run code; "
                            "save the bare state_dict and try again."
                        )
    except CheckpointError:
        raise
    except Exception:  # pickletools raises many kinds for damaged bytes
        raise CheckpointError(f"{name} is damaged or cut off; download it again.") from None


def safetensors_metadata(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """The text entries that a safetensors header carries beside the tensors.

    Raises:
        CheckpointError: the header is cut off or no JSON table.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        if length > len(data) - 8:
            raise ValueError("cut off")
        header = json.loads(data[8 : 8 + length])
        found = header.get("__metadata__") or {}
        pairs = [(str(key), str(value)) for key, value in found.items()]
    except (ValueError, AttributeError, RecursionError):
        raise CheckpointError(f"{name} is a cut off or damaged safetensors file; download it again.") from None
    yield from pairs
