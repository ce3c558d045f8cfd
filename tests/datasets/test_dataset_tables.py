"""Tables as spreadsheets and scripts write them: read, or refused with the true reason."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.dataset_files import csv_set
from viz.datasets import DatasetError, open_dataset

BOX = ((1.0, 2.0, 30.0, 40.0),)


@pytest.mark.parametrize(
    "text",
    [
        "image,label,xmin,ymin,xmax,ymax\na.jpg,tabby,1,2,30,40\n",
        "Image,Label,XMin,XMax,YMin,YMax\na.jpg,tabby,1,30,2,40\n",
        "image,label,x_min,y_min,x_max,y_max\na.jpg,tabby,1,2,30,40\n",
        "image,label,x1,y1,x2,y2\na.jpg,tabby,1,2,30,40\n",
        "image,label,bbox_x1,bbox_y1,bbox_x2,bbox_y2\na.jpg,tabby,1,2,30,40\n",
        "image,label,left,top,right,bottom\na.jpg,tabby,1,2,30,40\n",
        'image,label,boxes\na.jpg,tabby,"[1, 2, 30, 40]"\n',
        'image, label, boxes\na.jpg, tabby, "[[1, 2, 30, 40]]"\n',
        "image;label;x0;y0;x1;y1\na.jpg;tabby;1;2;30;40\n",
        "\ufeffimage\tlabel\tboxes\r\na.jpg\ttabby\t[[1, 2, 30, 40]]\r\n",
        "image,label,x0,y0,x1,y1,,\na.jpg,tabby,1,2,30,40,,\n",
        "image,label,x0,y0,x1,y1\na.jpg,tabby,1,2,30,40,,\n",
        "image,label,x0,y0,x1,y1\n\na.jpg,tabby,1,2,30,40\n\n",
    ],
)
def test_tables_that_are_read_whole(tmp_path: Path, text: str) -> None:
    data = open_dataset(csv_set(tmp_path, text))
    assert [(s.id, s.class_index, s.boxes) for s in data] == [("a.jpg", 281, BOX)] and not data.problems


def test_columns_that_are_not_read_are_reported(tmp_path: Path) -> None:
    text = ",image,label,x0,y0,x1,y1,source,Label\n0,a.jpg,tabby,1,2,30,40,web,other\n"
    data = open_dataset(csv_set(tmp_path, text))
    assert data[0].boxes == BOX and data.counts == {"column not read": 3}
    assert [p.id for p in data.problems] == ["source", "Label", "index.csv"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,label,x,y,w,h\na.jpg,tabby,1,2,30,40\n", "boxes in the columns x, y, w, h are ambiguous"),
        ('image,label,bbox\na.jpg,tabby,"[1,2,30,40]"\n', "boxes in the columns bbox"),
        ("image,label,xmin,ymin\na.jpg,tabby,1,2\n", "boxes in the columns xmin, ymin"),
        ("image,x0,y0,x1,y1,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4,1,2,3,4\n", "in x0, y0, x1, y1 and xmin, ymin"),
        ("image,label,label\na.jpg,tabby,dog\n", "has the column label twice"),
        ("file,label\na.jpg,tabby\n", "has no column image; it has: file, label"),
        ('image,label\na.jpg,"tabby\n', "line 2 is not CSV: unexpected end of data"),
    ],
)
def test_tables_that_are_refused_say_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(csv_set(tmp_path, text))


def test_flat_lists_of_several_boxes_are_not_cut_into_fours(tmp_path: Path) -> None:
    data = open_dataset(csv_set(tmp_path, 'image,label,boxes\na.jpg,tabby,"[1,2,30,40,5,6,70,80]"\n'))
    assert data[0].boxes == () and data.counts == {"box unreadable": 1}
    assert "a list of 8 numbers, not of lists of four" in data.problems[0].message


def test_cells_of_any_length_are_read_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    text = f'image,label,x0,y0,x1,y1,rle\na.jpg,tabby,1,2,30,40,"{"1 2 " * 40_000}"\n'
    data = open_dataset(csv_set(tmp_path, text))
    assert data[0].boxes == BOX and data.counts == {"column not read": 1}
    assert csv.field_size_limit() == before


def test_paths_of_a_table(tmp_path: Path) -> None:
    rows = (
        "x/../a.jpg,tabby",
        "./b.jpg,tabby",
        "x/../../set/a.jpg,tabby",
        "../out.jpg,tabby",
        "http://h/a.jpg,tabby",
        ",x",
    )
    root = csv_set(tmp_path / "set", "image,label\n" + "\n".join(rows) + f"\n{tmp_path / 'set' / 'b.jpg'},daisy\n")
    data = open_dataset(root)
    assert [s.id for s in data] == ["a.jpg", "b.jpg#tabby", "b.jpg#daisy"]
    assert data.counts == {"listed twice": 1, "path refused": 3}
    told = " ".join(p.message for p in data.problems)
    assert "leaves the data set's folder by '..'" in told and "is a URL" in told and "'' is empty" in told


def test_names_that_differ_in_case_or_jpeg_are_found_and_reported(tmp_path: Path) -> None:
    data = open_dataset(csv_set(tmp_path, "image,label\nA.JPG,tabby\nb.jpeg,tabby\nb.png,daisy\n"))
    assert [s.path.name for s in data] == ["a.jpg", "b.jpg", "b.png"], "another format may be the mask"
    assert data.counts == {"name differs": 2}
