"""A cache of loaded models and of traces, shared by the page, the command line and Python."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from viz.allocator import give_back
from viz.core.map_spec import MapSpec
from viz.core.methods import AttributionOptions
from viz.core.trace import Trace
from viz.geometry import Mode
from viz.models.catalogue import Catalogue
from viz.picture import Picture
from viz.run.model import Model, Precision, load, pick_device, versions

__all__ = ["Engine", "Model", "Precision", "load", "pick_device", "versions"]

MAX_ATTRIBUTIONS = 64
# Digest of the picture, name of the model, geometry.
Key = tuple[str, str, Mode]


def _weight(trace: Trace) -> int:
    """Bytes that a trace does not share with others."""
    arrays = [
        *trace.output.arrays().values(),
        *trace.features,
        *(r.values for r in trace.records),
        *(a.values for a in trace.attributions),
    ]
    return sum(int(a.nbytes) for a in arrays) + int(trace.picture.rgb.nbytes)


class Engine:
    """Load each model once and keep the newest traces, bounded in number and bytes. Safe to share between threads.

    Args:
        device, precision: of every model, see `load`.
        models: folder with further checkpoints.
        max_models: networks kept in memory.
        max_traces, max_bytes: traces kept.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: Precision = "float32",
        models: str | Path | None = None,
        *,
        max_models: int = 8,
        max_traces: int = 64,
        max_bytes: int = 512 * 2**20,
    ) -> None:
        self.device, self.precision = device, precision
        self.catalogue = Catalogue(Path(models) if models else None)
        self._models_folder = models
        self._max_models, self._max_traces, self._max_bytes = max_models, max_traces, max_bytes
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._traces: OrderedDict[Key, Trace] = OrderedDict()
        self._held = 0
        # One lock for each model being loaded, and each trace or attribution being computed, for as long as that takes.
        self._making: dict[tuple[str, ...], threading.Lock] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self.forwards = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or an engine sent to another process, starts empty; models and traces are not copied."""
        limits = {"max_models": self._max_models, "max_traces": self._max_traces, "max_bytes": self._max_bytes}
        return partial(Engine, self.device, self.precision, self._models_folder, **limits), ()

    @contextmanager
    def _one_at_a_time(self, *key: str) -> Iterator[None]:
        """Let no other thread compute the same while the block runs; those that waited find it in the cache."""
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            try:
                yield
            finally:
                with self._lock:
                    if self._making.get(key) is lock:
                        del self._making[key]

    def model(self, name: str) -> Model:
        """The loaded model of that name."""
        if (known := self._loaded(name)) is not None:
            return known
        with self._one_at_a_time("model", name):
            if (known := self._loaded(name)) is not None:
                return known
            loaded = load(name, self.device, precision=self.precision, models=self._models_folder)
            model = replace(loaded, _turn=self._turn)
            with self._lock:
                self.catalogue.seen[name] = model.card
                self._models[name] = model
                while len(self._models) > self._max_models:
                    self._models.popitem(last=False)
            return model

    def trace(self, picture: Picture, name: str, geometry: Mode | None = None) -> Trace:
        """The trace of a picture under a model. The same request costs one forward pass, even from several threads."""
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._one_at_a_time("trace", *key):
            known = self._known(key, picture)
            if known is not None:
                return known
            trace = model.trace(picture, geometry=geometry)
            with self._lock:
                self.forwards += 1
                self._keep(key, trace)
            return trace

    def attribute(
        self,
        picture: Picture,
        name: str,
        method: MapSpec | str,
        geometry: Mode | None = None,
        *,
        class_index: int | str | None = None,
        step: int = -1,
        region: tuple[int, ...] | None = None,
        options: AttributionOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Trace:
        """The trace of a picture under a model, with an attribution map; each map is computed once.

        A trace keeps its newest `MAX_ATTRIBUTIONS` maps. Only one slow method runs at a time, on any model, and its
        memory returns to the system afterwards, so that the peaks of several visitors do not add up.
        """
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._one_at_a_time("attribution", *key):
            trace = self.trace(picture, name, geometry)
            made = model.attribute(
                trace, method, class_index=class_index, step=step, region=region, options=options, progress=progress
            )
            if made is trace:
                return trace
            give_back()
            with self._lock:
                newest = made.attributions[-1]
                others = [a for a in self._traces.get(key, made).attributions if a is not newest]
                made = replace(made, attributions=(*others, newest)[-MAX_ATTRIBUTIONS:])
                self._keep(key, made)
            return made

    def _loaded(self, name: str) -> Model | None:
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
            return self._models.get(name)

    def _known(self, key: Key, picture: Picture) -> Trace | None:
        with self._lock:
            known = self._traces.get(key)
            if known is None:
                return None
            self._traces.move_to_end(key)
        # The same file under another name: same numbers, but the page must not show the other person's file name.
        return known if known.picture.name == picture.name else replace(known, picture=picture)

    def _keep(self, key: Key, trace: Trace) -> None:
        before = self._traces.pop(key, None)
        self._held += _weight(trace) - (_weight(before) if before is not None else 0)
        self._traces[key] = trace
        while len(self._traces) > self._max_traces or (self._held > self._max_bytes and len(self._traces) > 1):
            _, oldest = self._traces.popitem(last=False)
            self._held -= _weight(oldest)

    @property
    def held_bytes(self) -> int:
        """Bytes of the cached traces (a picture shared by several counts each time)."""
        return self._held
