"""Data sets in every layout, written small into a folder: what is read, what is counted, what is refused."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.localization_data import WNIDS
from tests.privileges import unprivileged
from viz.datasets import (
    LAYOUTS,
    Dataset,
    DatasetError,
    FileMask,
    RegionMask,
    Sample,
    has_object,
    load_mask,
    open_dataset,
    open_sample,
)
from viz.datasets.annotation_xml import read_xml
from viz.datasets.labels import class_of
from viz.datasets.masks import Region, fill_polygon, regions_of, unpacked
from viz.errors import PictureError


def picture(path: Path, width: int = 12, height: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, dtype=np.uint8)).save(path)
    return path


def mask_file(path: Path, values: np.ndarray, palette: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if palette:
        image = image.convert("P") if image.mode != "L" else image
        image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10] + [7] * (253 * 3))
    image.save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def kinds(dataset: Dataset) -> dict[str, int]:
    return dataset.counts


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv_set(root: Path, *rows: str, header: str = "image,label,split,width,height,boxes") -> Path:
    write(root / "index.csv", "\n".join([header, *rows]) + "\n")
    for name in ("a.png", "b.png", "c.png"):
        picture(root / "images" / name)
    return root


def test_csv_reads_boxes_classes_and_splits(tmp_path: Path) -> None:
    csv_set(
        tmp_path,
        'images/b.png,n01440764,val,12,8,"[[1.5, 2, 6, 7], [0, 0, 3, 3]]"',
        'images/a.png,n99999999,train,12,8,"[[0, 0, 12, 8]]"',
    )
    everything = open_dataset(tmp_path)
    assert [s.id for s in everything] == ["images/b.png", "images/a.png"], "the order is the index's own"
    first = everything[0]
    assert (first.size, first.class_index, first.group) == ((8, 12), 0, "images/b.png")
    assert first.boxes == ((1.5, 2.0, 6.0, 7.0), (0.0, 0.0, 3.0, 3.0))
    assert everything[1].class_index is None
    assert everything.splits == ("val", "train") and everything.layout == "csv" and everything.far_edge == "exclusive"
    val = open_dataset(tmp_path, "val")
    assert len(val) == 1 and val[0].index == 0 and not val.problems
    assert open_sample(val[0]).size == (8, 12)
    with pytest.raises(DatasetError, match=r"Unknown split 'tset'\. This data set has: val, train"):
        open_dataset(tmp_path, "tset")


def test_csv_rows_of_one_picture_and_label_are_one_sample(tmp_path: Path) -> None:
    rows = (
        "images/a.png,dog,0,0,4,4",
        "images/a.png,dog,5,5,9,8",
        "images/a.png,tench,1,1,2,2",
        "images/b.png,dog,,,,",
    )
    dataset = open_dataset(csv_set(tmp_path, *rows, header="image,label,x0,y0,x1,y1"))
    assert [s.id for s in dataset] == ["images/a.png#dog", "images/a.png#tench", "images/b.png"]
    assert len(dataset[0].boxes) == 2 and dataset[0].group == dataset[1].group and dataset.pictures == 2
    assert [s.class_index for s in dataset] == [None, 0, None]
    boxed = dataset.with_boxes()
    assert len(boxed) == 2 and kinds(boxed) == {"no box": 1}, "what is left out is counted"
    assert kinds(boxed.with_classes()) == {"no box": 1, "not an ImageNet class": 1}
    assert [s.index for s in boxed.with_classes()] == [1], "samples keep their number"


def test_csv_boxes_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    rows = (
        'images/a.png,dog,,12,8,"[[1, 1, 30, 5], [9, 1, 2, 5], [1, 1, 1, 5], [40, 1, 50, 5], [1, 2, 3]]"',
        'images/b.png,dog,,12,8,"[[NaN, 1, 2, 3], [1, 1, 1e400, 3], [true, 1, 2, 3], [0, 0, 2, 2]]"',
        "images/c.png,dog,,12,8,not json",
        "images/missing.png,dog,,12,8,",
        "images/c.png,cat,,99999999,99999999,",
    )
    dataset = open_dataset(csv_set(tmp_path, *rows))
    assert len(dataset) == 5, "a sample without a box left, and a missing picture, stay samples"
    assert dataset[0].boxes == ((1.0, 1.0, 12.0, 5.0),) and dataset[1].boxes == ((0.0, 0.0, 2.0, 2.0),)
    assert kinds(dataset) == {
        "box clipped": 1,
        "box outside": 1,
        "box reversed or empty": 2,
        "box unreadable": 5,
        "size refused": 1,
    }
    with pytest.raises(PictureError, match="does not exist"):
        open_sample(dataset[3])


def test_csv_rows_that_come_twice_are_counted(tmp_path: Path) -> None:
    half = np.zeros((8, 12))
    half[:, 6:] = 255
    mask_file(tmp_path / "masks" / "a.png", half)
    mask_file(tmp_path / "masks" / "b.png", 255 - half)
    rows = (
        "images/a.png,dog,0,0,4,4,masks/a.png",
        "images/a.png,dog,5,5,9,8,masks/a.png",  # another box in the same mask is an index with a box a row
        "images/a.png,dog,0,0,4,4,masks/a.png",
        "images/b.png,dog,,,,,masks/a.png",
        "images/b.png,dog,,,,,masks/b.png",
        "images/b.png,dog,,,,,masks/b.png",
        "images/c.png,dog,,,,,",
        "images/c.png,dog,,,,,",
        "images/c.png,cat,,,,,",
        "images/c.png,cat,9,1,2,5,",  # its box is told as reversed, not as a repetition
    )
    dataset = open_dataset(csv_set(tmp_path, *rows, header="image,label,x0,y0,x1,y1,mask"))
    assert kinds(dataset) == {"box reversed or empty": 1, "listed twice": 3}
    files = [len(s.mask.paths) if isinstance(s.mask, FileMask) else 0 for s in dataset]
    assert [len(s.boxes) for s in dataset] == [2, 0, 0, 0] and files == [1, 2, 0, 0]
    assert [p.message for p in dataset.problems[:2]] == [
        "images/a.png: listed twice with the same class; skipped 1 box repeated on line 4.",
        "images/b.png: listed twice with the same class; line 7 adds nothing.",
    ]


def test_csv_labels_that_are_all_class_numbers(tmp_path: Path) -> None:
    rows = ("images/a.png,217,val", "images/b.png,0,val", "images/c.png,999.0,train")
    dataset = open_dataset(csv_set(tmp_path, *rows, header="image,label,split"), "val")
    assert [(s.label, s.class_index) for s in dataset] == [("217", 217), ("0", 0)]
    assert dataset.classes[1].name == "tench" and kinds(dataset) == {"labels are numbers": 1}
    own = csv_set(tmp_path, "images/a.png,217,7", header="image,label,class_index")
    assert [s.class_index for s in open_dataset(own)] == [7] and not kinds(open_dataset(own))
    for other in ("images/c.png,1000,train", "images/c.png,dog,train", "images/c.png,1.5,train"):
        mixed = open_dataset(csv_set(tmp_path, *rows, other, header="image,label,split"), "val")
        assert [s.class_index for s in mixed] == [None, None], "every label of the index, in every split"


def test_csv_class_numbers_of_another_data_set_are_told_by_their_names(tmp_path: Path) -> None:
    def indices(*rows: str) -> list[int | None]:
        return [s.class_index for s in open_dataset(csv_set(tmp_path, *rows, header="image,label,name"))]

    assert indices("images/a.png,0,Black-footed Frogmouth", "images/b.png,1,") == [None, None], "bird 0 is no tench"
    assert indices("images/a.png,0,goldfish", "images/b.png,1,tench") == [1, 0], "the names decide"
    assert indices("images/a.png,0,Tench", "images/b.png,1,") == [0, 1]
    assert "labels are numbers" not in kinds(open_dataset(tmp_path)), "a name confirms it"
    assert indices('images/a.png,0,"tench, Tinca tinca"', "images/b.png,134,crane") == [0, 134]


def test_of_many_problems_a_hundred_of_a_kind_are_kept_and_all_counted(tmp_path: Path) -> None:
    rows = [f'images/{i}.png,dog,,12,8,"[[1, 1, 30, 5]]"' for i in range(250)]
    dataset = open_dataset(csv_set(tmp_path, *rows, "images/x.png,dog,,-1,8,", "images/y.png,cat,,12,8,"))
    assert kinds(dataset) == {"box clipped": 250, "size refused": 1}
    assert len(dataset.problems) == 101
    assert [(p.id, p.kind) for p in dataset.problems[98:]] == [
        ("images/98.png", "box clipped"),
        ("images/99.png", "box clipped"),
        ("images/x.png", "size refused"),
    ]
    assert dataset.problems[0].message == "images/0.png: a box extends beyond the picture; clipped."
    left = dataset.with_classes()
    assert not left.samples and kinds(left)["not an ImageNet class"] == 252 and len(left.problems) == 201
    assert kinds(left.with_boxes()) == kinds(left)


def test_csv_class_index_and_name_columns(tmp_path: Path) -> None:
    rows = ("images/a.png,x1,7,", "images/b.png,x2,,tench", "images/c.png,x3,1000,crane")
    dataset = open_dataset(csv_set(tmp_path, *rows, header="image,label,class_index,name"))
    assert [s.class_index for s in dataset] == [7, 0, None], "crane is a bird and a machine: neither is guessed"
    assert kinds(dataset) == {"class ambiguous": 1, "class unknown": 1}
    assert [(c.label, c.name) for c in dataset.classes] == [("x1", "x1"), ("x2", "tench"), ("x3", "crane")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no header"),
        ("picture,label\na,b\n", "no column image"),
        ("image,image\na,b\n", "has the column image twice"),
        ("image,label\na.png,b,c\n", "line 2 has more cells"),
        ('image,label\n"a.png,b\n', "is not CSV"),
        ("image,label\n", "has no usable picture"),
        ("image,label\n../a.png,b\n", "leaves the data set's folder"),
    ],
)
def test_csv_that_is_malformed_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / "index.csv", text)
    with pytest.raises(DatasetError, match=says) as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(b"image,label\n\xff\xfe\x00a,b\n")
    with pytest.raises(DatasetError, match="not UTF-8"):
        open_dataset(tmp_path)


def test_class_masks_give_a_sample_for_each_class(tmp_path: Path) -> None:
    values = np.zeros((8, 12))
    values[:, 4:8], values[:, 8:] = 1, 2
    mask_file(tmp_path / "masks" / "a.png", values)
    mask_file(tmp_path / "masks" / "b.png", np.full((8, 12), 9))
    write(tmp_path / "classes.txt", "sky\ncar\nvoid\n")
    rows = ("images/a.png,masks/a.png", "images/b.png,masks/b.png", "images/c.png,masks/none.png")
    dataset = open_dataset(csv_set(tmp_path, *rows, header="image,mask"))
    assert [s.id for s in dataset] == ["images/a.png#sky", "images/a.png#car"]
    assert kinds(dataset) == {"class unknown": 1, "mask unreadable": 1}
    mask = load_mask(dataset[1])
    assert mask.dtype == np.uint8 and mask[0].tolist() == [0] * 4 + [1] * 4 + [255] * 4


def test_black_and_white_masks_and_their_faults(tmp_path: Path) -> None:
    half = np.zeros((8, 12))
    half[:, 6:] = 1
    mask_file(tmp_path / "masks" / "a.png", half * 255)
    mask_file(tmp_path / "masks" / "b.png", half)
    mask_file(tmp_path / "masks" / "c.png", np.zeros((3, 3)))
    rows = ("images/a.png,x,masks/a.png,12,8", "images/b.png,x,masks/b.png,12,8", "images/c.png,x,masks/c.png,12,8")
    dataset = open_dataset(
        csv_set(tmp_path, *rows, "images/c.png,y,masks/no.png,12,8", header="image,label,mask,width,height")
    )
    for sample in dataset.samples[:2]:
        assert np.array_equal(load_mask(sample), half), "0/255 and 0/1 mean the same"
    with pytest.raises(DatasetError, match="is 3 x 3 but its picture is 12 x 8"):
        load_mask(dataset[2])
    with pytest.raises(DatasetError, match="does not exist"):
        load_mask(dataset[3])
    (tmp_path / "masks" / "no.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_mask(dataset[3])


VOC_PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [64, 64, 9] * 252 + [224, 224, 192]


def ringed(*values: int, size: tuple[int, int] = (8, 12)) -> np.ndarray:
    """Rings of these values from the outside in; the last one fills the middle."""
    found = np.zeros(size, dtype=np.uint8)
    for i, value in enumerate(values):
        found[i : size[0] - i, i : size[1] - i] = value
    return found


@pytest.mark.parametrize("mode", ["colour palette", "grey palette", "deep"])
def test_class_masks_without_a_list_of_classes(tmp_path: Path, mode: str) -> None:
    """A mask of Pascal VOC: class 7 is object, its border 255 is ignored and neither object nor background."""
    values = ringed(0, 255, 7)
    image = Image.fromarray(values if mode != "deep" else values.astype(np.uint16))
    if mode != "deep":
        image = image.convert("P")
        image.putpalette(VOC_PALETTE if mode == "colour palette" else [v for v in range(256) for _ in range(3)])
    picture(tmp_path / "set" / "images" / "a.png")
    (tmp_path / "set" / "masks").mkdir()
    image.save(tmp_path / "set" / "masks" / "a.png")
    dataset = open_dataset(tmp_path / "set")
    expected = ringed(0, 255, 1)
    assert np.array_equal(load_mask(dataset[0]), expected)
    rows = csv_set(tmp_path / "set", "images/a.png,dog,masks/a.png", header="image,label,mask")
    assert np.array_equal(load_mask(open_dataset(rows)[0]), expected)


@pytest.mark.parametrize("value", [1, 2, 7, 100, 128, 254, 255])
def test_the_one_value_beside_0_is_object(tmp_path: Path, value: int) -> None:
    path = mask_file(tmp_path / "m.png", ringed(0, value))
    assert np.array_equal(FileMask((path,)).load(), ringed(0, 1))
    palette = mask_file(tmp_path / "p.png", ringed(0, value), palette=True)
    if value < 255:
        assert np.array_equal(FileMask((palette,)).load(), ringed(0, 1))


def test_greys_that_soften_black_and_white_keep_the_threshold_at_half(tmp_path: Path) -> None:
    y, x = np.mgrid[0:256, 0:320]
    disc = (((y - 120) ** 2 + (x - 160) ** 2) < 80**2).astype(np.uint8) * 255
    for factor in (2, 4):
        soft = disc.reshape(256 // factor, factor, 320 // factor, factor).mean(axis=(1, 3)).astype(np.uint8)
        path = mask_file(tmp_path / f"{factor}.png", soft)
        assert len(np.unique(soft)) > 3 and np.array_equal(FileMask((path,)).load(), soft >= 128)
        assert np.array_equal(FileMask((mask_file(path, soft[..., None].repeat(3, 2)),)).load(), soft >= 128)
    wide = np.linspace(0, 255, 320).astype(np.uint8)[None].repeat(8, 0)
    assert np.array_equal(FileMask((mask_file(tmp_path / "wide.png", wide),)).load(), wide >= 128)
    for name in ("disc.jpg", "disc.webp"):
        Image.fromarray(disc).save(tmp_path / name, quality=80)
        lossy = FileMask((tmp_path / name,)).load()
        assert set(np.unique(lossy)) == {0, 1} and (lossy != (disc > 0)).mean() < 0.001
    Image.fromarray(ringed(0, 255, 7, size=(16, 24))).save(tmp_path / "labels.webp", lossless=True)
    assert np.array_equal(FileMask((tmp_path / "labels.webp",)).load(), ringed(0, 255, 1, size=(16, 24)))


def test_colours_palettes_and_transparency(tmp_path: Path) -> None:
    red, void = np.array([192, 0, 0], np.uint8), np.array([224, 224, 192], np.uint8)
    plan = ringed(0, 2, 1)
    colours = np.zeros((8, 12, 3), np.uint8)
    colours[plan == 1], colours[plan == 2] = red, void
    path = mask_file(tmp_path / "colours.png", colours)
    assert np.array_equal(FileMask((path,)).load(), np.where(plan == 2, 255, plan)), "VOC's void colour is void"
    # A bilevel file whose palette begins with white.
    image = Image.fromarray((plan == 0).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "turned.png")
    assert np.array_equal(FileMask((tmp_path / "turned.png",)).load(), plan > 0)
    clear = np.full((8, 12, 4), 255, np.uint8)
    clear[plan == 0, 3] = 0
    path = mask_file(tmp_path / "clear.png", clear)
    assert np.array_equal(FileMask((path,)).load(), plan > 0), "what is transparent is background"
    only_void = Image.fromarray(ringed(0, 255)).convert("P")
    only_void.putpalette(VOC_PALETTE)
    only_void.save(tmp_path / "void.png")
    mask = FileMask((tmp_path / "void.png",)).load()
    assert np.array_equal(mask, ringed(0, 255)) and mask.any() and not has_object(mask)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            ringed(0, 128, 128, 128, 255, size=(16, 24)),
            "has the values 0, 128, 255, which are neither black and white nor class numbers",
        ),
        (ringed(3, 1, 2), "has the classes 1, 2, 3 and no background 0"),
        (np.tile(np.arange(120), (8, 1)), "has 119 greys and no white"),
        (np.random.default_rng(0).integers(0, 255, (8, 12, 3)), "is a colour picture, not a mask"),
        (ringed(0, 7, 255, 100, 200, size=(16, 24)), "has the values 0, 7, 100, 200, 255"),
    ],
)
def test_masks_that_may_mean_several_things_are_refused(tmp_path: Path, values: np.ndarray, says: str) -> None:
    height, width = values.shape[:2]
    picture(tmp_path / "images" / "a.png", width, height)
    mask_file(tmp_path / "masks" / "a.png", values)
    sample = open_dataset(tmp_path)[0]
    with pytest.raises(DatasetError, match=says) as caught:
        load_mask(sample)
    assert str(caught.value).startswith("The mask of images/a.png is ambiguous: masks/a.png ")
    assert str(caught.value).endswith("; save it with 0 for background and 255 for object.")
    assert str(tmp_path) not in str(caught.value)


def test_more_unclear_masks(tmp_path: Path) -> None:
    one = Image.fromarray(ringed(0, 255)).convert("P")
    one.putpalette([*VOC_PALETTE[:-3], 200, 0, 0])
    one.save(tmp_path / "p.png")
    with pytest.raises(ValueError, match="255 may be object or void"):
        FileMask((tmp_path / "p.png",)).load()
    Image.fromarray(ringed(0, 40, size=(64, 64))).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="has lossy compression and is not black and white"):
        FileMask((tmp_path / "a.jpg",)).load()
    Image.fromarray(ringed(0, 7, 44).astype(np.uint16) * 200).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="class numbers up to 8800; only 0 to 255"):
        FileMask((tmp_path / "deep.png",), (7,)).load()


def test_a_mask_without_object_is_told_by_has_object(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    mask_file(tmp_path / "masks" / "a.png", np.zeros((8, 12)))
    assert not has_object(load_mask(open_dataset(tmp_path)[0]))
    mask_file(tmp_path / "masks" / "a.png", ringed(0, 255))
    assert has_object(load_mask(open_dataset(tmp_path)[0]))


# --- the same for every layout ----------------------------------------------------------------------------------------


def test_fingerprint_follows_the_ground_truth_only(tmp_path: Path) -> None:
    one = open_dataset(csv_set(tmp_path / "one", 'images/a.png,dog,,12,8,"[[0, 0, 5, 5]]"'))
    same = open_dataset(csv_set(tmp_path / "two", 'images/a.png,dog,,12,8,"[[0, 0, 5, 5]]"'))
    other = open_dataset(csv_set(tmp_path / "three", 'images/a.png,dog,,12,8,"[[0, 0, 5, 6]]"'))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert pickle.loads(pickle.dumps(one)).fingerprint == one.fingerprint, "processes agree"


def test_paths_may_not_leave_the_folder_but_its_links_may(tmp_path: Path) -> None:
    outside = picture(tmp_path / "outside.png")
    root = tmp_path / "set"
    rows = (
        "../outside.png,x",
        f"{outside},x",
        "images/../../outside.png,x",
        "folder/../../outside.png,x",
        "images/link.png,x",
        "folder/outside.png,x",
        "images/a.png,x",
        "C:/x.png,x",
    )
    csv_set(root, *rows, "images\\b.png,x", header="image,label")
    (root / "images" / "link.png").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    dataset = open_dataset(root)
    assert [s.group for s in dataset] == ["images/link.png", "folder/outside.png", "images/a.png", "images/b.png"]
    assert [open_sample(s).size for s in dataset.samples[:2]] == [(8, 12)] * 2, "whoever keeps the data made the links"
    assert kinds(dataset) == {"path refused": 5}
    assert str(tmp_path) not in " ".join(p.message for p in dataset.problems if p.id != "line 3")
    (tmp_path / "through").symlink_to(root)
    assert len(open_dataset(tmp_path / "through")) == 4, "the folder itself may be a link"


def test_an_index_that_is_a_link_to_no_table_is_refused_without_its_words(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret words here\n")
    root = tmp_path / "set"
    root.mkdir()
    (root / "index.csv").symlink_to(secret)
    with pytest.raises(DatasetError, match="is a link") as caught:
        open_dataset(root)
    assert "secret" not in str(caught.value)


def test_nothing_fitting_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    for layout in LAYOUTS:
        assert layout.looks_for in str(caught.value)
    with pytest.raises(DatasetError, match="No data set at nowhere"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"Unknown layout 'vocs'\. Choose one of: auto, csv"):
        open_dataset(tmp_path, layout="vocs")
    with pytest.raises(DatasetError, match="does not have the layout voc"):
        open_dataset(tmp_path, layout="voc")


def test_a_picture_of_another_size_is_refused_and_exif_is_not_applied(tmp_path: Path) -> None:
    csv_set(tmp_path, "images/a.png,x,,99,8,", "images/t.jpg,x,,12,8,")
    turned = Image.fromarray(np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "images" / "t.jpg", exif=exif, quality=95)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="is 12 x 8 but the index says 99 x 8"):
        open_sample(dataset[0])
    opened = open_sample(dataset[1])
    assert opened.size == (8, 12) and "not turned by its EXIF tag, as its boxes are not" in opened.notes


def test_names_of_classes() -> None:
    assert class_of("n01440764") == class_of("Tench") == 0
    assert class_of("electric_guitar") == 546
    assert class_of("Cardigan") != class_of("cardigan") and class_of("CARDIGAN") is None
    assert class_of("crane") is None and class_of("maillot") is None and class_of("") is None


# --- Pascal VOC -------------------------------------------------------------------------------------------------------


def voc_xml(objects: str, width: str = "12", height: str = "8") -> str:
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>../../etc/passwd</filename>{size}{objects}</annotation>"


def voc_object(name: str, box: tuple[float, ...], difficult: int = 0) -> str:
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox>{part}</object>"


def voc_set(root: Path) -> Path:
    for stem in ("p1", "p2", "p3"):
        picture(root / "JPEGImages" / f"{stem}.jpg")
    things = voc_object("dog", (1, 1, 4, 4)) + voc_object("dog", (3, 2, 13, 8)) + voc_object("person", (1, 5, 9, 8))
    write(root / "Annotations" / "p1.xml", voc_xml(things + voc_object("cat", (1, 1, 2, 2), 1)))
    write(root / "Annotations" / "p2.xml", voc_xml(voc_object("diningtable", (2, 2, 2, 2))))
    write(root / "Annotations" / "p3.xml", voc_xml("", "0", "0"))
    write(root / "ImageSets" / "Main" / "val.txt", "p1\np2\np3\n../p1\n")
    write(root / "ImageSets" / "Main" / "train.txt", "p2\n")
    write(root / "ImageSets" / "Main" / "dog_val.txt", "p1  1\np2 -1\n")
    write(root / "ImageSets" / "Segmentation" / "val.txt", "p1\n")
    values = np.zeros((8, 12))
    values[:4, :4], values[0, :4], values[4:, :4] = 12, 255, 15
    mask_file(root / "SegmentationClass" / "p1.png", values, palette=True)
    return root


def test_voc_one_sample_a_picture_and_class(tmp_path: Path) -> None:
    dataset = open_dataset(voc_set(tmp_path / "VOCdevkit" / "VOC2012").parent.parent, "val")
    assert [s.id for s in dataset] == [
        "JPEGImages/p1.jpg#dog",
        "JPEGImages/p1.jpg#person",
        "JPEGImages/p2.jpg",
    ]
    dog, person, table = dataset
    assert dog.boxes == ((0.0, 0.0, 4.0, 4.0), (2.0, 1.0, 12.0, 8.0)), "counted from 1, far edge inclusive"
    assert table.boxes == ((1.0, 1.0, 2.0, 2.0),), "one pixel is a box"
    assert dog.size == (8, 12) and table.class_index == 532 and dog.group == person.group
    assert kinds(dataset) == {"box clipped": 1, "difficult": 1, "no object": 1, "path refused": 1}
    assert dataset.splits == ("train", "val", "Segmentation/val")
    assert table.mask is None
    mask = load_mask(dog)
    assert mask[:, 0].tolist() == [255, 1, 1, 1, 0, 0, 0, 0]
    assert load_mask(person)[:, 0].tolist() == [255, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(DatasetError, match=r"Specify a split. This data set has: train, val, Segmentation/val"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "yyyy">]><annotation>&x;</annotation>',
        '<?xml version="1.0"?><!doctype a SYSTEM "http://localhost/x.dtd"><a/>',
        "<annotation>",
        "<a>" * 40 + "</a>" * 40,
        "",
        "<annotation>&unknown;</annotation>",
    ],
)
def test_voc_hostile_xml_is_a_problem_not_a_crash(tmp_path: Path, text: str) -> None:
    root = voc_set(tmp_path)
    write(root / "Annotations" / "p2.xml", text)
    dataset = open_dataset(root, "val")
    assert [s.label for s in dataset] == ["dog", "person"]
    assert kinds(dataset)["annotation unreadable"] == 1


def test_xml_that_hides_entities_in_an_encoding_or_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a []><a/>'.encode("utf-16"))
    with pytest.raises(DatasetError, match="declares a document type"):
        read_xml(path)
    path.write_text("<a>" + " " * 2**20 + "</a>")
    with pytest.raises(DatasetError, match="larger than 1 MiB"):
        read_xml(path)


# --- COCO -------------------------------------------------------------------------------------------------------------


def coco_set(root: Path, **changes: object) -> Path:
    picture(root / "val" / "1.jpg")
    picture(root / "val" / "2.jpg")
    square = [2, 2, 6, 2, 6, 6, 2, 6]
    runs = {"size": [8, 12], "counts": [80, 16]}
    data: dict[str, object] = {
        "images": [
            {"id": 2, "file_name": "2.jpg", "width": 12, "height": 8},
            {"id": 1, "file_name": "1.jpg", "width": 12, "height": 8},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 67, "name": "dining table"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 18, "bbox": [2, 2, 4, 4], "segmentation": [square], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 18, "bbox": [0, 0, 1, 1], "segmentation": runs, "iscrowd": 1},
            {"id": 3, "image_id": 1, "category_id": 67, "bbox": [1, 1, 3.5, 2], "iscrowd": 0},
            {"id": 4, "image_id": 2, "category_id": 18, "bbox": [0, 0, 1, 1], "segmentation": runs, "iscrowd": 1},
            {"id": 5, "image_id": 9, "category_id": 18, "bbox": [0, 0, 1, 1]},
            {"id": 6, "image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1]},
        ],
    }
    write(root / "annotations" / "instances_val.json", json.dumps(data | changes))
    return root


def test_coco_polygons_crowds_and_boxes(tmp_path: Path) -> None:
    dataset = open_dataset(coco_set(tmp_path))
    assert [s.id for s in dataset] == ["val/1.jpg#dog", "val/1.jpg#dining table"] and dataset.split == "val"
    dog, table = dataset
    assert dog.boxes == ((2.0, 2.0, 6.0, 6.0),) and table.boxes == ((1.0, 1.0, 4.5, 3.0),)
    assert (dog.class_index, table.class_index, table.mask) == (None, 532, None)
    assert kinds(dataset) == {"class unknown": 1, "crowd only": 1, "picture unknown": 1}
    mask = load_mask(dog)
    expected = np.zeros((8, 12), dtype=np.uint8)
    expected[2:6, 2:6], expected[:, 10:] = 1, 255
    assert np.array_equal(mask, expected)
    assert open_dataset(tmp_path / "annotations" / "instances_val.json").fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, float("nan")]],
        ["x"],
        {"size": [8, 12], "counts": [5]},
        {"size": [8, 12], "counts": [-1, 97]},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"size": [8, 12], "counts": "~~~"},
        "text",
    ],
)
def test_coco_broken_regions_leave_the_box(tmp_path: Path, segmentation: object) -> None:
    thing = {"id": 1, "image_id": 1, "category_id": 18, "bbox": [2, 2, 4, 4], "segmentation": segmentation}
    dataset = open_dataset(coco_set(tmp_path, annotations=[thing]))
    assert dataset[0].mask is None and len(dataset[0].boxes) == 1
    assert kinds(dataset)["mask unreadable"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON: line 1"),
        ("[]", "not in COCO's form"),
        ('{"images": {}, "annotations": [], "categories": []}', "not in COCO's form"),
        ("[" * 200_000, "cannot be read|nested too deeply"),
        ('{"images": ' + "9" * 5000 + "}", "a number cannot be read"),
    ],
)
def test_coco_malformed_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    root = coco_set(tmp_path)
    write(root / "annotations" / "instances_val.json", text)
    with pytest.raises(DatasetError, match=says):
        open_dataset(root)


def test_run_lengths_go_down_the_columns() -> None:
    (region,) = regions_of({"size": [2, 3], "counts": [1, 2, 3]}, (2, 3))
    assert region.fill((2, 3)).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert unpacked("123") == [1, 2, 3]
    assert unpacked("1231") == [1, 2, 3, 3], "from the fourth on, the difference to the run before the last"
    assert unpacked("P1") == [32] and unpacked("O") == [-1], "five bits a character, the last one signed"
    with pytest.raises(ValueError, match="cut off"):
        unpacked("P")


def test_polygons_cover_the_pixels_whose_centre_they_hold() -> None:
    triangle = fill_polygon(np.array([[0, 0], [4, 0], [0, 4]], dtype=np.float32), (4, 4))
    assert triangle.sum(axis=1).tolist() == [3, 2, 1, 0], "a centre on the far edge is outside"
    ring = np.array([[0.6, 0.4], [3.4, 0.4], [3.4, 2.6], [0.6, 2.6]], dtype=np.float32)
    assert fill_polygon(ring, (4, 5)).astype(int).tolist() == [[0, 1, 1, 0, 0]] * 3 + [[0] * 5]
    outside = np.array([[-9, -9], [30, -9], [30, 30], [-9, 30]], dtype=np.float32)
    assert fill_polygon(outside, (3, 3)).all()
    with pytest.raises(ValueError, match="pixels"):
        RegionMask((10**5, 10**5), (Region(ring.tobytes()),)).load()


# --- ILSVRC -----------------------------------------------------------------------------------------------------------


def test_ilsvrc_flat_with_xml_and_broken_ones(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        picture(tmp_path / "val" / f"ILSVRC2012_val_0000000{number}.JPEG.jpg").rename(
            tmp_path / "val" / f"ILSVRC2012_val_0000000{number}.JPEG"
        )
    notes = tmp_path / "Annotations" / "CLS-LOC" / "val"
    things = voc_object("n01440764", (1, 1, 12, 8)) + voc_object("n01440764", (2, 2, 2, 5))
    write(notes / "ILSVRC2012_val_00000001.xml", voc_xml(things))
    write(notes / "ILSVRC2012_val_00000002.xml", "<!DOCTYPE x><annotation/>")
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.split, dataset.splits, dataset.far_edge) == ("ilsvrc", "val", ("val",), "inclusive")
    assert len(dataset) == 1
    assert dataset[0].boxes == ((1.0, 1.0, 12.0, 8.0), (2.0, 2.0, 2.0, 5.0)), "as they stand"
    assert (dataset[0].class_index, dataset[0].size) == (0, (8, 12))
    assert dataset.classes[0].name == "tench"
    assert kinds(dataset) == {"annotation unreadable": 1, "class unknown": 2}


def test_ilsvrc_folders_by_wordnet_id(tmp_path: Path) -> None:
    picture(tmp_path / "n01443537" / "x.jpg")
    picture(tmp_path / "n01440764" / "y.jpg")
    write(tmp_path / "n01443537" / "x.xml", voc_xml(voc_object("n01443537", (0, 0, 5, 5))))
    dataset = open_dataset(tmp_path)
    assert [(s.id, s.class_index, len(s.boxes)) for s in dataset] == [
        ("n01440764/y.jpg", 0, 0),
        ("n01443537/x.jpg", 1, 1),
    ]
    assert dataset.split is None and kinds(dataset.with_boxes()) == {"no box": 1}


def ilsvrc_kit(root: Path) -> Path:
    (root / "ImageSets" / "CLS-LOC").mkdir(parents=True)
    for number in (1, 2):
        name = f"ILSVRC2012_val_0000000{number}"
        drawn = picture(root / "Data" / "CLS-LOC" / "val" / f"{name}.jpg")
        drawn.rename(drawn.with_suffix(".JPEG"))
        things = voc_object(WNIDS[number], (0, 0, 5, 5)) + voc_object(WNIDS[number], (number, 2, 9, 7))
        write(root / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml", voc_xml(things))
    drawn = picture(root / "Data" / "CLS-LOC" / "train" / WNIDS[0] / f"{WNIDS[0]}_7.jpg")
    drawn.rename(drawn.with_suffix(".JPEG"))
    notes = root / "Annotations" / "CLS-LOC" / "train" / WNIDS[0] / f"{WNIDS[0]}_7.xml"
    write(notes, voc_xml(voc_object(WNIDS[0], (1, 1, 3, 3))))
    return root


@pytest.mark.parametrize("outer", [".", "ILSVRC"])
def test_ilsvrc_development_kit(tmp_path: Path, outer: str) -> None:
    ilsvrc_kit(tmp_path / outer)
    dataset = open_dataset(tmp_path, "val")
    assert (dataset.layout, dataset.splits) == ("ilsvrc", ("train", "val"))
    assert [(s.label, s.class_index, s.size) for s in dataset] == [
        (WNIDS[1], class_of(WNIDS[1]), (8, 12)),
        (WNIDS[2], class_of(WNIDS[2]), (8, 12)),
    ]
    assert dataset[1].boxes == ((0.0, 0.0, 5.0, 5.0), (2.0, 2.0, 9.0, 7.0)) and not dataset.problems
    (train,) = open_dataset(tmp_path, "train")
    assert (train.label, train.boxes) == (WNIDS[0], ((1.0, 1.0, 3.0, 3.0),))


def test_ilsvrc_pictures_alone_say_where_their_annotations_are(tmp_path: Path) -> None:
    root = ilsvrc_kit(tmp_path / "kit")
    for inner, split, up in (
        ("Data/CLS-LOC/val", None, "../../.."),
        ("Data/CLS-LOC", "val", "../.."),
        ("Data", "val", ".."),
    ):
        with pytest.raises(DatasetError, match="has no annotations; they are in") as caught:
            open_dataset(root / inner, split)
        assert f"{up}/Annotations. Open the folder kit ({up})" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    folders = open_dataset(root / "Data" / "CLS-LOC" / "train")
    assert kinds(folders) == {"annotations elsewhere": 1} and not folders[0].boxes
    assert "Open the folder kit (../../..)" in folders.problems[0].message


def test_ilsvrc_kaggle_solution(tmp_path: Path) -> None:
    val = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    picture(val / "ILSVRC2012_val_00000001.jpg").rename(val / "ILSVRC2012_val_00000001.JPEG")
    rows = (
        "ILSVRC2012_val_00000001,n01440764 1 2 10 7 n01440764 0 0 3 3 n01443537 4 4 5 5 ",
        "ILSVRC2012_val_00000002,n01440764 1 2 10",
        "../../x,n01440764 1 2 10 7",
        "n01443537_10007,n01443537 9 2 1 7",
    )
    write(tmp_path / "LOC_val_solution.csv", "ImageId,PredictionString\n" + "\n".join(rows))
    dataset = open_dataset(tmp_path)
    assert [(s.label, len(s.boxes)) for s in dataset] == [("n01440764", 2), ("n01443537", 1), ("n01443537", 0)]
    assert dataset[0].id.endswith("/val/ILSVRC2012_val_00000001.JPEG#n01440764")
    assert open_sample(dataset[0]).size == (8, 12)
    assert kinds(dataset) == {"annotation unreadable": 1, "box reversed or empty": 1, "path refused": 1}


# --- the lists of wsolevaluation --------------------------------------------------------------------------------------


def wsol_set(root: Path, dataset: str = "ILSVRC", split: str = "test") -> Path:
    folder = root / "metadata" / dataset / split
    picture(root / "dataset" / dataset / "val" / "a.jpg")
    write(folder / "image_ids.txt", "val/a.jpg\nval/b.jpg\n")
    write(folder / "class_labels.txt", "val/a.jpg,0\nval/b.jpg,1\nval/c.jpg,1\n")
    write(folder / "image_sizes.txt", "val/a.jpg,12,8\nval/b.jpg,12,8\n")
    write(folder / "localization.txt", "val/a.jpg,1,2,11,7\nval/a.jpg,0,0,3,3\nval/b.jpg,0,0,12,8\n")
    return root


def test_wsol_lists(tmp_path: Path) -> None:
    dataset = open_dataset(wsol_set(tmp_path))
    assert [(s.id, s.class_index, s.size, len(s.boxes)) for s in dataset] == [
        ("dataset/ILSVRC/val/a.jpg", 0, (8, 12), 2),
        ("dataset/ILSVRC/val/b.jpg", 1, (8, 12), 1),
    ]
    assert (dataset.split, dataset.far_edge, dataset.name) == ("test", "inclusive", "ILSVRC")
    assert kinds(dataset) == {"picture unknown": 1}
    for inner in ("metadata", "metadata/ILSVRC"):
        assert open_dataset(tmp_path / inner).fingerprint == dataset.fingerprint
    wsol_set(tmp_path, "CUB")
    with pytest.raises(DatasetError, match="This data set has: CUB/test, ILSVRC/test"):
        open_dataset(tmp_path)
    assert [s.class_index for s in open_dataset(tmp_path, "CUB/test")] == [None, None], "bird 0 is no tench"


def test_wsol_masks_with_an_ignored_region(tmp_path: Path) -> None:
    root = wsol_set(tmp_path, "OpenImages")
    folder, base = root / "metadata" / "OpenImages" / "test", root / "dataset" / "OpenImages"
    left, right, ignored = np.zeros((8, 12)), np.zeros((8, 12)), np.zeros((8, 12))
    left[:, :2], right[:, 6:8], ignored[:, 7:10] = 255, 255, 255
    for name, values in (("m1", left), ("m2", right), ("ig", ignored)):
        mask_file(base / "masks" / f"{name}.png", values)
    lines = "val/a.jpg,masks/m1.png,masks/ig.png\nval/a.jpg,masks/m2.png,\nval/b.jpg,../../m.png,\n"
    write(folder / "localization.txt", lines)
    dataset = open_dataset(root)
    assert load_mask(dataset[0])[0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 255, 255, 0, 0]
    assert dataset[1].mask is None and kinds(dataset)["path refused"] == 1
    write(folder / "localization.txt", "val/a.jpg,1,2,3\n")
    with pytest.raises(DatasetError, match="has a line with missing or extra fields"):
        open_dataset(root)


# --- CUB and folders --------------------------------------------------------------------------------------------------


def test_cub_lists(tmp_path: Path) -> None:
    write(tmp_path / "images.txt", "1 001.Albatross/a.jpg\n2 014.Indigo_Bunting/b.jpg\n3 ../c.jpg\n")
    write(tmp_path / "image_class_labels.txt", "1 1\n2 14\n3 1\n")
    write(tmp_path / "bounding_boxes.txt", "1 1.0 2.0 5.0 4.0\n2 0 0 x 4\n")
    write(tmp_path / "train_test_split.txt", "1 1\n2 0\n3 0\n")
    write(tmp_path / "classes.txt", "1 001.Albatross\n14 014.Indigo_Bunting\n")
    picture(tmp_path / "images" / "001.Albatross" / "a.jpg")
    values = np.zeros((8, 12))
    values[:, :3], values[:, 3] = 255, 51
    mask_file(tmp_path / "segmentations" / "001.Albatross" / "a.png", values)
    dataset = open_dataset(tmp_path)
    assert [(s.label, s.class_index, s.boxes) for s in dataset] == [
        ("001.Albatross", 146, ((1.0, 2.0, 6.0, 6.0),)),
        ("014.Indigo_Bunting", 14, ()),
    ]
    assert load_mask(dataset[0])[0].tolist() == [1] * 3 + [0] * 9, "one annotator of five is no majority"
    assert kinds(dataset) == {"box unreadable": 1, "path refused": 1}
    assert [s.label for s in open_dataset(tmp_path, "test")] == ["014.Indigo_Bunting"]
    with pytest.raises(DatasetError, match="This data set has: train, test"):
        open_dataset(tmp_path, "val")


def test_folders_of_pictures_and_masks(tmp_path: Path) -> None:
    for name in ("dog/a.jpg", "dog/b.jpg", "cat/a.jpg"):
        picture(tmp_path / "DUTS-Image" / name)
    mask_file(tmp_path / "DUTS-Mask" / "dog" / "a.png", np.full((8, 12), 255))
    mask_file(tmp_path / "DUTS-Mask" / "cat" / "a.png", np.zeros((8, 12)))
    mask_file(tmp_path / "DUTS-Mask" / "x.png", np.zeros((8, 12)))
    dataset = open_dataset(tmp_path)
    assert [(s.id, s.label, s.mask is not None) for s in dataset] == [
        ("DUTS-Image/cat/a.jpg", "cat", True),
        ("DUTS-Image/dog/a.jpg", "dog", True),
        ("DUTS-Image/dog/b.jpg", "dog", False),
    ]
    assert load_mask(dataset[1]).all() and not load_mask(dataset[0]).any()
    assert kinds(dataset) == {"no mask": 1, "no picture": 1}
    assert kinds(dataset.with_masks()) == {"no mask": 2, "no picture": 1}


def test_folders_with_splits_and_class_masks(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / "images" / split / "a.jpg")
        mask_file(tmp_path / "masks" / split / "a.png", np.eye(8, 12))
    write(tmp_path / "classes.txt", "road\ncar\n")
    dataset = open_dataset(tmp_path, "val")
    assert [s.id for s in dataset] == ["images/val/a.jpg#road", "images/val/a.jpg#car"]
    assert dataset.splits == ("train", "val") and load_mask(dataset[1]).sum() == 8
    assert len(open_dataset(tmp_path)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="a file's mode does not forbid reading there")
def test_an_index_without_permission_is_refused() -> None:
    with unprivileged() as folder:
        write(folder / "index.csv", "image\n").chmod(0)
        with pytest.raises(DatasetError, match="cannot be read"):
            open_dataset(folder)


def test_a_sample_is_plain_data(tmp_path: Path) -> None:
    sample = open_dataset(coco_set(tmp_path))[0]
    assert pickle.loads(pickle.dumps(sample)) == sample and hash(sample)
    assert isinstance(sample, Sample)
