"""Generate what the page's JavaScript takes from Python: message types, and names of maps.

    python -m viz.page.js_types

writes both files. A test compares them with the output of this command.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from viz.core.map_spec import BASELINES, DERIVED, LONGEST, OUTPUTS, MapSpec
from viz.core.methods import METHODS
from viz.page import messages

JS = Path(__file__).with_name("js")
_HEAD = "// Written by `python -m viz.page.js_types`; change the Python side instead.\n"
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null"}


def typescript(hint: Any) -> str:
    """A Python type in TypeScript syntax."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(map(json.dumps, inner))
    words = [typescript(one) for one in inner if one is not Ellipsis]
    if origin in (Union, UnionType):
        return " | ".join(words)
    if origin is list or (origin is tuple and Ellipsis in inner):
        return f"Array<{words[0]}>"
    if origin is tuple:
        return f"[{', '.join(words)}]"
    if origin is dict:
        return f"Record<{', '.join(words)}>"
    return _PLAIN.get(hint) or str(hint.__name__)


def _interface(shape: type) -> Iterator[str]:
    doc = inspect.cleandoc(shape.__doc__ or "").partition("\n\nRaises:")[0]
    if doc:
        yield "\n".join(["/**", *(f" * {line}".rstrip() for line in doc.splitlines()), " */"])
    yield f"export interface {shape.__name__} {{"
    for name, hint in get_type_hints(shape, include_extras=True).items():
        inner = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        is_coded = inner is messages.Floats
        yield f"  {name}{'?' if is_coded or inner is not hint else ''}: {typescript(inner)};"
        if is_coded:
            yield "  values: Float32Array;"
    yield "}\n"


def types() -> str:
    """Text of ``types.d.ts``."""
    shapes = [s for s in vars(messages).values() if is_typeddict(s) and s.__module__ == messages.__name__]
    floats = "/** float32 values, little-endian, base64; decoding writes `values` beside them. */"
    lines = [_HEAD, floats, "export type Floats = string;\n"]
    return "\n".join([*lines, *(line for s in (*shapes, MapSpec) for line in _interface(s))])


def known() -> str:
    """Text of ``known.js``."""
    values = {
        "MESSAGE_VERSION": messages.MESSAGE_VERSION,
        "METHODS": list(METHODS),
        "DERIVED": DERIVED,
        "BASELINES": list(BASELINES),
        "OUTPUTS": OUTPUTS,
        "LONGEST": LONGEST,
    }
    return _HEAD + "".join(f"\nexport const {n} = {json.dumps(v, indent=2)};\n" for n, v in values.items())


FILES = {"types.d.ts": types, "known.js": known}

if __name__ == "__main__":
    for file, text in FILES.items():
        (JS / file).write_text(text(), encoding="utf-8")
