"""One contract over every family, and one over every network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import viz
from tests.contracts.contract import FAMILY_CONTRACT, NETWORK_CONTRACT, families_own
from tests.dense import NETWORKS, dense_model
from tests.tiny import tiny_model
from viz.families.family import families
from viz.models.catalogue import Catalogue
from viz.run.model import Model

TINY = "tiny-tdam"
FAMILIES = [name for name, family in families().items() if families_own(family)]
MODELS = [*Catalogue().bundled, TINY, *NETWORKS]


@cache
def loaded(name: str) -> Model:
    if name == TINY:
        return tiny_model()
    return dense_model(name) if name in NETWORKS else viz.load(name)


@cache
def carrying(family: str) -> Model:
    """A bundled network that carries the family."""
    return loaded(next(c.name for c in Catalogue().bundled.values() if c.family == family))


@pytest.mark.parametrize("check", FAMILY_CONTRACT, ids=lambda c: c.__name__)
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, check: Callable[[Model], None]) -> None:
    check(carrying(family))


@pytest.mark.parametrize("check", NETWORK_CONTRACT, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", MODELS)
def test_network(name: str, check: Callable[[Model], None]) -> None:
    check(loaded(name))


def test_every_folder_of_a_family_is_covered() -> None:
    """A new family without a bundled network is an error here, not a gap."""
    assert set(FAMILIES) == {c.family for c in Catalogue().bundled.values() if c.family}
