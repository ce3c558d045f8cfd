"""Results as JSON files: typed records, written as the same bytes for the same values, and checked when they are read.

A record is a frozen dataclass; pydantic checks its fields and knows their names. An entry that older files lack has a
default, and is not written while it has that value: files of version 1 say no version.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from viz.errors import VizError
from viz.files import as_text_bytes

R = TypeVar("R")
# A number that may be missing: NaN here, None in the file.
Number = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class Record:
    """What all parts of a result have in common: unknown entries and numbers that are not finite are refused."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not finite is None where the record allows it."""
        found: dict[str, Any] = _adapter(type(self)).dump_python(self, exclude_defaults=True)
        return found


def to_bytes(record: Record) -> bytes:
    """A record as JSON.

    Raises:
        VizError: a number in it is not finite where there must be one.
    """
    try:
        text = json.dumps(record.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise VizError("The result holds a number that is not finite, which JSON cannot hold.") from None
    return as_text_bytes(text + "\n")


def from_bytes(record: type[R], data: bytes, words: str) -> R:
    """The inverse of `to_bytes`; `words` say what the file should be.

    Raises:
        VizError: no JSON, or not what the record holds; one sentence says where.
    """
    try:
        found: R = _adapter(record).validate_json(data, strict=True)
        return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise VizError("The file is no JSON.") from None
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise VizError(f"The file is not {words}: {where[:80]}: {first['msg'][:120]}.") from None
