"""Truth that could be another picture's or class's: reported or refused, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.dataset_files import (
    DAISY,
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
from viz.datasets import Dataset, DatasetError, Sample, load_mask, open_dataset
from viz.datasets.homonyms import CAPITAL_HOMONYMS, HOMONYMS
from viz.datasets.labels import class_of, unclear

# --- identifiers of COCO files ----------------------------------------------------------------------------------------


def boxes_of(data: Dataset) -> dict[str, list[float]]:
    """The left edge of each picture's boxes."""
    return {s.id: [b[0] for b in s.boxes] for s in data}


@pytest.mark.parametrize("ids", [(1, 2), (1.0, 2.0), ("1", "2"), ("a", "b"), ("1", 2.0)])
@pytest.mark.parametrize("written", [str, float, int])
def test_coco_identifiers_are_compared_by_what_they_say(
    tmp_path: Path, ids: tuple[object, object], written: type
) -> None:
    asked = [i if i in ("a", "b") else written(int(float(str(i)))) for i in ids]
    notes = [annotation(1, asked[0], 7.0, x=20), annotation(2, asked[1], "7", x=50)]
    root = coco_set(tmp_path, [image(ids[0], "1.jpg"), image(ids[1], "2.jpg")], notes, [category(7, "tabby")])
    data = open_dataset(root)
    assert boxes_of(data) == {"val/1.jpg": [20.0], "val/2.jpg": [50.0]} and not data.problems


@pytest.mark.parametrize("odd", [True, 1.5, None, 1e300, [1], ""])
def test_coco_identifiers_that_are_none_name_no_picture(tmp_path: Path, odd: object) -> None:
    notes = [annotation(1, odd, 7), annotation(2, 1, 7, x=50)]
    data = open_dataset(coco_set(tmp_path, [image(odd, "2.jpg"), image(1, "1.jpg")], notes, [category(7, "tabby")]))
    assert boxes_of(data) == {"val/1.jpg": [50.0]}
    assert data.counts == {"id unreadable": 1, "picture unknown": 1}


def test_coco_an_identifier_of_two_pictures_and_a_picture_of_two_identifiers(tmp_path: Path) -> None:
    images = [image(1, "1.jpg"), image("1", "2.jpg"), image(2, "x/3.jpg"), image(3, "./x//3.jpg"), image(4, "4.jpg")]
    notes = [annotation(i, i, 7) for i in (1, 2, 3, 4)]
    data = open_dataset(coco_set(tmp_path, images, notes, [category(7, "tabby")]))
    assert [s.id for s in data] == ["val/4.jpg"]
    assert data.counts == {"id used twice": 1, "picture named twice": 1, "picture unclear": 3}
    same = [image(1, "1.jpg"), image(1, "1.jpg")]
    data = open_dataset(coco_set(tmp_path / "same", same, notes[:1], [category(7, "tabby")]))
    assert len(data) == 1 and data.counts == {"listed twice": 1}


def test_coco_annotations_that_share_an_identifier(tmp_path: Path) -> None:
    notes = [annotation(1, 1, 7), annotation(1, 1, 7), annotation(1, 1, 7, x=50)]
    data = open_dataset(coco_set(tmp_path, [image(1, "1.jpg")], notes, [category(7, "tabby")]))
    assert boxes_of(data) == {"val/1.jpg": [20.0, 50.0]}
    assert data.counts == {"id used twice": 1, "listed twice": 1}


def test_coco_categories_that_share_an_identifier_or_a_name(tmp_path: Path) -> None:
    named = [category(1, "tabby"), category(1, "dog"), category(2, "crane", "bird"), category(3, "crane", "vehicle")]
    named += [category(4, "daisy"), category(5, "daisy")]
    notes = [annotation(i, 1, i, x=10 * i) for i in range(1, 6)]
    data = open_dataset(coco_set(tmp_path, [image(1, "1.jpg")], notes, named))
    assert boxes_of(data) == {
        "val/1.jpg#crane (bird)": [20.0],
        "val/1.jpg#crane (vehicle)": [30.0],
        "val/1.jpg#daisy": [40.0, 50.0],
    }
    assert data.counts == {"class named twice": 2, "class unclear": 1, "id used twice": 1}


