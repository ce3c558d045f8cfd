"""One greedy client, and the others keep working."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import resource
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from starlette.formparsers import MultiPartException

from tests.page.server.client import API, PANDA, Client
from viz.page.server.access import Access
from viz.page.server.bodies import read_json, watched_upload
from viz.page.server.connections import Connection
from viz.page.server.files import make_room
from viz.page.server.guard import Guard, kind_of
from viz.page.server.jobs import Jobs
from viz.page.server.limits import Limits, RefusedError
from viz.page.server.log import BoundedLog, bounded_stderr
from viz.page.server.start import Running, start
from viz.run.engine import Engine

SMALL = Limits(session_jobs=3, jobs=8, stall_seconds=0.5, stored_bytes=600_000)
HASTY = Limits(orphan_seconds=0.3)


class Slow:
    """A page with one handler that works until it is let go."""

    def __init__(self, engine: Engine) -> None:
        self.go = threading.Event()

    def build(self, engine: Engine) -> gr.Blocks:
        with gr.Blocks() as page:
            number, out = gr.Number(), gr.Number()
            number.change(self.work, number, out, concurrency_limit=2)
        return page.queue(max_size=None, api_open=False)  # type: ignore[no-any-return]

    def work(self, number: float) -> float:
        self.go.wait(20)
        return number + 1


@pytest.fixture
def slow(request: pytest.FixtureRequest) -> Iterator[tuple[Slow, Running]]:
    engine = Engine("cpu")
    page = Slow(engine)
    with start(page.build, engine, port=0, limits=getattr(request, "param", SMALL)) as running:
        yield page, running
        page.go.set()


def test_one_session_has_a_share_of_the_queue(slow: tuple[Slow, Running]) -> None:
    page, running = slow
    greedy, other = Client(running.url, "greedy"), Client(running.url, "other")
    taken = [greedy.join(0, [i]).status_code for i in range(80)]
    assert taken.count(200) == SMALL.session_jobs
    assert set(taken) == {200, 429}
    page.go.set()
    made = other.answer(0, [4])
    assert made["output"]["data"] == [5]


@pytest.mark.parametrize("slow", [HASTY], indirect=True)
def test_answers_that_nobody_fetches_do_not_gather(slow: tuple[Slow, Running]) -> None:
    page, running = slow
    page.go.set()
    queue = running.page._queue
    for i in range(40):
        Client(running.url, f"gone{i}").join(0, [i])
        time.sleep(0.02)
    left = queue.pending_event_ids_session
    until = time.monotonic() + 60
    while any(name.startswith("gone") and left.get(name) for name in list(left)):
        assert time.monotonic() < until, left
        time.sleep(HASTY.orphan_seconds + 0.05)
        assert Client(running.url, "other").answer(0, [1])["success"]
    assert queue.cached_event_analytics_summary == {"functions": {}}, "statistics that nobody sees"


def test_a_handler_of_the_queue_is_not_run_past_it(slow: tuple[Slow, Running]) -> None:
    _, running = slow
    body = {"fn_index": 0, "data": [1], "session_hash": "direct"}
    assert Client(running.url).post(f"{API}/run/predict", json=body).status_code == 404


BRIEF = Limits(head_seconds=0.4)


def raw(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def ended(connection: socket.socket) -> bool:
    """Whether the other side closes; what it has sent is read until then."""
    with connection:
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    return True


@pytest.mark.parametrize("slow", [BRIEF], indirect=True)
def test_a_connection_that_asks_for_nothing_is_closed(slow: tuple[Slow, Running]) -> None:
    page, running = slow
    host = running.url.removeprefix("http://").rstrip("/")
    whole = f"GET /config HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    for parts in ([], [whole[:20]], [whole, whole[:-2]]):  # nothing, half a head, half a head after an answered one
        connection = raw(running.url)
        for part in parts:
            connection.sendall(part)
        assert ended(connection), "else recv raises when its time is over"
    # Who waits for an answer is left alone, however long it takes.
    threading.Timer(4 * BRIEF.head_seconds, page.go.set).start()
    assert Client(running.url).answer(0, [1])["output"]["data"] == [2]


@pytest.mark.parametrize("slow", [BRIEF], indirect=True)
def test_a_connection_that_is_gone_is_forgotten(slow: tuple[Slow, Running]) -> None:
    """Its visitor leaves before the answer is there."""
    page, running = slow
    of_others = weakref.WeakSet(c for c in gc.get_objects() if type(c) is Connection)
    session = Client(running.url)
    assert session.join(0, [1]).status_code == 200
    connection = raw(running.url)
    host = running.url.removeprefix("http://").rstrip("/")
    connection.sendall(f"GET {API}/queue/data?session_hash={session.session} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert connection.recv(1)
    connection.close()
    session.http.close()
    page.go.set()
    until = time.monotonic() + 60
    while [c for c in gc.get_objects() if type(c) is Connection and c not in of_others]:
        assert time.monotonic() < until
        time.sleep(BRIEF.head_seconds)
        gc.collect()


@pytest.mark.parametrize("slow", [Limits(connections=6, head_seconds=600)], indirect=True)
def test_idle_connections_give_way(slow: tuple[Slow, Running]) -> None:
    page, running = slow
    page.go.set()
    held = [raw(running.url) for _ in range(30)]
    normal = Client(running.url)
    for i in range(3):
        assert normal.answer(0, [i])["output"]["data"] == [i + 1]
    assert all(ended(c) for c in held[:20])
    for connection in held[20:]:
        connection.close()


class Queue:
    """As much of Gradio's queue as `Jobs` uses."""

    def __init__(self) -> None:
        self.pending_event_ids_session: dict[str, set[str]] = {}
        self.pending_messages_per_session: dict[str, Any] = {}
        self.cleaned: list[str] = []

    async def clean_events(self, *, session_hash: str) -> None:
        self.cleaned.append(session_hash)


