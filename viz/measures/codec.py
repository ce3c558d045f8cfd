"""Results as JSON: typed records, checked when they are read, with the same bytes for the same values.

A record is a frozen dataclass whose fields pydantic checks. An entry that older files lack has a default and is not
written while it has that value: files of version 1 have no version.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from viz.errors import VizError
from viz.files import as_text_bytes

R = TypeVar("R")
# Of rounded numbers in results of single pictures and of controls.
DIGITS = 6
# A number that may be missing: NaN in Python, null in the file.
Number = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class Record:
    """Base of all records: unknown entries and unexpected non-finite numbers are refused."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a missing number is None."""
        found: dict[str, Any] = _adapter(type(self)).dump_python(self, exclude_defaults=True)
        return found


def to_bytes(record: Record) -> bytes:
    """A record as JSON.

    Raises:
        VizError: a number is not finite and must not be missing.
    """
    try:
        text = json.dumps(record.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise VizError("The result holds a number that is not finite, which JSON cannot represent.") from None
    return as_text_bytes(text + "\n")


def from_bytes(record: type[R], data: bytes, words: str) -> R:
    """The inverse of `to_bytes`; `words` say what the file should be.

    Raises:
        VizError: not JSON, or not such a record; the message names the first entry that is wrong.
    """
    try:
        found: R = _adapter(record).validate_json(data, strict=True)
        return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise VizError("The file is not valid JSON.") from None
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise VizError(f"The file is not {words}: {where[:80]}: {first['msg'][:120]}.") from None


def plain(value: Any, digits: int = DIGITS) -> Any:
    """Any result as JSON values: dataclasses as objects, numbers rounded, non-finite numbers as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), digits) for f in fields(value)}
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v, digits) for k, v in value.items()}
    return [plain(v, digits) for v in value]