def test_coco_crowds_are_crowds_however_written(tmp_path: Path) -> None:
    notes = [annotation(1, 1, 7, iscrowd=flag) for flag in (1, True, "1", 1.0)]
    notes = [{**note, "id": i} for i, note in enumerate([*notes, annotation(9, 1, 7, x=60, iscrowd="0")])]
    data = open_dataset(coco_set(tmp_path, [image(1, "1.jpg")], notes, [category(7, "tabby")]))
    assert boxes_of(data) == {"val/1.jpg": [60.0]}


def test_coco_regions_apart_from_their_boxes_or_in_shares_give_no_mask(tmp_path: Path) -> None:
    region = [[100, 80, 130, 80, 130, 110]]
    shares = [[0.1, 0.1, 0.5, 0.1, 0.5, 0.9]]
    notes = [annotation(1, 1, 7, segmentation=region), annotation(2, 2, 7, segmentation=shares)]
    data = open_dataset(coco_set(tmp_path, [image(1, "1.jpg"), image(2, "2.jpg")], notes, [category(7, "tabby")]))
    assert [s.mask for s in data] == [None, None] and all(s.boxes for s in data)
    assert data.counts == {"box and region differ": 1, "mask unreadable": 1}


# --- names ------------------------------------------------------------------------------------------------------------


def test_homonyms_are_names_of_imagenet_and_give_no_class(tmp_path: Path) -> None:
    for word, (meaning, kinds) in {**HOMONYMS, **CAPITAL_HOMONYMS}.items():
        assert class_of(word) is None and meaning in unclear(word), word
        for kind in kinds:
            assert class_of(word, kind) is not None and not unclear(word, kind), (word, kind)
    assert class_of("mouse", "electronic") == 673 and class_of("mouse", "animal") is None
    assert class_of("cup") == 968 and class_of("orange") == 950 and class_of("zebra") == 340
    assert "134 and 517" in unclear("crane") and not unclear("tabby") and not unclear("no such word")


def test_coco_kite_is_no_bird_unless_it_is_said(tmp_path: Path) -> None:
    named = [category(1, "kite", "sports"), category(2, "cup", "kitchen"), category(3, "mouse", "electronic")]
    notes = [annotation(i, 1, i) for i in (1, 2, 3)]
    data = open_dataset(coco_set(tmp_path, [image(1, "1.jpg")], notes, named))
    assert [(s.label, s.class_index) for s in data] == [("kite", None), ("cup", 968), ("mouse", 673)]
    assert data.counts == {"class ambiguous": 1}
    assert data.problems[0].message.startswith(
        "kite: 'kite' may not mean ImageNet's class of that name (21, a bird of prey)"
    )
    bird = coco_set(tmp_path / "bird", [image(1, "1.jpg")], notes[:1], [category(1, "kite", "Bird")])
    assert open_dataset(bird)[0].class_index == 21


def test_coco_names_with_one_meaning_are_still_classes() -> None:
    """COCO's own names that are ImageNet's, by the meanings that LVIS wrote down for them."""
    same = {"traffic light": 920, "parking meter": 704, "zebra": 340, "backpack": 414, "umbrella": 879, "banana": 954}
    same |= {"orange": 950, "broccoli": 937, "pizza": 963, "dining table": 532, "laptop": 620, "microwave": 651}
    same |= {"toaster": 859, "refrigerator": 760, "vase": 883}
    assert {name: class_of(name) for name in same} == same


# --- class_index beside labels ----------------------------------------------------------------------------------------


def test_csv_class_index_counts_for_its_own_row(tmp_path: Path) -> None:
    text = "image,label,class_index,x0,y0,x1,y1\na.jpg,animal,388,1,2,30,40\nb.jpg,animal,281,1,2,30,40\n"
    data = open_dataset(csv_set(tmp_path, text))
    assert [(s.id, s.class_index) for s in data] == [("a.jpg", 388), ("b.jpg", 281)]
    assert [(c.label, c.class_index) for c in data.classes] == [("animal", None)]
    assert data.counts == {"label of several classes": 1}
    assert "has the class_index 281, 388; each sample keeps its own" in data.problems[0].message


def test_csv_objects_of_one_label_and_two_class_numbers_are_two_samples(tmp_path: Path) -> None:
    rows = (
        "a.jpg,animal,388,1,2,30,40",
        "a.jpg,animal,281,5,5,30,40",
        "a.jpg,animal,,6,6,30,40",
        "a.jpg,animal,388,7,7,9,9",
    )
    data = open_dataset(csv_set(tmp_path, "image,label,class_index,x0,y0,x1,y1\n" + "\n".join(rows) + "\n"))
    assert [(s.id, s.class_index, len(s.boxes)) for s in data] == [
        ("a.jpg#animal#388", 388, 2),
        ("a.jpg#animal#281", 281, 1),
        ("a.jpg#animal#None", None, 1),
    ]
    assert len({s.id for s in data}) == 3 and data.counts == {"label of several classes": 1}


