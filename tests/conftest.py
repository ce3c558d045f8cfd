"""What tests in several files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.visiting import Chrome


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with Chrome() as chrome:
        yield chrome
