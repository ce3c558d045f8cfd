"""The table of contents of a torch file, walked without making or calling anything that it names.

A torch file is a pickle (the table) and the bytes of its tensors. `walk` reads the pickle's opcodes and gives what they
describe as plain values and `Entry` objects, so that a file can be refused by what it says of itself: by how many
opcodes it has, what it calls, how large it says its tensors are, how their keys and shapes read. What torch's own
``weights_only`` reader would spend memory or time on without limit is refused here: constructors that take a size
(``bytearray``, storages), calls that copy the same large value again and again.
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from viz.errors import CheckpointError

# TD-ResNet-101 with AdamW (amsgrad) and averaged weights has 92,155 opcodes in 273 kB.
MAX_OPCODES = 200_000
MAX_COPIED = 300_000
# A name costs more than other opcodes, and stands in a table once.
_NAME_COST = 20
MAX_TABLE = 8 << 20

# What a table may name: as a type, or to be called.
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
# Opcodes of later protocols, which torch's weights_only reader does not know.
_LATER = {"FRAME", "MEMOIZE", "SHORT_BINUNICODE", "STACK_GLOBAL", "BINUNICODE8", "BINBYTES8", "NEWOBJ_EX"}


@dataclass(frozen=True)
class Stored:
    """The memory of tensors as the table declares it: `key` of the file's record, `size` and `item` in bytes."""

    key: str
    size: int
    item: int


@dataclass(frozen=True)
class Entry:
    """A tensor as the table declares it; `stored` is None where it has no values."""

    stored: Stored | None
    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Other:
    """Anything that is neither a plain value nor a tensor; `type` is its name."""

    type: str


@dataclass
class Budget:
    """What the tables of one file have cost; `declared` is the memory of tensors by key, `end` where the tables end."""

    name: str
    opcodes: int = 0
    copied: int = 0
    declared: dict[str, int] = field(default_factory=dict)
    end: int = 0

    def spend(self, opcodes: int = 1) -> None:
        self.opcodes += opcodes
        if self.opcodes > MAX_OPCODES:
            raise CheckpointError(
                f"{self.name} has a table of contents of more than {MAX_OPCODES} parts; save the bare state_dict."
            )

    def copy(self, count: int) -> None:
        self.copied += count
        if self.copied > MAX_COPIED:
            raise CheckpointError(f"{self.name} asks for more memory than it can need; the file is not to be trusted.")


@dataclass(frozen=True)
class _Named:
    """A class or function by its full name."""

    name: str


def walk(data: bytes, name: str, count: int = 1, budget: Budget | None = None) -> list[Any]:
    """What the first `count` pickles of some bytes describe.

    Args:
        name: what to call the file in messages.
        budget: takes the cost and the declared memory; default a new one.

    Raises:
        CheckpointError: damaged, too long, or naming or calling what weights do not need.
    """
    budget = budget or Budget(name)
    stream = io.BytesIO(data)
    try:
        found = [_Walk(name, budget).run(stream) for _ in range(count)]
        budget.end = stream.tell()
        return found
    except CheckpointError:
        raise
    except Exception:  # damaged bytes raise many kinds
        raise CheckpointError(f"{name} is damaged or cut off; download it again.") from None


