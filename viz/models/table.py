"""The table of contents of a torch file, read without constructing or calling anything that it names.

A torch file is a pickle (the table) and the bytes of its tensors. `TableReader` reads the pickle's opcodes and returns
what they describe as plain values and `Entry` objects, so that a file can be refused by its table: the number of
opcodes, what it calls, the declared sizes of its tensors, their keys and shapes. Whatever would cost torch's own
``weights_only`` reader unlimited memory or time is refused here: constructors that take a size (``bytearray``,
storages), calls that copy the same large value again and again.

The messages of this and the other modules that check a file leave its name out; `viz.models.reading.naming` adds it.
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from viz.errors import CheckpointError

# TD-ResNet-101 with AdamW (amsgrad) and averaged weights has 92,155 opcodes in 273 kB.
MAX_OPCODES = 200_000
MAX_COPIED = 300_000
# A name costs more than other opcodes, and occurs in a table only once.
_NAME_COST = 20
MAX_TABLE = 8 << 20
DAMAGED = "is cut off or damaged; download it again."
MORE_THAN_WEIGHTS = "holds more than tensors and plain values, or is damaged; save the bare state_dict."
TOO_MUCH_MEMORY = "asks for more memory than weights need; do not trust the file."
TABLE_TOO_LARGE = f"has a table of contents of more than {MAX_TABLE >> 20} MB; save the bare state_dict."

# What a table may name: types, and functions to be called.
_TYPES = re.compile(r"torch\.(bool|[a-z]+\d\w*|per_\w+|\w*Storage)|torch\.storage\.\w*Storage")
_CALLED = re.compile(
    r"argparse\.Namespace|collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.(set|complex)|_codecs\.encode"
    r"|torch\.(Size|device)|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
)
_REBUILT = re.compile(r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2")
_UNUSABLE = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_qtensor": "quantized",
    "_rebuild_nested_tensor": "nested",
}
_ITEM_SIZES = {
    "ComplexDouble": 16,
    **dict.fromkeys(("ComplexFloat", "Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
}
# Opcodes of later protocols, which torch's weights_only reader does not read.
_LATER = {"FRAME", "MEMOIZE", "SHORT_BINUNICODE", "STACK_GLOBAL", "BINUNICODE8", "BINBYTES8", "NEWOBJ_EX"}


@dataclass(frozen=True)
class Stored:
    """The declared memory of tensors: `key` of the file's record, `size` of it and of one `item` in bytes."""

    key: str
    size: int
    item: int


@dataclass(frozen=True)
class Entry:
    """A declared tensor; `stored` is None if it has no values."""

    stored: Stored | None
    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Other:
    """Anything but plain values and tensors; `type` is its name."""

    type: str


@dataclass(frozen=True)
class _Named:
    """A class or function by its full name."""

    name: str


