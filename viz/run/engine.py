"""Models that stay loaded, and traces that are not computed twice. Shared by the page, the command line and Python."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
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


def _weight(trace: Trace) -> int:
    """Bytes that a trace holds beside what it shares with others."""
    arrays = [
        trace.logits,
        *trace.features,
        *(r.values for r in trace.records),
        *(a.values for a in trace.attributions),
    ]
    return sum(int(a.nbytes) for a in arrays) + int(trace.picture.rgb.nbytes)


class Engine:
    """Loads each model once and keeps the newest traces, bounded in number and bytes. Safe to share between threads.

    Args:
        device, precision: for every model, see `load`.
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
        self._traces: OrderedDict[tuple[str, str, str], Trace] = OrderedDict()
        self._held = 0
        # One lock for each model being loaded and each trace being made; they live as long as that takes.
        self._loading: dict[str, threading.Lock] = {}
        self._tracing: dict[tuple[str, str, str], threading.Lock] = {}
        self._attributing: dict[tuple[str, str, str], threading.Lock] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self.forwards = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, or copied, an engine starts empty: models and traces stay where they are."""
        limits = {"max_models": self._max_models, "max_traces": self._max_traces, "max_bytes": self._max_bytes}
        return partial(Engine, self.device, self.precision, self._models_folder, **limits), ()

    def model(self, name: str) -> Model:
        """The loaded model of that name."""
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
                return self._models[name]
            lock = self._loading.setdefault(name, threading.Lock())
        with lock:
            with self._lock:
                if name in self._models:
                    return self._models[name]
            try:
                loaded = load(name, self.device, precision=self.precision, models=self._models_folder)
                model = replace(loaded, _turn=self._turn)
                with self._lock:
                    self.catalogue.seen[name] = model.card
                    self._models[name] = model
                    while len(self._models) > self._max_models:
                        self._models.popitem(last=False)
            finally:
                with self._lock:
                    self._loading.pop(name, None)
            return model

    def trace(self, picture: Picture, name: str, geometry: Mode | None = None) -> Trace:
        """The trace of a picture under a model; the same three again cost no forward pass, even at the same time."""
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._lock:
            lock = self._tracing.setdefault(key, threading.Lock())
        with lock:
            with self._lock:
                known = self._known(key, picture)
            if known is not None:
                return known
            try:
                trace = model.trace(picture, geometry=geometry)
                with self._lock:
                    self.forwards += 1
                    self._keep(key, trace)
            finally:
                with self._lock:
                    self._tracing.pop(key, None)
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
        options: AttributionOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Trace:
        """The trace of a picture under a model with an attribution map, see `Model.attribute`; each is computed once.

        A trace holds at most `MAX_ATTRIBUTIONS` of them; the oldest go first. Of the slow methods one runs at a
        time, on whichever model, and memory goes back to the system afterwards: visitors add up to no peak.
        """
        model = self.model(name)
        key = (picture.sha256, name, geometry or model.geometry)
        with self._lock:
            lock = self._attributing.setdefault(key, threading.Lock())
        with lock:
            try:
                # Whoever waited here for the same map finds it in the trace.
                trace = self.trace(picture, name, geometry)
                made = model.attribute(
                    trace, method, class_index=class_index, step=step, options=options, progress=progress
                )
                if made is trace:
                    return trace
                give_back()
                with self._lock:
                    newest = made.attributions[-1]
                    others = [a for a in self._traces.get(key, made).attributions if a is not newest]
                    made = replace(made, attributions=(*others, newest)[-MAX_ATTRIBUTIONS:])
                    self._keep(key, made)
            finally:
                with self._lock:
                    self._attributing.pop(key, None)
            return made

    def _known(self, key: tuple[str, str, str], picture: Picture) -> Trace | None:
        known = self._traces.get(key)
        if known is None:
            return None
        self._tracing.pop(key, None)
        self._traces.move_to_end(key)
        # The same file under another name: same numbers, but the page must not show the other person's file name.
        return known if known.picture.name == picture.name else replace(known, picture=picture)

    def _keep(self, key: tuple[str, str, str], trace: Trace) -> None:
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