class _Walk:
    """One pickle: the stack machine of its opcodes, as far as torch's weights_only reader has them."""

    def __init__(self, name: str, budget: Budget) -> None:
        self.name, self.budget = name, budget
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        argument: Any
        for opcode, argument, position in pickletools.genops(stream):
            if (position or 0) > MAX_TABLE:
                raise CheckpointError(
                    f"{self.name} has a table of contents of more than {MAX_TABLE >> 20} MB; save the bare state_dict."
                )
            self.budget.spend()
            kind = opcode.name
            if kind in _PUSHED:
                self.stack.append(argument)
            elif kind in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif kind in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif kind in _MADE:
                self.stack.append(_MADE[kind]())
            elif kind in _STEPS:
                _STEPS[kind](self)
            elif kind in ("GLOBAL", "INST", "STACK_GLOBAL"):
                self.budget.spend(_NAME_COST)
                self.stack.append(self._named(kind, argument))
            elif kind == "STOP":
                return self.stack.pop()
            elif kind == "PROTO" and argument <= 2:
                continue
            elif kind == "PROTO" or kind in _LATER:
                raise CheckpointError(
                    f"{self.name} was saved with pickle protocol 3 or later, which is not read; "
                    "save it again with torch.save and its default protocol."
                )
            else:
                raise _more_than_weights(self.name)
        raise ValueError("no end")

    def _named(self, kind: str, argument: Any) -> _Named:
        what = str(argument or "of an unknown kind").replace(" ", ".")
        known = any(pattern.fullmatch(what) for pattern in (_TYPES, _CALLED, _REBUILT))
        if kind != "GLOBAL" or not known:
            raise CheckpointError(
                f"{self.name} holds the Python object {what[:80]}; only tensors and plain values are read, as anything "
                "else could run code: save the bare state_dict (torch.save(model.state_dict(), FILE)) and try again."
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
            raise _more_than_weights(self.name)
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise _more_than_weights(self.name)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._plain(key)] = value

    def _plain(self, key: Any) -> Any:
        """A key that costs nothing to hash: of nested tuples the cost grows without limit."""
        if key is not None and not isinstance(key, str | int | float):
            raise _more_than_weights(self.name)
        return key

    def _pair(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _build(self) -> None:
        """State of an object: kept by torch for these two alone; of a tensor it could change the memory."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, dict) and not (isinstance(target, Other) and target.type == "argparse.Namespace"):
            raise _more_than_weights(self.name)
        self.budget.copy(_length(state))

    def _call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Named) or not isinstance(arguments, tuple):
            raise _more_than_weights(self.name)
        self.stack.append(self._result(function.name, arguments))

    def _result(self, function: str, arguments: tuple[Any, ...]) -> Any:
        self.budget.copy(sum(map(_length, arguments)))
        if _REBUILT.fullmatch(function):
            return self._tensor(function.rpartition(".")[2], arguments)
        if not _CALLED.fullmatch(function):
            raise _more_than_weights(self.name)
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
                f"{self.name} holds a tensor that is {_UNUSABLE[function]}, which no network here can use; "
                "save the bare state_dict of a plain network."
            )
        raise _more_than_weights(self.name)

    def _entry(self, value: Any) -> Entry:
        if not isinstance(value, Entry):
            raise _more_than_weights(self.name)
        return value

    def _storage(self) -> None:
        mark, kind, key, _, count, *_ = self.stack.pop()
        if mark != "storage" or not isinstance(kind, _Named) or not _whole(count):
            raise _more_than_weights(self.name)
        item = _item_size(kind.name)
        stored = Stored(str(key), count * item, item)
        self.budget.declared[stored.key] = max(stored.size, self.budget.declared.get(stored.key, 0))
        self.stack.append(stored)


_PUSHED = {
    *("BINUNICODE", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
}
_MADE: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Other("set"),
}
_STEPS: Mapping[str, Callable[[_Walk], None]] = {
    "MARK": _Walk._mark,
    "TUPLE": _Walk._marked_tuple,
    "TUPLE1": lambda w: w._tuple(1),
    "TUPLE2": lambda w: w._tuple(2),
    "TUPLE3": lambda w: w._tuple(3),
    "APPEND": lambda w: w._append([w.stack.pop()]),
    "APPENDS": lambda w: w._append(w._pop_mark()),
    "SETITEM": _Walk._pair,
    "SETITEMS": lambda w: w._set(w._pop_mark()),
    "BUILD": _Walk._build,
    "REDUCE": _Walk._call,
    "NEWOBJ": _Walk._call,
    "BINPERSID": _Walk._storage,
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | tuple | list | dict) else 0


def _item_size(storage: str) -> int:
    """Bytes of one item of a storage class, by its full name; of the untyped ones the sizes are in bytes."""
    return _ITEM_SIZES.get(storage.rpartition(".")[2].removesuffix("Storage"), 1)


def _more_than_weights(name: str) -> CheckpointError:
    return CheckpointError(f"{name} holds more than tensors and plain values, or is damaged; save the bare state_dict.")