def test_jobs_of_a_listener_are_never_dropped() -> None:
    now = [0.0]
    queue = Queue()
    jobs = Jobs(queue, Limits(session_jobs=3, orphan_seconds=0.3), lambda: now[0])

    async def walk() -> None:
        await jobs.admit("reader")
        queue.pending_event_ids_session["reader"] = {"a"}
        jobs.joined("reader")
        queue.pending_event_ids_session["gone"] = {"b"}
        queue.pending_messages_per_session["gone"] = object()
        with jobs.listening("reader"):
            await jobs.admit("next")
            jobs.joined("next")
            now[0] = 100.0
            await jobs.admit("next")
            jobs.joined("next")
            assert queue.cleaned == ["gone"]
            assert "gone" not in queue.pending_messages_per_session
            assert set(queue.pending_event_ids_session) == {"reader"}
        now[0] = 100.1
        await jobs.admit("next")
        assert "reader" in queue.pending_event_ids_session
        now[0] = 101.0
        await jobs.admit("next")
        assert queue.cleaned == ["gone", "reader"]
        with pytest.raises(RefusedError, match="waiting for too many answers"):
            for _ in range(SMALL.session_jobs):
                await jobs.admit("next")

    asyncio.run(walk())


def test_a_full_queue_drops_sessions_that_nobody_listens_to() -> None:
    now = [0.0]
    queue = Queue()
    jobs = Jobs(queue, SMALL, lambda: now[0])

    async def walk() -> None:
        for i in range(SMALL.jobs):
            await jobs.admit(f"greedy{i}")
            jobs.joined(f"greedy{i}")
            queue.pending_event_ids_session[f"greedy{i}"] = {str(i)}
        with pytest.raises(RefusedError, match="Too many visitors"):
            await jobs.admit("other")
        now[0] = 1.5
        with jobs.listening("greedy0"):
            await jobs.admit("other")
        assert set(queue.pending_event_ids_session) == {"greedy0"}

    asyncio.run(walk())


def test_long_messages_cost_no_memory(running: Running) -> None:
    greedy = Client(running.url, "greedy")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def chunks() -> Iterator[bytes]:
        yield b'{"data": ["'
        for _ in range(300):
            yield b"x" * 2**20

    for route in ("queue/join", "run/predict", "cancel", "reset"):
        answer = _sent(greedy, f"{API}/{route}", chunks())
        assert answer in (413, None)
        answer = greedy.post(f"{API}/{route}", content=b"x" * (Limits().json_bytes + 1))
        assert answer.status_code == 413 and answer.json()["detail"].endswith(".")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB"


