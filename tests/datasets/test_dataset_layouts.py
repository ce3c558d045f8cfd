"""Where pictures and annotations lie on people's disks: found, through links and under other names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.dataset_files import (
    PANDA,
    TABBY,
    annotation,
    category,
    coco_set,
    csv_set,
    image,
    mask_file,
    picture,
    thing,
    write,
    xml,
)
from viz.datasets import DatasetError, load_mask, open_dataset, open_sample
from viz.datasets.annotation_xml import read_xml
from viz.datasets.folders import paired

# --- links ------------------------------------------------------------------------------------------------------------


def test_linked_folders_and_files_are_followed_in_every_layout(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    picture(disk / "1.jpg")
    picture(disk / PANDA / "s.jpg")
    write(disk / "notes" / "instances_val.json", "{}")
    coco = coco_set(tmp_path / "made", [image(1, "1.jpg")], [annotation(1, 1, 7)], [category(7, "tabby")])

    linked = csv_set(tmp_path / "csv", "image,label\nimages/1.jpg,tabby\none.jpg,daisy\n")
    (linked / "images").symlink_to(disk)
    (linked / "one.jpg").symlink_to(disk / "1.jpg")
    assert [open_sample(s).size for s in open_dataset(linked)] == [(120, 160)] * 2

    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "annotations").symlink_to(coco / "annotations")
    (tmp_path / "coco" / "val").symlink_to(disk)
    for path in (tmp_path / "coco", tmp_path / "coco" / "annotations" / "instances_val.json"):
        (sample,) = open_dataset(path)
        assert sample.id == "val/1.jpg" and open_sample(sample).size == (120, 160)

    write(tmp_path / "ilsvrc" / "Annotations" / "val" / "s.xml", xml(thing(PANDA, 1, 2, 30, 40), "s"))
    (tmp_path / "ilsvrc" / "val").mkdir()
    (tmp_path / "ilsvrc" / "val" / PANDA).symlink_to(disk / PANDA)
    (sample,) = open_dataset(tmp_path / "ilsvrc", "val")
    assert sample.boxes == ((1.0, 2.0, 30.0, 40.0),) and open_sample(sample).size == (120, 160)

    lists = tmp_path / "wsol" / "metadata" / "ILSVRC" / "val"
    write(lists / "image_ids.txt", "1.jpg\n")
    write(lists / "class_labels.txt", "1.jpg,388\n")
    (tmp_path / "wsol" / "dataset").mkdir()
    (tmp_path / "wsol" / "dataset" / "ILSVRC").symlink_to(disk)
    assert open_sample(open_dataset(tmp_path / "wsol")[0]).size == (120, 160)


def test_an_index_that_is_a_link_belongs_to_the_folder_that_it_is_in(tmp_path: Path) -> None:
    index = write(tmp_path / "elsewhere" / "list.csv", "image,label\na.jpg,tabby\n")
    root = tmp_path / "set"
    picture(root / "a.jpg")
    (root / "index.csv").symlink_to(index)
    for path in (root, root / "index.csv"):
        assert open_sample(open_dataset(path)[0]).size == (120, 160)


def test_links_that_lead_in_circles_are_refused(tmp_path: Path) -> None:
    root = csv_set(tmp_path / "csv", "image,label\nloop.jpg,tabby\na.jpg,tabby\n")
    (root / "loop.jpg").symlink_to("loop.jpg")
    data = open_dataset(root)
    assert [s.id for s in data] == ["a.jpg"] and data.counts == {"path refused": 1}
    assert "is a link to itself" in data.problems[0].message
    root = tmp_path / "folders"
    picture(root / "images" / "dog" / "a.jpg")
    mask_file(root / "masks" / "dog" / "a.png", np.full((120, 160), 255))
    (root / "images" / "images").symlink_to(root / "images")
    (root / "images" / "up").symlink_to("..")
    data = open_dataset(root)
    assert [s.id for s in data] == ["images/dog/a.jpg"] and data.counts == {"folder left out": 2}


def test_what_systems_leave_beside_pictures_is_no_picture(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".hidden/b.jpg", "__MACOSX/c.jpg", "Thumbs.db"):
        picture(tmp_path / "images" / name)
    mask_file(tmp_path / "masks" / "a.png", np.full((120, 160), 255))
    data = open_dataset(tmp_path)
    assert [s.id for s in data] == ["images/a.jpg"] and not data.problems
    picture(tmp_path / "voc" / "JPEGImages" / "a.jpg")
    write(tmp_path / "voc" / "Annotations" / "a.xml", xml(thing("dog", 1, 2, 30, 40)))
    write(tmp_path / "voc" / "Annotations" / "._a.xml", b"\x00\x05\x16\x07")
    data = open_dataset(tmp_path / "voc")
    assert len(data) == 1 and not data.problems


# --- COCO -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "pictures", "name", "split"),
    [
        ("labels.json", "data", "1.jpg", "labels"),
        ("train/_annotations.coco.json", "train", "1.jpg", "train"),
        ("annotations/instances_default.json", "images", "1.jpg", "default"),
        ("annotations/instances_default.json", "images/default", "1.jpg", "default"),
        ("annotations/train.json", "images", "1.jpg", "train"),
        ("annotations/instances_val.json", "val", "val/1.jpg", "val"),
        ("annotations/instances_val.json", "val", "val\\1.jpg", "val"),
        ("annotations/instances_val.json", "images/val", "images/val/1.jpg", "val"),
        ("annotations/instances_val.json", "val", "../val/1.jpg", "val"),
        ("result.json", "images", "images/1.jpg", "result"),
    ],
)
def test_coco_pictures_are_found_where_exporters_put_them(
    tmp_path: Path, index: str, pictures: str, name: str, split: str
) -> None:
    root = coco_set(
        tmp_path, [image(1, name)], [annotation(1, 1, 7)], [category(7, "tabby")], index=index, pictures=pictures
    )
    (sample,) = data = open_dataset(root)
    assert (data.layout, data.split, sample.id) == ("coco", split, f"{pictures}/1.jpg") and not data.problems
    assert open_sample(sample).size == (120, 160)
    assert open_sample(open_dataset(root / index)[0]).size == (120, 160), "the file itself"


def test_coco_other_json_is_no_index(tmp_path: Path) -> None:
    write(tmp_path / "labels.json", '{"classes": [], "labels": {}}')
    picture(tmp_path / "images" / "a.jpg")
    mask_file(tmp_path / "masks" / "a.png", np.full((120, 160), 255))
    assert open_dataset(tmp_path).layout == "folders"


# --- Pascal VOC -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.jpeg", "a.bmp"])
def test_voc_pictures_of_any_ending(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "JPEGImages" / name)
    write(tmp_path / "Annotations" / "a.xml", xml(thing("dog", 1, 2, 30, 40), "C:\\old\\a.jpg"))
    write(tmp_path / "ImageSets" / "Main" / "val.txt", f"{name}\n")
    (sample,) = data = open_dataset(tmp_path, "val")
    assert sample.path.name == name and open_sample(sample).size == (120, 160) and not data.problems


def test_voc_an_annotation_belongs_to_one_picture(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png", "b.bmp", "c.jpg", "d.jpg"):
        picture(tmp_path / "JPEGImages" / name)
    names = {"a": "a.png", "b": "old.jpg", "c": "d.jpg", "e": "d.jpg"}
    for stem, said in names.items():
        write(tmp_path / "Annotations" / f"{stem}.xml", xml(thing("dog", 1, 2, 30, 40), said))
    data = open_dataset(tmp_path)
    assert [s.id for s in data] == ["JPEGImages/a.png", "JPEGImages/d.jpg"]
    assert data.counts == {"picture unclear": 2}
    told = [p.message for p in data.problems]
    assert "may belong to b.bmp or b.png" in told[0] and "filename is that of another picture, d.jpg" in told[1]


def test_voc_folders_by_other_names(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "annotations" / "a.xml", xml(thing("dog", 1, 2, 30, 40), "a.png"))
    data = open_dataset(tmp_path)
    assert (data.layout, data[0].id) == ("voc", "images/a.png")


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("GBK", "gbk"),
        ("gb2312", "gbk"),
        ("Big5", "big5"),
        ("Shift_JIS", "shift_jis"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1251", "cp1251"),
        ("UTF-16", "utf-16"),
        ("UTF-16", "utf-16-le"),
        ("utf-16", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("", "utf-8"),
    ],
)
def test_xml_in_the_encoding_that_it_declares(tmp_path: Path, declared: str, written: str) -> None:
    owner = {"gbk": "熊猫", "big5": "熊貓", "shift_jis": "猫", "cp1251": "кот"}.get(written, "é")
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path = write(tmp_path / "a.xml", xml(thing("dog", 1, 2, 3, 4), head=head, tail=f"<o>{owner}</o>").encode(written))
    root = read_xml(path)
    assert root.findtext("o") == owner and root.findtext("object/name") == "dog"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'<?xml version="1.0" encoding="unicode_escape"?><a/>', "unknown encoding 'unicode_escape'"),
        (b'<?xml version="1.0" encoding="zip"?><a/>', "unknown encoding 'zip'"),
        ("<a>é</a>".encode("latin-1"), "not UTF-8 text, and declares no encoding"),
        ('<?xml version="1.0" encoding="utf-8"?><a>é</a>'.encode("latin-1"), "not UTF-8 text, as it declares"),
        ('<?xml version="1.0" encoding="GBK"?><!DOCTYPE a []><a/>'.encode("gbk"), "declares a document type"),
        ('<?xml version="1.0"?><!ENTITY x "y"><a/>'.encode("utf-16"), "declares a document type or entities"),
        (b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE a+AD4-<a/>', "unknown encoding 'utf-7'"),
    ],
)
def test_xml_in_no_encoding_of_text_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        read_xml(write(tmp_path / "a.xml", data))


def test_xml_with_a_namespace_has_its_objects(tmp_path: Path) -> None:
    text = xml(thing("dog", 1, 2, 3, 4)).replace("<annotation>", '<annotation xmlns="http://example.org/voc">')
    root = read_xml(write(tmp_path / "a.xml", text.encode()))
    assert root.tag == "annotation" and root.findtext("object/name") == "dog"


# --- folders and Tiny ImageNet ----------------------------------------------------------------------------------------


def test_masks_by_the_usual_endings(tmp_path: Path) -> None:
    masks = ("a_mask.png", "b_segmentation.png", "c.jpg.png", "mask_d.png", "e-gt.png", "f_mask_1.png", "x/g_seg.png")
    for name in ("a", "b", "c", "d", "e", "f", "x/g", "h"):
        picture(tmp_path / "images" / f"{name}.jpg")
    for i, name in enumerate(masks):
        values = np.zeros((120, 160))
        values[: 10 + i] = 255
        mask_file(tmp_path / "masks" / name, values)
    data = open_dataset(tmp_path)
    found = {s.path.stem: int(load_mask(s)[:, 0].sum()) for s in data if s.mask is not None}
    assert found == {"a": 10, "b": 11, "c": 12, "d": 13, "e": 14, "f": 15, "g": 16}
    assert data.counts == {"no mask": 1}


def test_masks_and_pictures_pair_one_to_one() -> None:
    exact = paired(["a.jpg", "a_mask.jpg"], ["a.png", "a_mask.png"])
    assert exact.mask == {"a.jpg": "a.png", "a_mask.jpg": "a_mask.png"} and not exact.unclear and not exact.alone
    surer = paired(["a.jpg"], ["a_mask.png", "a.png"])
    assert surer.mask == {"a.jpg": "a.png"} and surer.alone == ("a_mask.png",)
    two = paired(["a.jpg"], ["a_mask_1.png", "a_mask_2.png"])
    assert not two.mask and "has 2 masks" in two.unclear["a.jpg"]
    shared = paired(["a.jpg", "a.png"], ["a_mask.png"])
    assert not shared.mask and set(shared.unclear) == {"a.jpg", "a.png"}
    assert paired(["1.jpg"], ["other_1.png"]).alone == ("other_1.png",)


def tiny_imagenet(root: Path) -> Path:
    for wnid in (PANDA, TABBY):
        for i in range(2):
            picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 64, 64)
        write(
            root / "train" / wnid / f"{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t10\t63\t58\n{wnid}_1.JPEG\t3\t9\t60\t58\n"
        )
    picture(root / "val" / "images" / "val_0.JPEG", 64, 64)
    write(root / "val" / "val_annotations.txt", f"val_0.JPEG\t{TABBY}\t0\t32\t44\t62\n")
    picture(root / "test" / "images" / "test_0.JPEG", 64, 64)
    return root


def test_tiny_imagenet(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path)
    (val,) = data = open_dataset(root, "val")
    assert (data.layout, data.splits, data.far_edge) == ("tiny-imagenet", ("train", "val"), "inclusive")
    assert (val.id, val.label, val.class_index) == ("val/images/val_0.JPEG", TABBY, 281)
    assert val.boxes == ((0.0, 32.0, 44.0, 62.0),) and open_sample(val).size == (64, 64)
    train = open_dataset(root, "train")
    assert [(s.label, s.boxes[0][0]) for s in train] == [(TABBY, 0.0), (TABBY, 3.0), (PANDA, 0.0), (PANDA, 3.0)]
    assert open_dataset(root / "val")[0].boxes == val.boxes and not train.problems
    with pytest.raises(DatasetError, match="This data set has: train, val"):
        open_dataset(root, "test")


def test_tiny_imagenet_whose_folders_and_lists_disagree(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path)
    picture(root / "val" / PANDA / "images" / "val_0.JPEG", 64, 64)
    picture(root / "val" / "images" / "val_9.JPEG", 64, 64)
    data = open_dataset(root, "val")
    assert [s.id for s in data] == ["val/images/val_0.JPEG"]
    assert data.counts == {"class differs": 1, "class unknown": 1}
    write(
        root / "val" / "val_annotations.txt",
        f"val_0.JPEG\t{TABBY}\t0\t32\t44\t62\nval_0.JPEG\t{PANDA}\t0\t32\t44\t62\n",
    )
    with pytest.raises(DatasetError, match=r"gives val_0\.JPEG two classes"):
        open_dataset(root, "val")
