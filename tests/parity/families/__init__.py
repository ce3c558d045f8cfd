"""One file a family. Each holds ``FAMILY`` and ``evaluate(case) -> {array name: our values}``.

`evaluate` returns every array of the manifest that it can produce, and raises `NotUnderstoodError` for a class,
keyword or array name that it has no meaning for.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from tests.parity.case import Case

Evaluate = Callable[[Case], Mapping[str, NDArray[Any]]]

FAMILIES: dict[str, Evaluate] = {}
for _info in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_info.name}")
    if hasattr(_module, "FAMILY"):
        FAMILIES[_module.FAMILY] = _module.evaluate
