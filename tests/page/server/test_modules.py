"""The page's own scripts: who gets them, under which address, and that nothing else is reached by it."""

from __future__ import annotations

import re

import pytest

from tests.page.server.client import Client
from viz.page.server.modules import module_address, module_links, modules
from viz.page.server.start import Running


def test_every_module_is_sent_as_it_is_and_may_be_kept(running: Running) -> None:
    visitor = Client(running.url)
    assert {"page.js", "numbers.js", "store.js", "viewer.js", "grid.js"} <= set(modules())
    for name, text in modules().items():
        address = "/" + module_address(name.removesuffix(".js"))
        for encoding in ("gzip", "identity"):
            answer = visitor.get(address, headers={"Accept-Encoding": encoding})
            assert answer.status_code == 200 and answer.content == text
            assert answer.headers.get("content-encoding", "identity") == encoding
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "script-src 'self' 'unsafe-eval';" in answer.headers["content-security-policy"]


def test_the_document_names_them_below_itself(running: Running) -> None:
    document = Client(running.url).get("/").text
    links = re.findall(r'href="([^"]+)"', module_links())
    assert links == [module_address(name.removesuffix(".js")) for name in modules()]
    assert all(not link.startswith(("/", "http")) and link in document for link in links)


@pytest.mark.parametrize(
    "path",
    [
        "js/0123456789abcdef/page.js",
        "js/page.js",
        module_address("nothing"),
        module_address("page") + "/..",
        module_address("../page"),
        module_address("page").replace("page.js", "..%2fpage.js"),
        module_address("page").replace("page.js", "__init__.py"),
    ],
)
def test_no_other_file_is_reached(running: Running, path: str) -> None:
    assert Client(running.url).get(f"/{path}").status_code == 404


def test_another_site_gets_none(running: Running) -> None:
    visitor = Client(running.url)
    address = "/" + module_address("page")
    assert visitor.get(address, headers={"Host": "evil.example"}).status_code == 403
    assert visitor.get(address, headers={"Origin": "http://evil.example"}).status_code == 403
    assert visitor.get(address).headers["cross-origin-resource-policy"] == "same-origin"
    assert visitor.post(address).status_code == 404
