"""Files of small data sets: pictures, masks, XML, COCO's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 160, 120
PANDA, TABBY, DAISY = "n02510455", "n02123045", "n11939491"


def picture(path: Path, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A grey picture, JPEG whatever the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, dtype=np.uint8)).save(path, format="JPEG")
    return path


def mask_file(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if palette is not None:
        image = image.convert("P")
        image.putpalette(palette)
    image.save(path)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def csv_set(root: Path, text: str) -> Path:
    """An index.csv beside a.jpg and b.jpg."""
    write(root / "index.csv", text)
    for name in ("a.jpg", "b.jpg"):
        picture(root / name)
    return root


def thing(name: str, *box: float) -> str:
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>"


def xml(things: str, filename: str = "a.jpg", head: str = "", tail: str = "") -> str:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"{head}<annotation><filename>{filename}</filename>{size}{things}{tail}</annotation>"


def image(identity: object, name: str) -> dict[str, Any]:
    return {"id": identity, "file_name": name, "width": WIDTH, "height": HEIGHT}


def annotation(identity: object, of: object, category: object, *, x: float = 20, **more: object) -> dict[str, Any]:
    return {"id": identity, "image_id": of, "category_id": category, "bbox": [x, 10, 30, 40], **more}


def category(identity: object, name: str, kind: str = "") -> dict[str, Any]:
    return {"id": identity, "name": name, **({"supercategory": kind} if kind else {})}


def coco_set(
    root: Path,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    *,
    index: str = "annotations/instances_val.json",
    pictures: str = "val",
) -> Path:
    for name in ("1.jpg", "2.jpg"):
        picture(root / pictures / name)
    write(root / index, json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root
