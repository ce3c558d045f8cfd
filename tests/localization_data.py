"""A small data set with boxes and masks, made of drawn pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tiny import scene

WNIDS = ("n01440764", "n02102040", "n03028079")


def write_dataset(root: Path, count: int = 9, *, splits: tuple[str, ...] = ("val", "tune"), masks: bool = True) -> Path:
    """A CSV data set: picture i shows its disc in a box of its own; i cycles through three classes."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = []
    for split in splits:
        for i in range(count):
            height, width = 100 + 10 * (i % 3), 150
            rgb = scene(height, width, seed=i + 100 * splits.index(split))
            name = f"{split}_{i:03d}"
            Image.fromarray(rgb).save(root / "images" / f"{name}.png")
            reach = min(height, width) / 6
            box = [width / 4 - reach, height / 3 - reach, width / 4 + reach, height / 3 + reach]
            row = {"image": f"images/{name}.png", "label": WNIDS[i % 3], "split": split, "width": width}
            row |= {"height": height, "boxes": json.dumps([[round(v, 1) for v in box]])}
            if masks:
                y, x = np.mgrid[0:height, 0:width]
                disc = ((y - height / 3) ** 2 + (x - width / 4) ** 2 < reach**2).astype(np.uint8) * 255
                Image.fromarray(disc).save(root / "masks" / f"{name}.png")
                row["mask"] = f"masks/{name}.png"
            rows.append(row)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root