def test_csv_a_class_index_that_contradicts_its_label_is_reported(tmp_path: Path) -> None:
    rows = ("a.jpg,tabby,388,1,2,30,40", "b.jpg,tabby,281,5,5,30,40", "b.jpg,tabby,,6,6,30,40")
    data = open_dataset(csv_set(tmp_path, "image,label,class_index,x0,y0,x1,y1\n" + "\n".join(rows) + "\n"))
    assert [(s.id, s.class_index, len(s.boxes)) for s in data] == [("a.jpg", 388, 1), ("b.jpg", 281, 2)]
    assert data.counts == {"label and class_index differ": 1}


def test_csv_a_label_with_names_of_two_classes_has_none(tmp_path: Path) -> None:
    data = open_dataset(csv_set(tmp_path, "image,label,name\na.jpg,x1,tabby\nb.jpg,x1,daisy\n"))
    assert [s.class_index for s in data] == [None, None] and data.counts == {"class ambiguous": 1}


# --- the same file name in several folders ----------------------------------------------------------------------------


def ilsvrc_set(root: Path, pictures: tuple[str, ...], notes: dict[str, str]) -> Dataset:
    for name in pictures:
        picture(root / name)
    for name, text in notes.items():
        write(root / name, text)
    return open_dataset(root, "val")


def test_ilsvrc_the_same_name_in_every_class_folder(tmp_path: Path) -> None:
    wnids = (PANDA, TABBY, DAISY)
    notes = {f"Annotations/val/{w}/s_0.xml": xml(thing(w, 10 * i, 5, 90, 80), "s_0") for i, w in enumerate(wnids)}
    data = ilsvrc_set(tmp_path, tuple(f"val/{w}/s_0.JPEG" for w in wnids), notes)
    assert {s.id: (s.label, s.boxes[0][0]) for s in data} == {
        f"val/{w}/s_0.JPEG": (w, 10.0 * i) for i, w in enumerate(wnids)
    }
    assert len(data) == 3 and not data.problems


def test_ilsvrc_one_annotation_for_several_pictures_is_used_for_none(tmp_path: Path) -> None:
    notes = {"Annotations/val/s.xml": xml(thing(PANDA, 1, 2, 30, 40), "s")}
    data = ilsvrc_set(tmp_path, (f"val/{PANDA}/s.jpg", f"val/{TABBY}/s.jpg"), notes)
    assert [s.boxes for s in data] == [(), ()] and data.counts == {"annotation unclear": 2}
    data = ilsvrc_set(tmp_path / "endings", (f"val/{PANDA}/s.jpg", f"val/{PANDA}/s.png"), notes)
    assert [s.boxes for s in data] == [(), ()] and data.counts == {"annotation unclear": 2}


def test_ilsvrc_annotations_of_another_split_class_or_picture(tmp_path: Path) -> None:
    box = thing(PANDA, 1, 2, 30, 40)
    data = ilsvrc_set(
        tmp_path / "split",
        (f"val/{PANDA}/s.jpg", f"train/{PANDA}/s.jpg"),
        {f"Annotations/train/{PANDA}/s.xml": xml(box, "s")},
    )
    assert data[0].boxes == (), "the training picture of the same name is another one"
    data = ilsvrc_set(tmp_path / "class", (f"val/{PANDA}/s.jpg",), {f"Annotations/val/{TABBY}/s.xml": xml(box, "s")})
    assert data[0].boxes == ()
    pictures = (f"val/{PANDA}/s.jpg", f"val/{PANDA}/t.jpg")
    data = ilsvrc_set(tmp_path / "picture", pictures, {f"Annotations/val/{PANDA}/s.xml": xml(box, "t.jpg")})
    assert [s.boxes for s in data] == [(), ()] and data.counts == {"annotation unclear": 1}
    data = ilsvrc_set(
        tmp_path / "label", pictures[:1], {f"Annotations/val/{PANDA}/s.xml": xml(thing(TABBY, 1, 2, 30, 40), "s")}
    )
    assert data.counts == {"class differs": 1}


