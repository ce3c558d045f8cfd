"""The identifiers of a COCO file: what belongs to which picture and category, and what does not say so clearly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from viz.datasets.builder import Builder
from viz.datasets.files import shown

Entry = dict[str, Any]
# Above this a float no longer tells whole numbers apart.
_EXACT = 2**53


@dataclass(frozen=True)
class Category:
    """A category: its label, and its wider class (``supercategory``)."""

    label: str
    kind: str


def identifier(value: object) -> str | None:
    """An identifier as text: 1, 1.0 (as tables with gaps write it) and "1" are one; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else None
    return (str(value).strip() or None) if isinstance(value, int | str) else None


def categories_of(builder: Builder, entries: Iterable[Entry]) -> tuple[dict[str, Category], set[str]]:
    """Categories by identifier, and the identifiers that stand for two names, which are problems and left out.

    Two of one name are one class where their wider class is the same, else the wider class is added to the labels.
    """
    found: dict[str, list[Category]] = {}
    for entry in entries:
        key = identifier(entry.get("id"))
        if key is None:
            message = f"A category's id {shown(repr(entry.get('id')))} is no whole number or text; it is left out."
            builder.problem("categories", "id unreadable", message)
            continue
        label = str(entry.get("name") or entry.get("id")).strip()
        category = Category(label, str(entry.get("supercategory") or "").strip())
        if category not in found.setdefault(key, []):
            found[key].append(category)
    one: dict[str, Category] = {}
    for key, several in found.items():
        names = list(dict.fromkeys(c.label for c in several))
        if len(names) == 1:
            one[key] = several[0] if len(several) == 1 else Category(names[0], "")
            continue
        message = f"The category id {shown(key)} stands for {shown(' and '.join(names))}; what has it is left out."
        builder.problem(f"category {key}", "id used twice", message)
    kinds: dict[str, set[str]] = {}
    for category in one.values():
        kinds.setdefault(category.label, set()).add(category.kind)
    for label, count in Counter(c.label for c in one.values()).items():
        if count > 1:
            what = "as one class" if len(kinds[label]) == 1 else "apart, by supercategory"
            message = f"{count} categories are named {shown(label)}; they are read {what}."
            builder.problem(label, "class named twice", message)
    several_kinds = {label for label, there in kinds.items() if len(there) > 1}
    named = {
        key: Category(f"{c.label} ({c.kind or 'no supercategory'})", c.kind) if c.label in several_kinds else c
        for key, c in one.items()
    }
    return named, set(found) - set(one)


def images_of(builder: Builder, entries: Iterable[Entry]) -> tuple[dict[str, Entry], set[str]]:
    """Pictures by identifier in the file's order, and the identifiers that do not name one picture.

    One identifier for two files, or two identifiers for one file, say two things: both are left out, as problems.
    """
    found: dict[str, Entry] = {}
    doubtful: set[str] = set()
    for entry in entries:
        name = str(entry.get("file_name") or entry.get("id"))
        key = identifier(entry.get("id"))
        if key is None:
            message = (
                f"{shown(name)} has the id {shown(repr(entry.get('id')))}, which is no whole number or text; it is"
            )
            builder.problem(name, "id unreadable", f"{message} left out.")
        elif key not in found:
            found[key] = entry
        elif _same(found[key], entry):
            builder.problem(name, "listed twice", f"{shown(name)} is listed twice with the same id.")
        else:
            doubtful.add(key)
            message = f"The id {shown(key)} is that of {_name(found[key])} and of {shown(name)}; both are left out."
            builder.problem(name, "id used twice", message)
    keys: dict[str, list[str]] = {}
    for key, entry in found.items():
        keys.setdefault(_file(entry), []).append(key)
    for several in keys.values():
        if len(several) > 1:
            doubtful |= set(several)
            name = _name(found[several[0]])
            message = f"{len(several)} pictures of the file are named {name}; which is meant is unknown: left out."
            builder.problem(name, "picture named twice", message)
    return {key: entry for key, entry in found.items() if key not in doubtful}, doubtful


def once_each(builder: Builder, annotations: Iterable[Entry]) -> Iterator[Entry]:
    """The annotations; one that comes twice is left out, two of one id are both kept, and both are problems."""
    seen: dict[str, Entry] = {}
    for entry in annotations:
        key = identifier(entry.get("id"))
        first = entry if key is None else seen.setdefault(key, entry)
        identity = f"annotation {key}"
        if first is not entry and first == entry:
            builder.problem(identity, "listed twice", f"{shown(identity)} is listed twice; the second is left out.")
            continue
        if first is not entry:
            builder.problem(identity, "id used twice", f"{shown(identity)} is the id of two annotations; both count.")
        yield entry


def _same(one: Entry, other: Entry) -> bool:
    return all(one.get(k) == other.get(k) for k in ("file_name", "width", "height"))


def _name(entry: Entry) -> str:
    return shown(str(entry.get("file_name") or entry.get("id")))


def _file(entry: Entry) -> str:
    return os.path.normpath(str(entry.get("file_name") or entry.get("id")).replace("\\", "/"))
