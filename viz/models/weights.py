"""Selection of the tensors in a file that are the weights of the wanted network.

Checkpoints come in many wrappings: a dict around the state_dict (``state_dict``, ``model``, ``model_state_dict``, ...),
a prefix on every key (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``model.`` of Lightning), averaged
weights beside the trained ones, counters of a profiler. None of these is known here by name: every dict of the file
that holds tensors is searched, under every prefix before the network's own landmarks, and the set that fits is used.
Unused entries are reported. If two different sets fit, the file is refused, except that trained weights are preferred
to averaged ones (EMA, SWA).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from viz.errors import CheckpointError
from viz.models.table import Entry, Other

Shapes = Mapping[str, tuple[int, ...]]

MAX_TENSORS = 20_000
MAX_TEXT = 2_000
MAX_DIMENSIONS = 6
MAX_DEPTH = 5
MAX_FITTED = 8
# Added to the names of wrapped modules by torch.compile, FSDP and activation checkpointing.
_WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Counters, not weights: those of thop, and that of torch.optim.swa_utils.AveragedModel.
_COUNTERS = re.compile(r"(.*\.)?(total_ops|total_params)|n_averaged")
_AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow)($|[._])", re.I)
_ORDINARY = re.compile(r"(module\.)+")


@dataclass(frozen=True)
class Wanted:
    """The network to look for.

    Attributes:
        landmarks: keys that every such network has at its root.
        check: raises `CheckpointError` if the shapes by key are not those of such a network.
    """

    landmarks: tuple[str, ...]
    check: Callable[[Shapes], object]


@dataclass(frozen=True)
class Weights:
    """One set of weights in a file.

    Attributes:
        path: keys of the dicts that lead to it. prefix: of its keys.
        keys: the file's key for each key of the network. entries: the declared tensors by the network's key.
        unused: other keys of the same dict. notes: sentences that a user must know.
    """

    path: tuple[str, ...]
    prefix: str
    keys: Mapping[str, str] = field(repr=False)
    entries: Mapping[str, Entry] = field(repr=False)
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by the network's key."""
        return {key: entry.shape for key, entry in self.entries.items()}

    @property
    def place(self) -> str:
        """Their place in the file, in words."""
        names = [repr(part[:60]) for part in self.path]
        if self.prefix:
            names.append(f"the prefix {self.prefix[:60]!r}")
        return " / ".join(names) or "the file's own keys"

    @property
    def averaged(self) -> bool:
        """Whether their place in the file names them averaged (EMA, SWA)."""
        return any(_AVERAGED.search(part) for part in (*self.path, self.prefix))


def choose(content: Any, max_bytes: int, wanted: Wanted | None = None) -> Weights:
    """The weights in the declared content of a file.

    Args:
        content: the table, see `viz.models.table`.
        max_bytes: limit of the tensors' memory.
        wanted: None takes the largest set of tensors, whatever network it belongs to.

    Raises:
        CheckpointError: no weights, none that fit, or several that do.
    """
    tables = list(_tables(content))
    good = [(path, table) for path, table in tables if _bad_key(table) is None]
    if not good:
        raise CheckpointError(_bad_key(tables[0][1]) if tables else _no_weights(content))
    sets = [s for path, table in good for s in _sets(path, table, wanted)]
    sets.sort(key=lambda s: len(s.entries), reverse=True)
    _check_shapes(sets[0], max_bytes)
    fitting = _fitting(sets[:MAX_FITTED], wanted)
    if wanted is None:
        fitting = [s for s in fitting if len(s.entries) == len(fitting[0].entries)]
    different = [s for i, s in enumerate(fitting) if all(dict(s.entries) != dict(o.entries) for o in fitting[:i])]
    trained = [s for s in different if not s.averaged] or different
    if len(trained) > 1:
        places = " and under ".join(s.place for s in trained[:3])
        raise CheckpointError(
            f"holds {len(trained)} sets of weights that fit, under {places}; save only the one to use."
        )
    return _with_notes(trained[0], different)


