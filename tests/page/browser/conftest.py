"""One page and one Chromium for all browser tests of a worker; each file of tests starts with no trace held."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.page.browser.people import Server, Visitor
from tests.page.browser.visiting import Chrome


@pytest.fixture(scope="package")
def browser() -> Iterator[Chrome]:
    with Chrome() as chrome:
        yield chrome


@pytest.fixture(scope="package")
def watched() -> Iterator[list[str]]:
    """Every address that this process tries to reach."""
    reached: list[str] = []
    lock = threading.Lock()
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def note(host: object) -> None:
        with lock:
            reached.append(str(host))

    def watched_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            note(address[0])
        connect(self, address)

    def watched_resolve(host: Any, *rest: Any, **more: Any) -> Any:
        note(host)
        return resolve(host, *rest, **more)

    socket.socket.connect = watched_connect  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = watched_resolve
    try:
        yield reached
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = resolve


@pytest.fixture(scope="package")
def the_server(tmp_path_factory: pytest.TempPathFactory, watched: list[str]) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("models"), watched)
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(the_server: Server) -> Server:
    the_server.forget()
    return the_server


@pytest.fixture
def visitor(browser: Chrome, server: Server) -> Iterator[Visitor]:
    with Visitor(browser, server) as person:
        yield person
