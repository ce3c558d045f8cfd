"""`searchlight serve` as a program: on machines as they are, and without a word to any other."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.page.server.client import API, Client
from viz.errors import VizError
from viz.page.server.start import listen

# Writes down every connection and every look-up that is not of this machine, from before anything is imported.
GUARD = """
import ipaddress, sys
def own(host):
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        found = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified
def look(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        address = args[1] if len(args) > 1 else None
        if isinstance(address, tuple) and not own(address[0]):
            note(event, address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = args[0][0] if isinstance(args[0], tuple) else args[0]
        if not own(host):
            note(event, host)
def note(event, what):
    with open(sys.argv[1], "a") as file:
        print(event, what, file=file)
    raise OSError("no connection to other machines in this test")
sys.addaudithook(look)
"""


@contextmanager
def served(tmp: Path, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """(address, process, its log) of a page that a command line started; its temporary folder is `tmp`."""
    log, reached = tmp.parent / f"{tmp.name}.log", tmp.parent / f"{tmp.name}.reached"
    tmp.mkdir(exist_ok=True)
    code = GUARD + textwrap.dedent("""
        from viz.cli import main
        sys.exit(main(["serve", "--no-browser", *sys.argv[2:]]))
    """)
    env = {**os.environ, "TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1", **environment}
    env.pop("GRADIO_TEMP_DIR", None)
    with log.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(reached), *options],
            env=env, stdout=subprocess.PIPE, stderr=err, text=True, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"Searchlight runs at (\S+)", line)
            assert found, (line, log.read_text())
            yield found[1], process, log
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            assert not reached.exists(), reached.read_text()


def test_nothing_calls_out_and_nothing_is_left(tmp_path: Path) -> None:
    """Start, use, hostile use and stop, on a machine with proxies set and Gradio's folder in other hands."""
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    (tmp / "gradio").write_text("another user's")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    more = {"GRADIO_ANALYTICS_ENABLED": "True", "GRADIO_SHARE": "True", "GRADIO_SERVER_NAME": "evil.example"}
    with served(tmp, "--port", "0", **proxies, **more) as (url, process, log):
        assert process.poll() is None
        visitor = Client(url)
        assert visitor.get("/").status_code == 200
        sent = visitor.uploaded()
        assert visitor.answer(0, [None, sent, "lite0", "own", 1])["success"]
        for address in ("http://evil.example/x.png", "https://huggingface.co/", "http://169.254.169.254/"):
            assert visitor.get(f"{API}/file={address}").status_code == 403
            assert visitor.get(f"{API}/proxy={address}").status_code == 404
            for value in ({"path": address}, {**sent, "url": address}, {"path": address, "url": address}):
                assert visitor.join(0, [None, value, "lite0", "own", 1]).status_code == 403
        assert visitor.post(f"{API}/run-history/connect", json={"bucket_id": "a/b"}).status_code == 404
        for i in range(200):
            visitor.session = f"s{i}"
            visitor.join(0, [])  # too few values: the queue prints a traceback of each
        inside = {p.name for p in tmp.iterdir()}
        assert "gradio" in inside and all(n == "gradio" or n.startswith("searchlight-") for n in inside), inside
        (private,) = [p for p in tmp.iterdir() if p.name.startswith("searchlight-")]
        assert private.stat().st_mode & 0o077 == 0
    assert {p.name for p in tmp.iterdir()} == {"gradio"}
    assert (tmp / "gradio").read_text() == "another user's"
    assert log.stat().st_size < 200_000 and "further messages of this minute are left out" in log.read_text()


def test_ipv6(tmp_path: Path) -> None:
    if not _has_ipv6():
        with pytest.raises(VizError, match="address"):
            listen("::1", 0)
        return
    with served(tmp_path / "tmp", "--host", "::1", "--port", "0") as (url, _, _):
        assert re.fullmatch(r"http://\[::1\]:\d+/", url)
        assert Client(url).get("/config").status_code == 200


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "not a port"),
        (["--port", "-1"], "not a port"),
        (["--host", "no.such.host.invalid"], "not an address"),
        (["--host", "not an address"], "not an address"),
        (["--host", "8.8.8.8"], "cannot listen"),
        (["--device", "cuda:99"], "no device"),
        (["--device", "toaster"], "no device"),
        (["--allow-host", "https://x"], "host name"),
        (["--allow-frame", "x"], "origin"),
        (["--models", "/no/such/folder"], "does not exist"),
    ],
)
def test_one_sentence_for_what_cannot_be(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from viz.cli import main

    resolve = socket.getaddrinfo

    def local(host: object, *rest: object, **more: object) -> object:
        if "invalid" in str(host) or " " in str(host):
            raise socket.gaierror
        return resolve(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", local)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["serve", "--no-browser", *options]) == 1
    said = capsys.readouterr().err
    assert words in said and said.startswith("searchlight: ") and said.count("\n") == 1


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from viz.cli import main

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with listen("127.0.0.1", 0) as taken:
        assert main(["serve", "--no-browser", "--port", str(taken.getsockname()[1])]) == 1
    assert "choose another" in capsys.readouterr().err


def test_no_room_for_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    from viz.cli import main

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert main(["serve", "--no-browser", "--port", "0"]) == 1
    assert "temporary folder" in capsys.readouterr().err


def test_importing_the_page_touches_no_stub_file() -> None:
    code = """
import sys
touched = []
sys.addaudithook(lambda event, of: touched.append(of[0]) if event == "open" and str(of[0]).endswith(".pyi") else None)
import viz.page.app
sys.exit(" ".join(map(str, touched)) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