def _tables(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Dicts that hold tensors, each once, with the keys that lead to them; outer ones first."""
    seen: set[int] = set()
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[tuple[str, ...], Any]] = []
        for path, table in level:
            if not isinstance(table, Mapping) or id(table) in seen:
                continue
            seen.add(id(table))
            if any(isinstance(v, Entry) for v in table.values()):
                yield path, table
            below += [((*path, k), v) for k, v in table.items() if isinstance(k, str) and isinstance(v, Mapping)]
        level = below


def _bad_key(table: Mapping[Any, Any]) -> str | None:
    """Why a dict that holds tensors is not a table of weights, in words."""
    if len(table) > MAX_TENSORS:
        return f"holds {len(table)} entries, more than any known network."
    for key in table:
        if not isinstance(key, str) or not key or len(key) > MAX_TEXT:
            return f"has a weight whose name is {kind_of(key)}, not a short text."
    return None


def _sets(path: tuple[str, ...], table: Mapping[str, Any], wanted: Wanted | None) -> Iterator[Weights]:
    """The sets of weights of one dict: one per prefix that all landmarks have, else the whole dict."""
    short: dict[str, str] = {}
    for key in table:
        plain = _WRAPPED.sub("", key)
        if plain in short:
            raise CheckpointError(f"holds the weight {short_text(plain)} twice: also as {short_text(short[plain])}.")
        short[plain] = key
    tensors = {k for k, original in short.items() if isinstance(table[original], Entry)}
    prefixes = [_common(tensors)]
    if wanted is not None:
        first = wanted.landmarks[0]
        found = [k.removesuffix(first) for k in tensors if k.endswith(first)]
        roots = [p for p in found if (not p or p.endswith(".")) and all(p + m in tensors for m in wanted.landmarks)]
        prefixes = sorted(roots, key=len, reverse=True)[:MAX_FITTED] or prefixes
    left = set(tensors)
    for prefix in prefixes:
        under = [k for k in short if k in left and k.startswith(prefix)]
        left -= set(under)
        used = {k: k.removeprefix(prefix) for k in under if not _COUNTERS.fullmatch(k.removeprefix(prefix))}
        keys = {new: short[k] for k, new in used.items()}
        unused = tuple(original for k, original in short.items() if k not in used)
        yield Weights(path, prefix, keys, {new: table[original] for new, original in keys.items()}, unused)


def _common(tensors: set[str]) -> str:
    """The prefix of DataParallel, if every key has it."""
    begins = {m[0] if (m := _ORDINARY.match(k)) else "" for k in tensors if not _COUNTERS.fullmatch(k)}
    return begins.pop() if len(begins) == 1 else ""


def _check_shapes(weights: Weights, max_bytes: int) -> None:
    """Refuse tensors that claim more than their memory, before any is loaded."""
    for key, entry in weights.entries.items():
        if entry.stored is not None:
            check_shape(key, entry.shape, entry.stored.item, entry.stored.size)
    # Many tensors may share one memory.
    check_total((math.prod(e.shape) * (e.stored.item if e.stored else 0) for e in weights.entries.values()), max_bytes)


def check_shape(key: str, shape: tuple[int, ...], item: int, stored: int) -> None:
    """Refuse a tensor of `item` bytes per value that is empty, has too many dimensions or exceeds its memory."""
    if len(shape) > MAX_DIMENSIONS or not 0 < math.prod(shape) * item <= stored:
        text = "x".join(str(n) for n in shape[: MAX_DIMENSIONS + 1])
        raise CheckpointError(f"has the weight {short_text(key)} with the impossible shape {text}.")


def check_total(sizes: Iterable[int], max_bytes: int) -> None:
    """Refuse tensors that together are too large."""
    if sum(sizes) > max_bytes:
        raise CheckpointError(f"unpacks to more than {max_bytes / 1e6:.0f} MB; do not trust the file.")


def _fitting(sets: list[Weights], wanted: Wanted | None) -> list[Weights]:
    """The sets that fit; if none does, raise why the most likely one does not."""
    if wanted is None:
        return sets
    fitting: list[Weights] = []
    problems: list[tuple[bool, CheckpointError]] = []
    for one in sets:
        try:
            wanted.check(one.shapes)
            fitting.append(one)
        except CheckpointError as error:
            problems.append((all(m in one.entries for m in wanted.landmarks), error))
    if not fitting:
        raise max(problems, key=lambda p: p[0])[1]  # the first of several, which is the largest
    return fitting


def _with_notes(chosen: Weights, different: list[Weights]) -> Weights:
    """The chosen set with its notes."""
    notes = []
    others = [s.place for s in different if s is not chosen]
    if others:
        notes.append(
            f"The file also holds averaged weights under {' and under '.join(others)}; "
            f"those under {chosen.place} are used."
        )
    elif chosen.averaged:
        notes.append(f"These are averaged weights, found under {chosen.place}.")
    taken = {k for s in different if s.path == chosen.path for k in s.keys.values()}
    unused = [k for k in chosen.unused if k not in taken]
    if unused:
        some = ", ".join(k[:60] for k in unused[:3]) + (", ..." if len(unused) > 3 else "")
        count = "1 entry" if len(unused) == 1 else f"{len(unused)} entries"
        notes.append(f"Not used from the file: {count} beside the weights ({some}).")
    return replace(chosen, notes=tuple(notes))


def _no_weights(content: Any) -> str:
    """Why there are no weights, in words."""
    inner = content
    for _ in range(MAX_DEPTH):
        if isinstance(inner, Mapping) and len(inner) == 1 and isinstance(only := next(iter(inner.values())), Mapping):
            inner = only
    if not isinstance(inner, Mapping):
        return f"holds {kind_of(inner)} instead of a table of weights."
    found = [f"{kind_of(value)} under {short_text(str(key))}" for key, value in [*inner.items()][:3]]
    return "holds no weights" + (f", but {', '.join(found)}." if found else ".")


def kind_of(value: Any) -> str:
    """A value's type in words."""
    if isinstance(value, Entry):
        return "a value of type Tensor"
    return f"a value of type {value.type if isinstance(value, Other) else type(value).__name__}"


def short_text(key: str) -> str:
    """A key for a sentence, shortened."""
    return repr(key if len(key) <= 80 else key[:77] + "...")
