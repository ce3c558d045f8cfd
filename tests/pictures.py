"""Picture files made by hand, and what a refusal must look like."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from viz.errors import PictureError
from viz.picture import open_picture


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    """A PNG by hand; `rows` are packed samples, `extra` whole chunks before the data."""
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def png_of(values: np.ndarray, colour: int, *extra: bytes) -> bytes:
    """A PNG by hand from an array (H, W) or (H, W, C) of uint8 or uint16."""
    big = values.astype(f">u{values.dtype.itemsize}")
    rows = [row.tobytes() for row in big]
    return png(values.shape[1], values.shape[0], values.dtype.itemsize * 8, colour, rows, *extra)


def tiff(tags: dict[int, tuple[int, list[int]]], data: bytes, order: str = "<") -> bytes:
    """An uncompressed one-strip TIFF by hand; tags as {tag: (type, values)} with types 3 (short) and 4 (long)."""
    offset = 8 + len(data)
    tags = {**tags, 273: (4, [8]), 279: (4, [len(data)])}
    entries = b""
    extra = b""
    after = offset + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", after + len(extra))
            extra += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, offset)
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0) + extra


def grey_tags(width: int, height: int, bits: int, photometric: int = 1) -> dict[int, tuple[int, list[int]]]:
    return {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [bits]),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [1]),
        278: (3, [height]),
    }


def colours(height: int = 5, width: int = 8) -> np.ndarray:
    """No two pixels alike, no symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([20 + 25 * x, 30 + 40 * y, 200 - 11 * x - 7 * y], axis=-1).astype(np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture that survives lossy coding: a gradient, bright at the upper left corner only."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([40 + 150 * x / width, 230 - 180 * y / height, 60 + 0 * x], axis=-1).astype(np.uint8)


def refused(source: Any, **options: Any) -> str:
    """The message of the refusal, checked to be one sentence."""
    with pytest.raises(PictureError) as caught:
        open_picture(source, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 160
    assert message[0].isupper() or message.endswith("is not a file.")
    assert caught.value.__cause__ is None
    return message


def exif(orientation: Any) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def photo() -> np.ndarray:
    rng = np.random.default_rng(8)
    return np.clip(smooth(23, 37) + rng.normal(0, 15, (23, 37, 3)), 0, 255).astype(np.uint8)


def whole_files() -> dict[str, bytes]:
    image = Image.fromarray(photo())
    animation = {"save_all": True, "append_images": [image.rotate(180), image.rotate(90, expand=False)]}
    grey16 = photo()[..., 0].astype(np.uint16) * 257
    files = {
        "jpeg": encode(image, "JPEG", quality=90),
        "jpeg-progressive": encode(image, "JPEG", quality=90, progressive=True),
        "jpeg-grey": encode(image.convert("L"), "JPEG"),
        "jpeg-cmyk": encode(image.convert("CMYK"), "JPEG"),
        "jpeg-exif": encode(image, "JPEG", exif=exif(6)),
        "png": encode(image, "PNG"),
        "png-palette": encode(image.quantize(16), "PNG"),
        "png-16": png_of(grey16, 0),
        "apng": encode(image, "PNG", **animation),
        "gif": encode(image, "GIF"),
        "gif-animated": encode(image, "GIF", **animation),
        "webp": encode(image, "WEBP", quality=80),
        "webp-lossless": encode(image, "WEBP", lossless=True),
        "webp-animated": encode(image, "WEBP", **animation),
        "tiff": encode(image, "TIFF"),
        "tiff-lzw": encode(image, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encode(image, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": encode(image, "TIFF", compression="jpeg"),
        "tiff-packbits": encode(image, "TIFF", compression="packbits"),
        "tiff-front": tiff({**grey_tags(37, 23, 8)}, photo()[..., 0].tobytes()),
        "bmp": encode(image, "BMP"),
        "bmp-palette": encode(image.quantize(16), "BMP"),
        "ppm": encode(image, "PPM"),
    }
    if features.check("avif"):
        files["avif"] = encode(image, "AVIF", quality=60, speed=10)
    return files
