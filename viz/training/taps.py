"""The feature cache of the clutter task: three maps of plain Lite0's lower part for every view, at stride 16.

The finest map (stride 8) is averaged over the cells of stride 16, as the multi-scale module does with it anyway, so
that a view takes 91 KB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from viz.models.networks.efficientnet_lite import TAP_CHANNELS, EfficientNetLite0
from viz.models.networks.lite0_attended import at_size
from viz.training.features import Maps, stored, to_input
from viz.training.pictures import Photo
from viz.training.scenes import Scene, paint_scene

CHANNELS = sum(TAP_CHANNELS)
CELLS = 14


def fingerprint(scenes: Sequence[Scene], photos: Sequence[Photo], backgrounds: Sequence[Path]) -> str:
    """Names a list of views: the same pictures composed in the same way."""
    total = hashlib.sha256()
    for scene in scenes:
        photo = photos[scene.photo]
        behind = backgrounds[scene.background].name if scene.background >= 0 else ""
        total.update(repr((scene, photo.source, photo.path.name, behind)).encode())
    return total.hexdigest()[:16]


def pooled(taps: Sequence[Tensor]) -> Tensor:
    """Maps of several scales, fine to coarse, as one (N, channels of all, h, w) of the coarsest's size."""
    return torch.cat([at_size(tap, taps[-1]) for tap in taps], dim=1)


def split(maps: Tensor) -> list[Tensor]:
    """The scales (N, 40, h, w), (N, 80, h, w), (N, 112, h, w) of what `pooled` gave."""
    return list(torch.split(maps, list(TAP_CHANNELS), dim=1))


def cached_taps(  # noqa: PLR0917
    folder: Path,
    name: str,
    scenes: Sequence[Scene],
    photos: Sequence[Photo],
    backgrounds: Sequence[Path],
    backbone: EfficientNetLite0,
    *,
    batch: int = 32,
    fast: bool = False,
) -> Maps:
    """Maps (views, 232, 14, 14) of all views, read from the cache as far as they are there.

    The backbone may lie on any device. `fast` computes in bfloat16, for views to train on. Progress is logged.
    """
    device = next(backbone.parameters()).device
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(pool: ThreadPoolExecutor, start: int, stop: int) -> Tensor:
        pixels = list(pool.map(lambda scene: np.asarray(paint_scene(scene, photos, backgrounds)), scenes[start:stop]))
        return pooled(backbone.taps(to_input(pixels).to(device, memory_format=torch.channels_last)))

    stem = f"{name}-{fingerprint(scenes, photos, backgrounds)}"
    with torch.autocast(device.type, torch.bfloat16, fast):
        return stored(folder, stem, (len(scenes), CHANNELS, CELLS, CELLS), compute, batch)
