"""No message of any handler opens a file that was not uploaded to this page, and no answer tells of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from tests.page.server.client import API, PANDA, Client
from viz.page.components import picture_input
from viz.page.server.files import ALIAS, REFUSED, FileRefusedError, MessageFiles, uploaded_path
from viz.page.server.start import Running


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, a text and a folder that the page must not tell apart."""
    folder = tmp_path_factory.mktemp("private")
    Image.new("RGB", (20, 20), "red").save(folder / "private.png")
    (folder / "notes.txt").write_text("secret")
    return folder


def targets(private: Path, page: Path) -> list[str]:
    """Paths that exist and that do not, in every spelling that may reach them."""
    link = page / "link.png"
    if not link.is_symlink():
        link.symlink_to(private / "private.png")
        (page / "linked").symlink_to(private, target_is_directory=True)
    up = "/".join([".."] * 12)
    return [
        str(private / "private.png"), str(private / "notes.txt"), str(private), str(private / "missing.png"),
        "/etc/passwd", "/dev/zero", "/proc/self/environ", "private.png", "", ".", str(page), str(page / "missing.png"),
        str(link), str(page / "linked" / "private.png"), f"{page}/{up}{private}/private.png",
        f"{ALIAS}/{up}{private}/private.png", f"{ALIAS}/link.png", f"{ALIAS}", f"{ALIAS}/../../etc/passwd",
        f"{page}x/private.png", "file:///etc/passwd", "http://127.0.0.1:9/x.png", "https://evil.example/x.png",
        "//evil.example/x.png", "\\\\evil.example\\x.png", "~/x.png", "x\x00y", "a" * 5000, "ftp://evil.example/x.png",
    ]  # fmt: skip


def test_what_lies_elsewhere_is_refused_with_one_sentence(private: Path, running: Running) -> None:
    said = set()
    for text in targets(private, running.folder):
        with pytest.raises(FileRefusedError) as error:
            uploaded_path(text, running.folder)
        said.add(str(error.value))
    for other in (None, 5, ["x"], {"path": "x"}, b"x"):
        with pytest.raises(FileRefusedError):
            uploaded_path(other, running.folder)
    assert said == {REFUSED}


def test_what_was_uploaded_is_found(running: Running, tmp_path: Path) -> None:
    visitor = Client(running.url)
    path = visitor.uploaded()["path"]
    assert path.startswith(f"{ALIAS}/")
    found = uploaded_path(path, running.folder)
    assert found.read_bytes() == PANDA.read_bytes()
    assert uploaded_path(str(found), running.folder) == found
    # The folder itself may be reached by a link, as a temporary folder is on some systems.
    alias = tmp_path / "alias"
    alias.symlink_to(running.folder, target_is_directory=True)
    assert uploaded_path(str(alias / found.relative_to(running.folder)), alias) == found


def hostile_values(path: str) -> list[Any]:
    return [
        {"path": path},
        {"path": path, "meta": {"_type": "gradio.FileData"}},
        {"path": path, "url": path, "orig_name": "x.png", "size": 1, "mime_type": "image/png"},
        {"value": {"path": path}, "__type__": "update"},
        [{"path": path}],
        [[{"image": {"path": path, "meta": {"_type": "gradio.FileData"}}}]],
        {"background": {"path": path}, "layers": [{"path": path}], "composite": None},
    ]


def test_every_handler_refuses_every_foreign_path(private: Path, running: Running) -> None:
    """Each handler, each of its inputs, the queue and the direct route: the same status and the same sentence."""
    visitor = Client(running.url)
    before = running.engine.forwards
    paths = [str(private / n) for n in ("private.png", "notes.txt", "missing.png", "")]
    assert len(running.page.fns) > 20
    for number, function in running.page.fns.items():
        size = max(1, len(function.inputs))
        for place in range(size):
            for i, path in enumerate(paths):
                value = hostile_values(path)[(number + place + i) % 7]
                data: list[Any] = [None] * size
                data[place] = value
                body = {"fn_index": number, "data": data, "session_hash": "hostile", "event_data": None}
                for route in ("queue/join", "run/predict"):
                    answer = visitor.post(f"{API}/{route}", json=body)
                    assert (answer.status_code, answer.json()) == (403, {"detail": REFUSED}), (number, value)
    assert running.engine.forwards == before