def test_lists_that_name_a_picture_twice_with_other_values_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "images.txt", "1 a.jpg\n1 b.jpg\n")
    write(tmp_path / "bounding_boxes.txt", "1 1 2 3 4\n")
    write(tmp_path / "image_class_labels.txt", "1 1\n")
    with pytest.raises(DatasetError, match=r"images\.txt lists 1 twice"):
        open_dataset(tmp_path)
    lists = tmp_path / "wsol" / "metadata" / "ILSVRC" / "val"
    write(lists / "image_ids.txt", "a.jpg\n")
    write(lists / "class_labels.txt", "a.jpg,1\na.jpg,2\n")
    with pytest.raises(DatasetError, match=r"class_labels\.txt lists a\.jpg twice"):
        open_dataset(tmp_path / "wsol")


# --- class numbers of masks -------------------------------------------------------------------------------------------

BIRD, DOG = (1, 1, 40, 40), (81, 61, 160, 120)


def regions(bird: int, dog: int) -> np.ndarray:
    values = np.zeros((120, 160), np.uint8)
    values[:40, :40], values[60:, 80:] = bird, dog
    return values


def voc_set(root: Path, values: np.ndarray, lists: dict[str, str] | None = None, **more: object) -> Dataset:
    picture(root / "JPEGImages" / "a.jpg")
    write(root / "Annotations" / "a.xml", xml(thing(str(more.get("first", "bird")), *BIRD) + thing("dog", *DOG)))
    mask_file(root / "SegmentationClass" / "a.png", values, more.get("palette"))  # type: ignore[arg-type]
    for name, text in (lists or {}).items():
        write(root / name, text)
    return open_dataset(root)


def pixels(sample: Sample) -> int:
    return int((load_mask(sample) == 1).sum())


NAMES = "_background_\nbird\ncat\ndog\n"
COLOURS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:64,0,128::\nbird:0,0,128::\n"


@pytest.mark.parametrize(
    ("values", "lists"),
    [
        (regions(3, 12), {}),
        (regions(1, 3), {"class_names.txt": NAMES}),
        (regions(1, 3), {"labels.txt": f"__ignore__\n{NAMES}"}),
        (regions(1, 3), {"labels.txt": f"__ignore__\n{NAMES}", "class_names.txt": NAMES}),
    ],
)
def test_voc_masks_have_the_numbers_of_the_folders_own_list(
    tmp_path: Path, values: np.ndarray, lists: dict[str, str]
) -> None:
    data = voc_set(tmp_path, values, lists)
    assert [(s.label, pixels(s)) for s in data] == [("bird", 1600), ("dog", 4800)] and not data.problems


def test_voc_masks_in_colours(tmp_path: Path) -> None:
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:40, :40], rgb[60:, 80:] = (128, 128, 0), (64, 0, 128)
    assert [pixels(s) for s in voc_set(tmp_path / "voc", rgb)] == [1600, 4800], "Pascal VOC's own colours"
    rgb[:40, :40] = (0, 0, 128)
    assert [pixels(s) for s in voc_set(tmp_path / "cvat", rgb, {"labelmap.txt": COLOURS})] == [1600, 4800]
    palette = [0] * 768
    palette[15:18], palette[27:30] = (0, 0, 128), (64, 0, 128)
    data = voc_set(tmp_path / "palette", regions(5, 9), {"labelmap.txt": COLOURS}, palette=palette)
    assert [pixels(s) for s in data] == [1600, 4800], "the palette's colours, not its numbers"
    rgb[:40, :40] = (10, 20, 30)
    for sample in voc_set(tmp_path / "unknown", rgb):
        with pytest.raises(DatasetError, match=r"has the colour \(10, 20, 30\), which belongs to no class"):
            load_mask(sample)


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ({"classes.txt": "bird\ncat\ndog\n"}, "does not begin with the background"),
        ({"class_names.txt": NAMES, "labels.txt": "_background_\ndog\nbird\n"}, "give different numbers"),
        ({"labelmap.txt": "bird\n"}, "not a name with a colour"),
        ({"class_names.txt": "_background_\nbird\nbird\n"}, "has a duplicate class"),
    ],
)
def test_voc_masks_whose_numbers_are_unclear_are_left_out(tmp_path: Path, lists: dict[str, str], why: str) -> None:
    data = voc_set(tmp_path, regions(1, 3), lists)
    assert [s.mask for s in data] == [None, None] and data.counts == {"mask left out": 1}
    assert why in data.problems[0].message


