"""One story for each family: a trace's values as ordered frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from viz.core.frames import Frame
from viz.families.ema.stages import ema
from viz.families.paka.stages import paka
from viz.families.psa.stages import psa
from viz.families.tdam.stages import plain, tdam
from viz.families.vista.stages import vista

if TYPE_CHECKING:
    from viz.core.trace import Trace

STORIES: dict[str, Callable[[Trace], tuple[Frame, ...]]] = {
    "plain": plain,
    "tdam": tdam,
    "psa": psa,
    "ema": ema,
    "vista": vista,
    "paka": paka,
}