def _sent(client: Client, path: str, content: Iterator[bytes]) -> int | None:
    """The status, or None where the page hung up before the body was sent."""
    import httpx

    try:
        return client.post(path, content=content).status_code
    except httpx.TransportError:
        return None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"5",
        b"{",
        b'{"a": ',
        b"\xff\xfe",
        b"[" * 100_000,
        b'"x"',
        b"null",
        b"NaN",
        b"{}",
        b'{"fn_index": 0}',
    ],
)
def test_what_is_no_message_is_refused(running: Running, body: bytes) -> None:
    answer = Client(running.url).post(f"{API}/queue/join", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize("number", [-1, 10_000, "0", None, 1.5, True, [], {"a": 1}])
@pytest.mark.parametrize("route", ["queue/join", "run/predict"])
def test_unknown_handlers(running: Running, number: Any, route: str) -> None:
    body = {"fn_index": number, "data": [], "session_hash": "x"}
    assert Client(running.url).post(f"{API}/{route}", json=body).status_code == 404


@pytest.mark.parametrize("session", ["x" * 65, 5, ["x"], {"a": 1}, ""])
def test_names_of_sessions(running: Running, session: Any) -> None:
    body = {"fn_index": 0, "data": [None, None, "lite0", "own", 1], "session_hash": session}
    assert Client(running.url).post(f"{API}/queue/join", json=body).status_code == 400


def test_many_files_of_one_request_are_refused_and_nothing_is_left(running: Running, tmp_path: Path) -> None:
    before = sorted(p.name for p in running.folder.iterdir())
    small = tmp_path / "x.txt"
    small.write_bytes(b"x")
    answer = Client(running.url).upload(*[small] * 1000)
    assert answer.status_code == 400 and "at most 4" in answer.text
    assert sorted(p.name for p in running.folder.iterdir()) == before
    assert Client(running.url).upload(PANDA).status_code == 200


def test_a_large_upload_is_refused(running: Running) -> None:
    before = sorted(p.name for p in running.folder.iterdir())
    visitor = Client(running.url)
    big = io.BytesIO(b"x" * (Limits().upload_bytes + 10))
    try:
        assert visitor.post(f"{API}/upload", files={"files": ("x.jpg", big)}).status_code == 413
    except Exception as error:  # the page hung up before everything was sent
        assert "Transport" in type(error).__mro__[1].__name__ or "Error" in type(error).__name__
    assert sorted(p.name for p in running.folder.iterdir()) == before


def half_of_an_upload(url: str, *, length: int = 1_000_000) -> socket.socket:
    """A connection that has sent the first half of a file."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    connection = socket.create_connection((host, int(port)))
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\n'
    connection.sendall(
        f"POST {API}/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
        + head
        + b"x" * (length // 2)
    )
    return connection


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stalls"])
def test_half_an_upload_is_removed(slow: tuple[Slow, Running], leaves: bool) -> None:
    _, running = slow
    connection = half_of_an_upload(running.url)
    wait_for(lambda: any(p.is_file() for p in running.folder.iterdir()))
    if leaves:
        connection.close()
    wait_for(lambda: not any(p.is_file() for p in running.folder.rglob("*")))
    connection.close()


def wait_for(state: Any) -> None:
    until = time.monotonic() + 20
    while not state():
        assert time.monotonic() < until, "It did not come about."
        time.sleep(0.01)


def test_uploads_give_way_to_newer_ones(slow: tuple[Slow, Running], tmp_path: Path) -> None:
    _, running = slow
    for i in range(6):
        file = tmp_path / f"{i}.bin"
        file.write_bytes(bytes([i]) * 200_000)
        answer = Client(running.url).upload(file)
        assert answer.status_code == 200
        time.sleep(0.02)
    stored = [p for p in running.folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in stored) <= SMALL.stored_bytes
    assert (tmp_path / "5.bin").read_bytes() in [p.read_bytes() for p in stored]


def test_room_is_made_from_the_oldest(tmp_path: Path) -> None:
    import os

    for i, name in enumerate(["kept", "old", "middle", "new"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (i, i))
    assert make_room(tmp_path, 200, frozenset({"kept"})) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", "middle", "new"]
    assert make_room(tmp_path, 0, frozenset({"kept"})) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", "new"]


def test_bodies_that_break_off() -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(RefusedError, match="broke off"):
        asyncio.run(read_json(gone, SMALL))
    with pytest.raises(RefusedError, match="stalled"):
        asyncio.run(read_json(silent, SMALL))
    with pytest.raises(RefusedError, match="multipart"):
        watched_upload("application/json", gone, SMALL)
    with pytest.raises(MultiPartException):
        asyncio.run(watched_upload("multipart/form-data; boundary=b", gone, SMALL)())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/proxy=http://evil.example/"), ("GET", "/gradio_api/file/etc/passwd"),
        ("POST", "/gradio_api/process_recording"), ("GET", "/gradio_api/run-history/buckets"),
        ("POST", "/gradio_api/run-history/connect"), ("GET", "/gradio_api/runs"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/call/show"), ("POST", "/gradio_api/api/predict"), ("GET", "/gradio_api/startup-events"),
        ("GET", "/monitoring"), ("POST", "/login"), ("GET", "/gradio_api/custom_component/a/client/x/y"),
        ("POST", "/gradio_api/vibe-edit"), ("GET", "/gradio_api/deep_link"), ("GET", "/gradio_api/openapi.json"),
        ("GET", "/docs"), ("PUT", "/gradio_api/upload"), ("GET", "/gradio_api/upload"), ("DELETE", "/"),
        ("GET", "/gradio_api/stream/x/y/1/playlist.m3u8"), ("POST", "/gradio_api/stream/x"), ("TRACE", "/"),
        ("OPTIONS", "/gradio_api/upload"), ("GET", "/gradio_api/dev/reload"),
    ],
)  # fmt: skip
def test_what_the_page_never_asks_is_not_answered(running: Running, method: str, path: str) -> None:
    assert kind_of(method, path) is None
    answer = Client(running.url).http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "This page has nothing at this address."


def test_run_history_and_deep_links_are_off(running: Running) -> None:
    assert running.page.run_history is False
    assert Client(running.url).get("/", params={"deep_link": "x"}).status_code == 404


def test_the_log_is_bounded() -> None:
    now, out = [0.0], io.StringIO()
    limits = Limits(log_bytes=100, log_seconds=10)
    log = BoundedLog(out, limits, lambda: now[0])
    for _ in range(1000):
        log.write("x" * 10)
    assert out.getvalue() == "x" * 100 + "\nsearchlight: further messages of this minute are left out.\n"
    now[0] = 11.0
    log.write("again")
    assert out.getvalue().endswith("again")


def test_prints_and_log_lines_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    handler = logging.StreamHandler()
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        with bounded_stderr(Limits(log_bytes=1000)):
            for _ in range(100):
                logger.warning("x" * 50)
                print("y" * 50, file=sys.stderr)
        inside = len(out.getvalue())
        logger.warning("after")
    finally:
        logger.removeHandler(handler)
    assert "x" in out.getvalue() and "y" in out.getvalue()
    assert inside < 1200 and out.getvalue().endswith("after\n")


def test_limits_are_positive_and_stated_in_the_documentation() -> None:
    for item in fields(Limits):
        assert getattr(Limits(), item.name) > 0
    text = " ".join((Path(__file__).parents[3] / "docs/serving.md").read_text().split())
    said = Limits()
    for words in (
        f"{said.file_bytes // 2**20} MiB per picture", f"{said.files} files per request",
        f"{said.json_bytes // 1024} KiB per message",
        f"{said.session_jobs} pending jobs per session", f"{said.jobs} in all", f"{said.uploads} uploads at a time",
        f"{said.stored_bytes // 2**30} GiB", f"{said.requests} requests at a time",
        f"{said.log_bytes // 1024} KiB of log", f"{said.connections} connections",
        f"{said.head_seconds:.0f} seconds",
    ):  # fmt: skip
        assert words in text, words


def test_the_guard_counts_requests(running: Running) -> None:
    sent: list[dict[str, Any]] = []
    hold = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hold.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def walk() -> list[int]:
        jobs = Jobs(SimpleNamespace(pending_event_ids_session={}), SMALL)
        guard = Guard(app, running.folder, Access(), Limits(requests=3), jobs, {})
        scope = {
            "type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")], "server": None
        }  # fmt: skip

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError

        tasks = [asyncio.create_task(guard(scope, receive, send)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        hold.set()
        await asyncio.gather(*tasks)
        await guard(scope, receive, send)
        return [m["status"] for m in sent if "status" in m]

    assert sorted(asyncio.run(walk())) == [200, 200, 200, 200, 503, 503]


def test_a_failure_inside_is_one_sentence(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret")

    async def send(message: Any) -> None:
        sent.append(message)

    jobs = Jobs(SimpleNamespace(pending_event_ids_session={}), SMALL)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")], "server": None}
    asyncio.run(Guard(app, running.folder, Access(), Limits(), jobs, {})(scope, send, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500 and b"secret" not in sent[1]["body"]
