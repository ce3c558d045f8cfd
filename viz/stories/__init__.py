"""One story for each family: a trace's values as ordered frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from viz.frames import Frame
from viz.stories.ema import ema
from viz.stories.paka import paka
from viz.stories.psa import psa
from viz.stories.tdam import plain, tdam
from viz.stories.vista import vista

if TYPE_CHECKING:
    from viz.trace import Trace

STORIES: dict[str, Callable[[Trace], tuple[Frame, ...]]] = {
    "plain": plain,
    "tdam": tdam,
    "psa": psa,
    "ema": ema,
    "vista": vista,
    "paka": paka,
}