def test_voc_numbers_are_pascal_vocs_only_where_all_labels_are(tmp_path: Path) -> None:
    data = voc_set(tmp_path / "own", regions(1, 12), first="squirrel")
    assert [s.mask for s in data] == [None, None]
    assert "squirrel is not Pascal VOC's" in data.problems[0].message
    data = voc_set(tmp_path / "lacks", regions(1, 3), {"class_names.txt": "_background_\nbird\n"})
    assert [s.mask is None for s in data] == [False, True] and data.counts == {"mask left out": 1}


@pytest.mark.parametrize("values", [regions(1, 3), regions(12, 3), regions(1, 2)])
def test_voc_masks_that_contradict_their_boxes_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    """Numbers of another list, of Pascal VOC's in another order, or of single objects."""
    for sample in voc_set(tmp_path, values):
        with pytest.raises(DatasetError, match=r"outside the boxes of|in a box of .* but has"):
            load_mask(sample)


def test_class_numbers_are_not_read_from_colours_or_lossy_files(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "sky\ncar\n")
    values = np.zeros((120, 160, 3), np.uint8)
    values[:50] = (0, 0, 128)
    mask_file(tmp_path / "masks" / "a.png", values)
    mask_file(tmp_path / "masks" / "b.jpg", regions(1, 1))
    mask_file(tmp_path / "masks" / "c.png", regions(255, 255))
    mask_file(tmp_path / "masks" / "d.png", np.repeat(regions(1, 1)[..., None], 3, axis=2))
    for name in "abcd":
        picture(tmp_path / "images" / f"{name}.jpg")
    data = open_dataset(tmp_path)
    assert [s.id for s in data] == ["images/d.jpg#sky", "images/d.jpg#car"] and pixels(data[1]) == 6400
    assert data.counts == {"mask unreadable": 3}
    told = " ".join(p.message for p in data.problems)
    assert "has colours" in told and "lossy compression" in told and "only 0 and 255" in told


# --- boxes that are not in pixels -------------------------------------------------------------------------------------


def test_boxes_in_shares_are_refused_in_every_layout(tmp_path: Path) -> None:
    rows = "image,label,x0,y0,x1,y1\na.jpg,tabby,0.1,0.2,0.5,0.9\nb.jpg,tabby,0,0,1,1\n"
    note = annotation(1, 1, 7) | {"bbox": [0.1, 0.2, 0.5, 0.6]}
    picture(tmp_path / "voc" / "JPEGImages" / "a.jpg")
    write(tmp_path / "voc" / "Annotations" / "a.xml", xml(thing("dog", 0.1, 0.2, 0.5, 0.9)))
    csv_set(tmp_path / "csv", rows)
    coco_set(tmp_path / "coco", [image(1, "1.jpg")], [note], [category(7, "tabby")])
    for name in ("csv", "coco", "voc"):
        with pytest.raises(DatasetError, match="the boxes seem to be fractions of the picture's size"):
            open_dataset(tmp_path / name)


def test_one_box_in_shares_among_others_is_reported(tmp_path: Path) -> None:
    data = open_dataset(
        csv_set(tmp_path, "image,label,x0,y0,x1,y1\na.jpg,tabby,0.1,0.2,0.5,0.9\nb.jpg,tabby,1,1,2,2\n")
    )
    assert [len(s.boxes) for s in data] == [0, 1] and data.counts == {"box in shares": 1}


def test_boxes_that_may_be_percent_are_reported(tmp_path: Path) -> None:
    rows = [f"{name}.jpg,tabby,600,400,{x},2.5,{x + 40},40" for name in "ab" for x in (1.5, 20.25, 58.5)]
    header = "image,label,width,height,x0,y0,x1,y1\n"
    data = open_dataset(csv_set(tmp_path / "percent", header + "\n".join(rows) + "\n"))
    assert data.counts == {"boxes may be percent": 1} and len(data[0].boxes) == 3
    for other in ("a.jpg,tabby,600,400,1.5,2.5,101.5,40", "a.jpg,tabby,100,100,1.5,2.5,3,4"):
        data = open_dataset(csv_set(tmp_path / "pixels", header + "\n".join([*rows, other]) + "\n"))
        assert "boxes may be percent" not in data.counts
