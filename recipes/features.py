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

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from recipes.pictures import Photo
from recipes.views import View
from viz.models.backbone import load_lite0
from viz.models.networks.efficientnet_lite import TAP_CHANNELS, TOP_CHANNELS, EfficientNetLite0
from viz.models.networks.lite0_attended import at_size

MEAN, STD = 127.0, 128.0
log = logging.getLogger(__name__)
Maps = NDArray[np.float16]
Shape = tuple[int, ...]
# Convolutions and the batch norms that follow them, in a block and around the blocks.
NORMS = (
    *(("_conv_stem", "_bn0"), ("_conv_head", "_bn1")),
    *(("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
)


@dataclass(frozen=True)
class Layer:
    """The cached features of a view: `run(backbone, x)` gives maps (N, *shape) for x (N, 3, 224, 224)."""

    shape: Shape
    run: Callable[[EfficientNetLite0, Tensor], Tensor]


def packed(backbone: EfficientNetLite0, x: Tensor) -> Tensor:
    """All maps that a module may read, (N, 312, 14, 14): three scales, averaged to stride 16, and the last map
    (320, 7, 7), whose cells are spread over 2x2 places so that it takes 80 channels."""
    taps = backbone.taps(x)
    return torch.cat([*(at_size(tap, taps[-1]) for tap in taps), F.pixel_shuffle(backbone.upper(taps[-1]), 2)], dim=1)


def split(maps: Tensor) -> list[Tensor]:
    """The maps of a cache: of `TAPS` three scales (N, 40 / 80 / 112, 14, 14) and the last map (N, 320, 7, 7), of `TOP`
    the last map alone.

    The frozen upper part takes most of the time, and channels last halves the time of its depthwise convolutions.
    """
    if maps.shape[1] == TOP_CHANNELS:
        return [maps]
    *taps, top = torch.split(maps, [*TAP_CHANNELS, TOP_CHANNELS // 4], dim=1)
    return [tap.contiguous(memory_format=torch.channels_last) for tap in (*taps, F.pixel_unshuffle(top, 2))]


TOP = Layer((TOP_CHANNELS, 7, 7), EfficientNetLite0.trunk)
# A view takes 122 KB.
TAPS = Layer((sum(TAP_CHANNELS) + TOP_CHANNELS // 4, 14, 14), packed)


def quick(backbone: EfficientNetLite0) -> EfficientNetLite0:
    """The frozen network with every batch norm folded into its convolution, channels last, in place.

    Answers differ by rounding, and training on a CPU is faster.
    """
    for block in (backbone, *backbone._blocks):
        for name, norm in NORMS:
            conv, statistics = getattr(block, name, None), getattr(block, norm, None)
            if isinstance(conv, nn.Conv2d) and isinstance(statistics, nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(conv, statistics))
                setattr(block, norm, nn.Identity())
    backbone.freeze()
    return backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def lite0(device: torch.device) -> EfficientNetLite0:
    """Plain Lite0 with its batch norms folded."""
    return quick(load_lite0().to(device))


def cached(
    out: Path,
    name: str,
    views: Sequence[View],
    sources: tuple[Sequence[Photo], Sequence[Path]],
    *,
    layer: Layer,
    backbone: EfficientNetLite0,
) -> Maps:
    """Maps (views, *shape) of all views, from the cache where available.

    Args:
        out: its folder ``features`` holds the cache. sources: photographs and scenes of which the views are composed.
        backbone: channels last, on any device.
    """
    device = next(backbone.parameters()).device
    total = hashlib.sha256()
    for view in views:
        total.update(repr(view.key(*sources)).encode())

    def compute(pool: ThreadPoolExecutor, start: int, stop: int) -> Tensor:
        pixels = np.stack(list(pool.map(lambda view: np.asarray(view.paint(*sources)), views[start:stop])))
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - MEAN) / STD
        return layer.run(backbone, x.to(device).contiguous(memory_format=torch.channels_last))

    return stored(out / "features", f"{name}-{total.hexdigest()[:16]}", (len(views), *layer.shape), compute)


def stored(
    folder: Path,
    stem: str,
    shape: Shape,
    compute: Callable[[ThreadPoolExecutor, int, int], Tensor],
    batch: int = 8,
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
            if (done // batch) % 80 == 0 or done == total:
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
    """Plain Lite0's logits (N, 1000) from the cached maps of either layer."""
    device = next(backbone.parameters()).device
    return torch.cat([backbone.head(split(x)[-1]).logits.cpu() for x in batches(maps, device, 128)])


@torch.inference_mode()
def pooled_features(maps: Maps, backbone: EfficientNetLite0) -> Tensor:
    """Plain Lite0's pooled class features (N, 1280) from last maps (N, 320, 7, 7)."""
    device = next(backbone.parameters()).device
    return torch.cat([backbone.features(x).mean(dim=(2, 3)).cpu() for x in batches(maps, device, 256)])
