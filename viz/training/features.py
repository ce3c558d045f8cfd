"""The feature cache: plain Lite0's last block maps of every view, kept as float16, so that training takes minutes.

A cache is one ``.npy`` of maps (views, 320, 7, 7) and a ``.done`` file that counts the views written: a run that was
interrupted continues where it stopped. A changed list of views starts afresh.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from viz.models.networks.efficientnet_lite import TOP_CHANNELS, EfficientNetLite0
from viz.training.collages import Collage, paint
from viz.training.pictures import Photo

CELLS = 7
MEAN, STD = 127.0, 128.0
log = logging.getLogger(__name__)
Maps = NDArray[np.float16]


def to_input(views: Sequence[NDArray[np.uint8]]) -> Tensor:
    """RGB views (224, 224, 3) to the network's input (N, 3, 224, 224), (x - 127) / 128."""
    batch = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()
    return ((batch - MEAN) / STD).contiguous()


def fingerprint(views: Sequence[Collage], photos: Sequence[Photo]) -> str:
    """Names a list of views: the same pictures composed in the same way."""
    total = hashlib.sha256()
    for view in views:
        names = [f"{photos[p.photo].source}/{photos[p.photo].path.name}" for p in view.parts]
        total.update(repr((view, names)).encode())
    return total.hexdigest()[:16]


def cached_maps(
    folder: Path,
    name: str,
    views: Sequence[Collage],
    photos: Sequence[Photo],
    backbone: EfficientNetLite0,
    *,
    batch: int = 32,
    fast: bool = False,
) -> Maps:
    """Maps (views, 320, 7, 7) of all views, read from the cache as far as they are there.

    The backbone may lie on any device. `fast` computes in bfloat16, for views to train on. Progress is logged.
    """
    device = next(backbone.parameters()).device
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(pool: ThreadPoolExecutor, start: int, stop: int) -> Tensor:
        pixels = list(pool.map(lambda view: np.asarray(paint(view, photos)), views[start:stop]))
        # Channels last halves the time of depthwise convolutions on a CPU.
        return backbone.trunk(to_input(pixels).to(device, memory_format=torch.channels_last))

    stem = f"{name}-{fingerprint(views, photos)}"
    shape = (len(views), TOP_CHANNELS, CELLS, CELLS)
    with torch.autocast(device.type, torch.bfloat16, fast):
        return stored(folder, stem, shape, compute, batch)


def stored(
    folder: Path,
    stem: str,
    shape: tuple[int, int, int, int],
    compute: Callable[[ThreadPoolExecutor, int, int], Tensor],
    batch: int = 32,
) -> Maps:
    """An array of maps on disk, filled batch by batch by ``compute(pool, start, stop)`` and continued where an
    interrupted run stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    data, mark = folder / f"{stem}.npy", folder / f"{stem}.done"
    done = int(mark.read_text()) if mark.is_file() and data.is_file() else 0
    store = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        data, mode="r+" if done else "w+", dtype=np.float16, shape=shape
    )
    started, first, total = time.monotonic(), done, shape[0]
    with ThreadPoolExecutor(4) as pool, torch.inference_mode():
        while done < total:
            stop = min(done + batch, total)
            store[done:stop] = compute(pool, done, stop).half().cpu().numpy()
            done = stop
            if (done // batch) % 20 == 0 or done == total:
                store.flush()
                mark.write_text(str(done))
                each = (time.monotonic() - started) / (done - first)
                log.info("%s: %d of %d views, %.0f ms each", stem, done, total, 1000 * each)
    maps_of_all: Maps = store
    return maps_of_all


def whole_logits(maps: Maps, backbone: EfficientNetLite0, batch: int = 256) -> Tensor:
    """Plain Lite0's logits (N, 1000) from cached maps (N, 320, 7, 7)."""
    device = next(backbone.parameters()).device
    with torch.inference_mode():
        rows = [
            backbone.head(torch.from_numpy(np.array(maps[i : i + batch])).float().to(device)).logits.cpu()
            for i in range(0, len(maps), batch)
        ]
    return torch.cat(rows).clone()
