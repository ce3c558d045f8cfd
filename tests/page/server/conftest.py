"""One page for the tests of the server, without a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from viz.page.app import build, look
from viz.page.server.start import Running, start
from viz.run.engine import Engine


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    with start(build, Engine("cpu"), port=0, **look()) as page:
        yield page
