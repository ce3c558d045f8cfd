"""Host names, origins and headers."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.page.server.client import API, Client
from viz.errors import VizError
from viz.page.server.access import Access, address_of, origin_of
from viz.page.server.answers import policy, script_hashes
from viz.page.server.start import Running, start

EVIL = [
    "evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example@127.0.0.1",
    "127.0.0.1@evil.example", "", " ", "[::1", "localhost:port", "localhost:", "10.0.0.7", "[2001:db8::1]:80",
    "localhost/evil", "localhost evil", "local_host", "0x7f000001", "127.1",
]  # fmt: skip
OWN = [
    "localhost",
    "LOCALHOST:7860",
    "127.0.0.1",
    "127.0.0.1:9000",
    "127.0.0.2",
    "[::1]",
    "[::1]:80",
    "[0:0:0:0:0:0:0:1]",
]


@pytest.mark.parametrize("host", EVIL)
def test_a_foreign_host_is_not_answered_to(host: str) -> None:
    assert not Access().answers_to(host, "127.0.0.1")


@pytest.mark.parametrize("host", OWN)
def test_the_machine_itself_is(host: str) -> None:
    assert Access().answers_to(host, "192.168.1.5")


def test_the_address_that_was_reached_is_answered_to_and_others_are_not() -> None:
    assert Access().answers_to("192.168.1.5:7860", "192.168.1.5")
    assert Access().answers_to("[fe80::1]:7860", "fe80::1")
    assert Access().answers_to("192.168.1.5:7860", "::ffff:192.168.1.5")
    assert not Access().answers_to("192.168.1.6:7860", "192.168.1.5")
    assert not Access().answers_to("192.168.1.5", None)


def test_allowed_names_are_names() -> None:
    access = Access.of(["Viz.Example.org"], ["https://notebook.example.org"])
    assert access.answers_to("viz.example.org:443", "127.0.0.1")
    assert not access.answers_to("sub.viz.example.org", "127.0.0.1")
    for text in ("viz.example.org:443", "https://viz.example.org", "*", "", "a b"):
        with pytest.raises(VizError, match="host name"):
            Access.of([text])
    for text in ("notebook.example.org", "*", "https://a b", "https://x/y", "file://x"):
        with pytest.raises(VizError, match="origin"):
            Access.of([], [text])


@pytest.mark.parametrize(
    ("origin", "host", "accepted"),
    [
        ("http://localhost:7860", "localhost:7860", True),
        ("http://[::1]:7860", "[::1]:7860", True),
        ("https://viz.example", "viz.example", True),  # a proxy ended https; the port is that of its scheme
        ("http://viz.example", "viz.example", True),
        ("http://localhost:3000", "localhost:7860", False),
        ("http://localhost", "localhost:7860", False),
        ("http://127.0.0.1:7860", "localhost:7860", False),
        ("http://evil.example", "localhost:7860", False),
        ("null", "localhost:7860", False),
        ("", "localhost:7860", False),
        ("file://localhost:7860", "localhost:7860", False),
        ("http://localhost:7860/", "localhost:7860", False),
        ("http://localhost:7860@evil.example", "localhost:7860", False),
    ],
)  # fmt: skip
def test_origins(origin: str, host: str, accepted: bool) -> None:
    assert Access().accepts(origin, host) is accepted


def test_a_proxy_that_ends_https_is_allowed_by_name() -> None:
    access = Access.of(["viz.example"])
    assert access.accepts("https://viz.example", "viz.example")
    assert access.accepts("https://viz.example", "127.0.0.1:7860")
    assert not access.accepts("https://evil.example", "127.0.0.1:7860")


def test_parts_of_addresses() -> None:
    found = address_of("[::1]:80")
    assert found is not None and (found.host, found.port) == ("::1", 80)
    assert origin_of("https://a.example") == address_of("a.example:443")


def test_hostile_hosts_and_origins_get_nothing(running: Running) -> None:
    visitor = Client(running.url)
    for path in ("/", "/config", f"{API}/info", "/assets/index.js"):
        for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example"):
            answer = visitor.get(path, headers={"Host": host})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
            assert "gradio" not in answer.text.lower()
        answer = visitor.get(path, headers={"X-Forwarded-Host": "evil.example"})
        assert answer.status_code == 403
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        for ask in (
            lambda o: visitor.post(
                f"{API}/queue/join", json={"fn_index": 0, "data": [], "session_hash": "s"}, headers=o
            ),
            lambda o: visitor.post(f"{API}/upload", files={"files": b"x"}, headers=o),
            lambda o: visitor.get("/config", headers=o),
            lambda o: visitor.http.options(f"{API}/upload", headers={**o, "Access-Control-Request-Method": "POST"}),
        ):
            answer = ask({"Origin": origin})
            assert answer.status_code in (403, 404)
            assert "access-control-allow-origin" not in answer.headers
    own = running.url.rstrip("/")
    assert visitor.get("/config", headers={"Origin": own}).status_code == 200


def test_every_response_has_the_headers(running: Running) -> None:
    visitor = Client(running.url)
    answers = [
        visitor.get("/"), visitor.get("/config"), visitor.get("/nothing"), visitor.get(f"{API}/file=/etc/hostname"),
        visitor.get("/", headers={"Host": "evil.example"}), visitor.post(f"{API}/queue/join", content=b"{"),
        visitor.get("/theme.css"), visitor.upload(),
    ]  # fmt: skip
    assert {a.status_code for a in answers} >= {200, 403, 404, 400}
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers.get_list("content-security-policy") == [answer.headers["content-security-policy"]]
        rules = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in rules and "*" not in rules and "http" not in rules
        assert "'unsafe-inline'" not in re.search(r"script-src [^;]*", rules)[0]  # type: ignore[index]
        assert "server" not in answer.headers


def test_the_policy_names_each_script_of_the_document(running: Running) -> None:
    answer = Client(running.url).get("/")
    bodies = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert len(bodies) >= 3
    for body in bodies:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_script_hashes_leave_out_scripts_with_a_source() -> None:
    html = "<script>a</script><script type=module src='x'></script><SCRIPT data-x>b\n</SCRIPT>"
    assert len(script_hashes(html)) == 2


def test_frames_by_option() -> None:
    rules = policy(frames=["https://notebook.example.org"])
    assert "frame-ancestors 'self' https://notebook.example.org;" in rules + ";"


def test_a_page_with_options_answers_to_its_names() -> None:
    def plain(engine: object) -> object:
        import gradio as gr

        with gr.Blocks() as page:
            gr.Markdown("x")
        return page

    access = Access.of(["viz.example"], ["https://notebook.example.org"])
    with start(plain, _engine(), port=0, access=access) as page:  # type: ignore[arg-type]
        visitor = Client(page.url)
        answer = visitor.get("/", headers={"Host": "viz.example", "Origin": "https://viz.example"})
        assert answer.status_code == 200
        assert "x-frame-options" not in answer.headers
        assert "https://notebook.example.org" in answer.headers["content-security-policy"]
        assert visitor.get("/", headers={"Host": "other.example"}).status_code == 403


def _engine() -> object:
    from viz.run.engine import Engine

    return Engine("cpu")
