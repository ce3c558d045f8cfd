"""Pictures that Pillow holds, and open files: the same pixels as for the path."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import viz
from tests.pictures import chunk, colours, encode, exif, png, refused, whole_files
from tests.tiny import tiny_model
from viz.picture import Limits, open_picture

FILES = whole_files()


@pytest.mark.parametrize("kind", FILES)
def test_open_files_are_the_same_picture(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a picture"
    path.write_bytes(FILES[kind])
    want = open_picture(path)
    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        file.read(7)  # read from the start, wherever it stands
        for source in (file, raw, io.BytesIO(FILES[kind])):
            for _ in range(2):
                got = open_picture(source)
                np.testing.assert_array_equal(got.rgb, want.rgb)
                assert (got.sha256, got.notes) == (want.sha256, want.notes)
        assert open_picture(file).name == "a picture"
        assert open_picture(file, name="shown").name == "shown"
    assert open_picture(io.BytesIO(FILES[kind])).name == "picture"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("loaded", [False, True])
def test_pil_pictures_have_the_pixels_of_their_file(tmp_path: Path, kind: str, loaded: bool) -> None:
    path = tmp_path / "a picture"
    path.write_bytes(FILES[kind])
    want = open_picture(path)
    with Image.open(path) as image:
        if loaded:
            image.load()
        info = dict(image.info)
        for _ in range(2):
            got = open_picture(image)
            np.testing.assert_array_equal(got.rgb, want.rgb)
            assert got.name == "a picture"
        assert {k: image.info[k] for k in info} == info
        assert open_picture(image, name="shown").name == "shown"
    # What is the same to the network has the same identity, and it can be recomputed from the pixels.
    assert got.sha256 == open_picture(np.array(want.rgb)).sha256


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "JPEG"])
def test_a_pil_picture_from_a_file_is_turned_once(orientation: int, fmt: str) -> None:
    data = encode(Image.fromarray(colours()), fmt, exif=exif(orientation))
    want = open_picture(data)
    for prepare in (lambda i: None, lambda i: i.load(), lambda i: ImageOps.exif_transpose(i, in_place=True)):
        image = Image.open(io.BytesIO(data))
        prepare(image)
        for _ in range(2):
            np.testing.assert_array_equal(open_picture(image).rgb, want.rgb)
    if fmt != "TIFF":  # Pillow's TIFF reader has turned the pixels itself
        for made in (Image.open(io.BytesIO(data)).convert("RGB"), Image.open(io.BytesIO(data)).copy()):
            got = open_picture(made)
            np.testing.assert_array_equal(got.rgb, np.asarray(made))
            assert got.notes == ("not turned by its EXIF tag",)
    np.testing.assert_array_equal(open_picture(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).rgb, want.rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_turned_tiff_that_pillow_opened_by_its_path(tmp_path: Path, mode: str, orientation: int) -> None:
    """Pillow itself maps such files into memory with exchanged sides, which shears the pixels."""
    deep = Image.fromarray(colours()[..., 0].astype(np.uint16) * 257)
    path = tmp_path / "a.tif"
    (deep if mode == "I;16" else Image.fromarray(colours()).convert(mode)).save(path, exif=exif(orientation))
    want = open_picture(path)
    with Image.open(path) as image:
        for _ in range(2):
            np.testing.assert_array_equal(open_picture(image).rgb, want.rgb)


def test_one_that_was_turned_by_hand_is_not_turned_again() -> None:
    image = Image.open(io.BytesIO(encode(Image.fromarray(colours()), "PNG", exif=exif(6))))
    upright = image.transpose(Image.Transpose.ROTATE_270)
    assert upright.getexif()[0x0112] == 6  # Pillow keeps the tag
    np.testing.assert_array_equal(open_picture(upright).rgb, np.asarray(upright))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV", "RGBX", "LAB"])
def test_every_mode_of_pillow(mode: str) -> None:
    rgb = Image.fromarray(colours())
    image = rgb.convert("RGBA").convert("PA") if mode == "PA" else rgb.convert(mode) if mode != "LAB" else lab(rgb)
    got = open_picture(image).rgb.astype(int)
    want = np.asarray(image.convert("RGB") if mode != "LAB" else rgb).astype(int)
    assert np.abs(got - want).max() <= (12 if mode == "LAB" else 0)


def lab(rgb: Image.Image) -> Image.Image:
    from PIL import ImageCms

    made = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made is not None
    return made


def test_pil_pictures_keep_depth_and_transparency() -> None:
    deep = np.array([[0, 257, 65535]], dtype=np.uint16)
    assert open_picture(Image.fromarray(deep)).rgb[0, :, 0].tolist() == [0, 1, 255]
    unit = np.array([[0, 0.5, 1]], dtype=np.float32)
    assert open_picture(Image.fromarray(unit)).rgb[0, :, 0].tolist() == [0, 128, 255]
    clear = Image.fromarray(np.array([[[9, 8, 7, 0], [9, 8, 7, 255]]], dtype=np.uint8))
    assert open_picture(clear).rgb.tolist() == [[[255] * 3, [9, 8, 7]]]
    # A transparent grey of a PNG with few bits is told in those bits; Pillow has widened the pixels.
    rows = [bytes([v << 6]) for v in range(4)]
    few = Image.open(io.BytesIO(png(1, 4, 2, 0, rows, chunk(b"tRNS", b"\0\1"))))
    assert open_picture(few).rgb[:, 0, 0].tolist() == [0, 255, 170, 255]


def test_the_frame_that_stands_open() -> None:
    frames = [Image.new("RGB", (6, 4), c) for c in ("red", "blue", "lime")]
    image = Image.open(io.BytesIO(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    image.seek(1)
    got = open_picture(image)
    assert (got.rgb == (0, 0, 255)).all()
    assert got.notes == ("frame 2 of an animation",)
    assert image.tell() == 1


def test_the_same_answer_from_every_door(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(FILES["jpeg"])
    model = tiny_model(2)
    want = model.trace(path).logits
    with Image.open(path) as image, path.open("rb") as file:
        for source in (image, file, io.BytesIO(FILES["jpeg"]), image.copy()):
            np.testing.assert_array_equal(model.trace(source).logits, want)


def test_what_gives_few_bytes_at_a_time() -> None:
    data = FILES["png"]
    end, start = os.pipe()
    writer = threading.Thread(
        target=lambda: (os.write(start, data[:100]), os.write(start, data[100:]), os.close(start))
    )
    writer.start()
    with os.fdopen(end, "rb", buffering=0) as pipe:
        assert open_picture(pipe).sha256 == hashlib.sha256(data).hexdigest()
    writer.join()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("folder/in.png", data)
    with zipfile.ZipFile(archive) as z, z.open("folder/in.png") as member:
        picture = open_picture(member)
        assert (picture.name, picture.sha256) == ("in.png", hashlib.sha256(data).hexdigest())


def test_limits_of_open_files_and_pil_pictures() -> None:
    data = FILES["png"]
    assert open_picture(io.BytesIO(data), limits=Limits(max_bytes=len(data))).size == (23, 37)
    assert "larger than" in refused(io.BytesIO(data), limits=Limits(max_bytes=len(data) - 1))
    assert "megapixels" in refused(io.BytesIO(data), limits=Limits(max_pixels=800))
    for image in (Image.open(io.BytesIO(data)), Image.new("L", (37, 23))):
        assert "megapixels" in refused(image, limits=Limits(max_pixels=800))

    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            assert size <= 1001
            return bytes(min(size, 64))

    assert "larger than" in refused(Endless(), limits=Limits(max_bytes=1000))


def test_open_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILES["png"])
    with path.open("rb") as file:
        pass
    assert 'mode "rb"' in refused(file)
    with path.open() as text:
        assert 'mode "rb"' in refused(text)
    assert refused(io.StringIO("words")) == 'The file was opened as text; open it with mode "rb".'
    with (tmp_path / "new").open("wb") as out:
        assert 'mode "rb"' in refused(out)
    assert refused(io.BytesIO()) == "The file is empty."
    assert "not a picture" in refused(io.BytesIO(b"just words"))


def test_pil_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILES["png"])
    with Image.open(path) as unread:
        pass
    read = Image.open(path)
    read.load()
    made = read.convert("L")
    for image in (read, made):
        image.close()
    for closed in (unread, read, made):
        assert refused(closed) == "The PIL picture is closed; pass it while it is open."
    (tmp_path / "cut.png").write_bytes(FILES["png"][:-400])
    with Image.open(tmp_path / "cut.png") as cut:
        assert "damaged or cut off" in refused(cut)


@pytest.mark.parametrize("source", [None, 3, ["a.png"], {"a": 1}, object()])
def test_other_things_are_no_pictures(source: Any) -> None:
    assert type(source).__name__ in refused(source)
    assert "open file" in refused(source)


def test_the_package_takes_them() -> None:
    assert viz.open_picture(io.BytesIO(FILES["png"])).size == (23, 37)