class TableReader:
    """Reads the pickles in some bytes one after the other: the opcodes of torch's weights_only reader.

    `opcodes` is the cost so far; `declared` is the memory of tensors in bytes, by the key of its record.
    """

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self.opcodes = self._copied = 0
        self.declared: dict[str, int] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    @property
    def end(self) -> int:
        """Where the pickle that was read last ends."""
        return self._stream.tell()

    def read(self) -> Any:
        """The content of the next pickle.

        Raises:
            CheckpointError: damaged, too long, or naming or calling what weights do not need.
        """
        self.stack, self.marks, self.memo = [], [], {}
        try:
            return self._run()
        except CheckpointError:
            raise
        except Exception:  # damaged bytes raise many kinds
            raise CheckpointError(DAMAGED) from None

    def _spend(self, opcodes: int = 1) -> None:
        self.opcodes += opcodes
        if self.opcodes > MAX_OPCODES:
            raise CheckpointError(
                f"has a table of contents of more than {MAX_OPCODES} parts; save the bare state_dict."
            )

    def _copy(self, *values: Any) -> None:
        """Count the length of values that a call copies."""
        self._copied += sum(len(v) for v in values if isinstance(v, str | tuple | list | dict))
        if self._copied > MAX_COPIED:
            raise CheckpointError(TOO_MUCH_MEMORY)

    def _run(self) -> Any:
        argument: Any
        for opcode, argument, position in pickletools.genops(self._stream):
            if (position or 0) > MAX_TABLE:
                raise CheckpointError(TABLE_TOO_LARGE)
            self._spend()
            kind = opcode.name
            if kind in _PUSHED:
                self.stack.append(argument)
            elif kind in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif kind in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif kind in _CONSTANTS:
                self.stack.append(_CONSTANTS[kind])
            elif kind in _STEPS:
                _STEPS[kind](self)
            elif kind in ("GLOBAL", "INST", "STACK_GLOBAL"):
                self._spend(_NAME_COST)
                self.stack.append(self._named(kind, argument))
            elif kind == "STOP":
                return self.stack.pop()
            elif kind == "PROTO" and argument <= 2:
                continue
            elif kind == "PROTO" or kind in _LATER:
                raise CheckpointError(
                    "was saved with pickle protocol 3 or later, which is not read; "
                    "save it again with torch.save and its default protocol."
                )
            else:
                raise CheckpointError(MORE_THAN_WEIGHTS)
        raise ValueError("no end")

    def _named(self, kind: str, argument: Any) -> _Named:
        what = str(argument or "of an unknown kind").replace(" ", ".")
        known = any(pattern.fullmatch(what) for pattern in (_TYPES, _CALLED, _REBUILT))
        if kind != "GLOBAL" or not known:
            raise CheckpointError(
                f"holds the Python object {what[:80]}; only tensors and plain values are read, because anything "
                "else could run code; save the bare state_dict (torch.save(model.state_dict(), FILE)) and try again."
            )
        return _Named(what)

    def _tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("too few values")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _marked_tuple(self) -> None:
        items = tuple(self._pop_mark())
        self.stack.append(items)

    def _append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise CheckpointError(MORE_THAN_WEIGHTS)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._plain(key)] = value

    def _plain(self, key: Any) -> Any:
        """A key that is cheap to hash: hashing nested tuples can cost exponential time."""
        if key is not None and not isinstance(key, str | int | float):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        return key

    def _pair(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _build(self) -> None:
        """State of an object: torch keeps it only for these two; that of a tensor could change its memory."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, dict) and not (isinstance(target, Other) and target.type == "argparse.Namespace"):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        self._copy(state)

    def _call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Named) or not isinstance(arguments, tuple):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        self.stack.append(self._result(function.name, arguments))

    def _result(self, function: str, arguments: tuple[Any, ...]) -> Any:
        self._copy(*arguments)
        if _REBUILT.fullmatch(function):
            return self._tensor(function.rpartition(".")[2], arguments)
        if not _CALLED.fullmatch(function):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        if function in ("collections.OrderedDict", "collections.Counter"):
            pairs = arguments[0] if arguments else []
            return {self._plain(k): v for k, v in (pairs.items() if isinstance(pairs, dict) else pairs)}
        if function.endswith(".set"):
            for item in arguments[0] if arguments else ():
                self._plain(item)
        if function == "torch.Size":
            return tuple(arguments[0])
        if function == "torch.nn.parameter.Parameter":
            return self._entry(arguments[0])
        return Other(function)

    def _tensor(self, function: str, arguments: tuple[Any, ...]) -> Entry:
        if function in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            stored, offset, shape = arguments[:3]
            if isinstance(stored, Stored) and _whole(offset) and all(map(_whole, shape)):
                return Entry(stored, offset, tuple(shape))
        elif function in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return self._entry(arguments[0])
        elif function == "_rebuild_from_type_v2" and isinstance(arguments[0], _Named):
            return self._tensor(arguments[0].name.rpartition(".")[2], arguments[2])
        elif function == "_rebuild_meta_tensor_no_storage":
            return Entry(None, 0, tuple(arguments[1]))
        elif function in _UNUSABLE:
            raise CheckpointError(
                f"holds a tensor that is {_UNUSABLE[function]}, which no network here can use; "
                "save the bare state_dict of a plain network."
            )
        raise CheckpointError(MORE_THAN_WEIGHTS)

    def _entry(self, value: Any) -> Entry:
        if not isinstance(value, Entry):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        return value

    def _storage(self) -> None:
        mark, kind, key, _, count, *_ = self.stack.pop()
        if mark != "storage" or not isinstance(kind, _Named) or not _whole(count):
            raise CheckpointError(MORE_THAN_WEIGHTS)
        # The sizes of untyped storages are in bytes.
        item = _ITEM_SIZES.get(kind.name.rpartition(".")[2].removesuffix("Storage"), 1)
        stored = Stored(str(key), count * item, item)
        self.declared[stored.key] = max(stored.size, self.declared.get(stored.key, 0))
        self.stack.append(stored)


_PUSHED = {"BINUNICODE", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_STEPS: Mapping[str, Callable[[TableReader], None]] = {
    "EMPTY_LIST": lambda t: t.stack.append([]),
    "EMPTY_DICT": lambda t: t.stack.append({}),
    "EMPTY_SET": lambda t: t.stack.append(Other("set")),
    "MARK": TableReader._mark,
    "TUPLE": TableReader._marked_tuple,
    "TUPLE1": lambda t: t._tuple(1),
    "TUPLE2": lambda t: t._tuple(2),
    "TUPLE3": lambda t: t._tuple(3),
    "APPEND": lambda t: t._append([t.stack.pop()]),
    "APPENDS": lambda t: t._append(t._pop_mark()),
    "SETITEM": TableReader._pair,
    "SETITEMS": lambda t: t._set(t._pop_mark()),
    "BUILD": TableReader._build,
    "REDUCE": TableReader._call,
    "NEWOBJ": TableReader._call,
    "BINPERSID": TableReader._storage,
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
