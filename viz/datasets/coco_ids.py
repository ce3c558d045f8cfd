"""The ids of a COCO file, which link its entries. Ambiguous ids are reported, not guessed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from viz.datasets.builder import Builder
from viz.datasets.core import shown

Entry = dict[str, Any]
# Above this, floats no longer distinguish whole numbers.
_EXACT = 2**53


@dataclass(frozen=True)
class Category:
    """A category: its label and its superclass (``supercategory``)."""

    label: str
    kind: str


def identifier(value: object) -> str | None:
    """An id as text; 1, 1.0 (as tables with missing values write it) and "1" are equal. None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else None
    return (str(value).strip() or None) if isinstance(value, int | str) else None


def file_name(image: Entry) -> str:
    """The file name of a picture's entry; its id where it has none."""
    return str(image.get("file_name") or image.get("id"))


def categories_of(builder: Builder, entries: Iterable[Entry]) -> tuple[dict[str, Category], set[str]]:
    """Categories by id, and the ids with two names, which are reported and skipped.

    Categories of the same name are one class if they have the same superclass; otherwise it is added to their labels.
    """
    found: dict[str, dict[Category, None]] = {}
    for entry in entries:
        key = identifier(entry.get("id"))
        if key is None:
            what = f"a category has the id {shown(repr(entry.get('id')))}, which is not a whole number or text; skipped"
            builder.problem("categories", "id unreadable", what)
            continue
        label = str(entry.get("name") or entry.get("id")).strip()
        category = Category(label, str(entry.get("supercategory") or "").strip())
        found.setdefault(key, {})[category] = None
    clear: dict[str, Category] = {}
    by_label: dict[str, list[Category]] = {}
    for key, several in found.items():
        names = list(dict.fromkeys(c.label for c in several))
        if len(names) > 1:
            what = f"the id is used for {shown(' and '.join(names))}; its annotations are skipped"
            builder.problem(f"category {key}", "id used twice", what)
            continue
        clear[key] = next(iter(several)) if len(several) == 1 else Category(names[0], "")
        by_label.setdefault(names[0], []).append(clear[key])
    for label, same in by_label.items():
        if len(same) > 1:
            how = "as one class" if len(set(same)) == 1 else "separately, by supercategory"
            builder.problem(label, "class named twice", f"{len(same)} categories have this name; they are read {how}")
    for key, category in clear.items():
        if len(set(by_label[category.label])) > 1:
            label = f"{category.label} ({category.kind or 'no supercategory'})"
            clear[key] = Category(label, category.kind)
    return clear, set(found) - set(clear)


def images_of(builder: Builder, entries: Iterable[Entry]) -> tuple[dict[str, Entry], set[str]]:
    """Pictures by id in the file's order, and the ids that do not identify one picture.

    One id for two files, or two ids for one file, is a contradiction: both entries are reported and skipped.
    """
    found: dict[str, Entry] = {}
    doubtful: set[str] = set()
    by_file: dict[str, list[str]] = {}
    for entry in entries:
        name = file_name(entry)
        key = identifier(entry.get("id"))
        if key is None:
            what = f"the id {shown(repr(entry.get('id')))} is not a whole number or text; skipped"
            builder.problem(name, "id unreadable", what)
        elif key not in found:
            found[key] = entry
            by_file.setdefault(os.path.normpath(name.replace("\\", "/")), []).append(key)
        elif all(found[key].get(k) == entry.get(k) for k in ("file_name", "width", "height")):
            builder.problem(name, "listed twice", "listed twice with the same id")
        else:
            doubtful.add(key)
            what = f"its id {shown(key)} is also the id of {shown(file_name(found[key]))}; both are skipped"
            builder.problem(name, "id used twice", what)
    for keys in by_file.values():
        if len(keys) > 1:
            doubtful.update(keys)
            what = f"listed with {len(keys)} different ids; all are skipped"
            builder.problem(file_name(found[keys[0]]), "picture named twice", what)
    return {key: entry for key, entry in found.items() if key not in doubtful}, doubtful


def without_duplicates(builder: Builder, annotations: Iterable[Entry]) -> Iterator[Entry]:
    """The annotations; a repeated one is skipped, different ones of the same id are kept, and both are reported."""
    seen: dict[str, Entry] = {}
    for entry in annotations:
        key = identifier(entry.get("id"))
        first = entry if key is None else seen.setdefault(key, entry)
        if first is not entry and first == entry:
            builder.problem(f"annotation {key}", "listed twice", "listed twice; the second one is skipped")
            continue
        if first is not entry:
            builder.problem(f"annotation {key}", "id used twice", "two annotations have this id; both are used")
        yield entry
