"""The feature cache: maps of plain, frozen Lite0 for every view, stored as float16, so that training takes minutes.

A cache is one ``.npy`` of maps and a ``.done`` file with the number of views written: an interrupted run continues
where it stopped. A changed list of views starts a new cache.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recipes.pictures import Photo
from recipes.views import View
from viz.models.backbone import load_lite0
from viz.models.networks.efficientnet_lite import TAP_CHANNELS, TOP_CHANNELS, EfficientNetLite0
from viz.models.networks.lite0_attended import at_size

MEAN, STD = 127.0, 128.0
log = logging.getLogger(__name__)
Maps = NDArray[np.float16]
Shape = tuple[int, ...]
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Layer:
    """The cached features of a view: `run(backbone, x)` gives maps (N, *shape) for x (N, 3, 224, 224)."""

    shape: Shape
    run: Callable[[EfficientNetLite0, Tensor], Tensor]


def pooled(taps: Sequence[Tensor]) -> Tensor:
    """Maps of several scales, fine to coarse, concatenated at the coarsest size: (N, all channels, h, w)."""
    return torch.cat([at_size(tap, taps[-1]) for tap in taps], dim=1)


def split_taps(maps: Tensor) -> list[Tensor]:
    """The inverse of `pooled`: scales (N, 40, h, w), (N, 80, h, w), (N, 112, h, w), channels last.

    The frozen upper part takes most of the time, and this layout halves the time of its depthwise convolutions.
    """
    return [tap.contiguous(memory_format=torch.channels_last) for tap in torch.split(maps, list(TAP_CHANNELS), dim=1)]


TOP = Layer((TOP_CHANNELS, 7, 7), lambda backbone, x: backbone.trunk(x))
# Three scales at stride 16; the finest is averaged, as the multi-scale module does anyway. A view takes 91 KB.
TAPS = Layer((sum(TAP_CHANNELS), 14, 14), lambda backbone, x: pooled(backbone.taps(x)))


def channels_last(network: N) -> N:
    """The network in the layout that halves the time of depthwise convolutions on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def lite0(device: torch.device) -> EfficientNetLite0:
    """Plain Lite0, channels last."""
    return channels_last(load_lite0().to(device))


def cached(
    out: Path,
    name: str,
    views: Sequence[View],
    sources: tuple[Sequence[Photo], Sequence[Path]],
    *,
    layer: Layer,
    backbone: EfficientNetLite0,
    fast: bool = False,
) -> Maps:
    """Maps (views, *shape) of all views, from the cache where available.

    Args:
        out: its folder ``features`` holds the cache. sources: photographs and scenes of which the views are composed.
        backbone: channels last, on any device.
        fast: compute in bfloat16, for training views.
    """
    device = next(backbone.parameters()).device
    total = hashlib.sha256()
    for view in views:
        total.update(repr(view.key(*sources)).encode())

    def compute(pool: ThreadPoolExecutor, start: int, stop: int) -> Tensor:
        pixels = np.stack(list(pool.map(lambda view: np.asarray(view.paint(*sources)), views[start:stop])))
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - MEAN) / STD
        return layer.run(backbone, x.to(device).contiguous(memory_format=torch.channels_last))

    with torch.autocast(device.type, torch.bfloat16, fast):
        return stored(out / "features", f"{name}-{total.hexdigest()[:16]}", (len(views), *layer.shape), compute)


def stored(
    folder: Path,
    stem: str,
    shape: Shape,
    compute: Callable[[ThreadPoolExecutor, int, int], Tensor],
    batch: int = 32,
) -> Maps:
    """An array of maps on disk, filled batch by batch by ``compute(pool, start, stop)``; resumes and logs progress."""
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
    found: Maps = store
    return found


def gather(parts: Sequence[Maps], places: Tensor, device: torch.device) -> Tensor:
    """Selected maps, as float32, of several arrays that are indexed as if concatenated."""
    starts = np.cumsum([0, *(len(p) for p in parts)])
    found = np.empty((len(places), *parts[0].shape[1:]), dtype=np.float16)
    for k, place in enumerate(places.tolist()):
        part = int(np.searchsorted(starts, place, side="right")) - 1
        found[k] = parts[part][place - starts[part]]
    return torch.from_numpy(found).to(device).float()


def batches(maps: Maps, device: torch.device, size: int) -> Iterator[Tensor]:
    """The cached maps in order, as float32."""
    for start in range(0, len(maps), size):
        yield torch.from_numpy(np.array(maps[start : start + size])).to(device).float()


@torch.inference_mode()
def plain_logits(maps: Maps, backbone: EfficientNetLite0) -> Tensor:
    """Plain Lite0's logits (N, 1000) from maps of either layer."""
    device = next(backbone.parameters()).device
    if maps.shape[1:] == TOP.shape:
        found = [backbone.head(x).logits.cpu() for x in batches(maps, device, 256)]
    else:
        found = [backbone.head(backbone.upper(split_taps(x)[-1])).logits.cpu() for x in batches(maps, device, 128)]
    return torch.cat(found)