@pytest.mark.parametrize("where", ["event_data", "data", "trigger_id", "anything"])
@pytest.mark.parametrize("form", range(7))
def test_wherever_a_path_stands_in_a_message(private: Path, running: Running, where: str, form: int) -> None:
    visitor = Client(running.url)
    body: dict[str, Any] = {"fn_index": 0, "data": [None], "session_hash": "hostile", "event_data": None}
    for path in targets(private, running.folder):
        body[where] = hostile_values(path)[form]
        answer = visitor.post(f"{API}/queue/join", json=body)
        assert (answer.status_code, answer.json()) == (403, {"detail": REFUSED}), path


def test_urls_of_other_places_are_refused(running: Running) -> None:
    visitor = Client(running.url)
    sent = visitor.uploaded()
    for url in (
        "http://evil.example/x.png",
        "https://127.0.0.1.evil.example/",
        "//evil.example/x",
        "ftp://x",
        5,
        "file:///x",
    ):
        answer = visitor.join(0, [None, {**sent, "url": url}, "lite0", "own", 1])
        assert (answer.status_code, answer.json()) == (403, {"detail": REFUSED}), url
    own = f"{running.url}gradio_api/file={sent['path']}"
    made = visitor.answer(0, [None, {**sent, "url": own}, "lite0", "own", 1])
    assert made["success"]


def test_the_component_itself_refuses_too(private: Path, running: Running) -> None:
    """A handler that is ever reached by another way still opens no foreign file."""
    with gr.Blocks():
        component = picture_input()
    payload = component.data_model.model_validate({"path": str(private / "private.png")})
    with pytest.raises(gr.Error, match=REFUSED):
        component.preprocess(payload)
    assert component.preprocess(None) is None


def test_every_file_that_a_component_takes_is_ours(running: Running) -> None:
    """A new component with a file of its own must be made by `picture_input`, or be an output alone."""
    takes = {c for f in running.page.fns.values() for c in f.inputs}
    for component in takes:
        if isinstance(component, gr.Image | gr.File | gr.Gallery | gr.Video | gr.Audio | gr.UploadButton):
            assert component.preprocess.__module__ == "viz.page.components", component


def test_files_by_address(private: Path, running: Running) -> None:
    visitor = Client(running.url)
    answers = set()
    for text in targets(private, running.folder):
        if not text or "\x00" in text or len(text) > 4000:
            continue
        for spelling in (text, text.replace("/", "%2F"), text.replace(".", "%2e")):
            answer = visitor.get(f"{API}/file={spelling}")
            answers.add((answer.status_code, answer.text))
    assert {status for status, _ in answers} <= {403, 404}
    assert not any("secret" in text for _, text in answers)
    sent = visitor.uploaded()
    assert visitor.get(f"{API}/file={sent['path']}").content == PANDA.read_bytes()


def test_exports_can_be_fetched_and_nothing_tells_where_they_lie(running: Running) -> None:
    visitor = Client(running.url, "exporter")
    uploaded = visitor.upload(PANDA)
    texts = [uploaded.text, visitor.get("/").text, visitor.get("/config").text, visitor.get(f"{API}/info").text]
    sent = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
    texts.append(json.dumps(visitor.answer(0, [None, sent, "lite0", "own", 1])))
    numbers = {f.name: n for n, f in running.page.fns.items()}
    write = running.page.fns[numbers["write"]]
    made = visitor.answer(numbers["write"], [_value(c) for c in write.inputs])
    assert made["success"], made
    texts.append(json.dumps(made))
    files = made["output"]["data"][0]["value"]
    assert {Path(f["path"]).suffix for f in files} >= {".pdf", ".npz", ".json"}
    for file in files:
        got = visitor.get(f"{API}/file={file['path']}")
        assert got.status_code == 200 and len(got.content) > 100
    for text in texts:
        assert str(running.folder) not in text
        assert str(running.folder).replace("/", "\\/") not in text


def _value(component: Any) -> Any:
    return ["picture"] if str(component.label).startswith("Panels") else getattr(component, "value", None)


def test_messages_keep_everything_but_paths(running: Running) -> None:
    sent = Client(running.url).uploaded()
    files = MessageFiles(running.folder, lambda authority: authority == "localhost")
    data = {"a": [1, 2.5, None, True, "x", {"b": {"c": [sent]}}], "meta": {"_type": "other"}}
    made = files.checked(data)
    inside = made["a"][5]["b"]["c"][0]
    assert inside["path"] == str(uploaded_path(sent["path"], running.folder))
    assert inside["orig_name"] == "panda.jpg"
    assert made["a"][:5] == data["a"][:5]
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(FileRefusedError):
        files.checked(deep)
