"""The four families on real, frozen Lite0 with random module weights: vivid, so that every picture differs."""

from __future__ import annotations

from functools import cache

import torch

from tests.tiny import as_model
from viz.core.card import ModelCard
from viz.models.backbone import lite0_state
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_families import FAMILIES
from viz.run.engine import Engine, Model

# Spelled out: what the bundled networks use may change.
ARGUMENTS: dict[str, dict[str, object]] = {
    "ema": {"groups": 8},
    "vista": {"rank": 2, "updates": 3, "dilations": (1, 3)},
    "paka": {"dilations": (1, 2, 4)},
}
NAMES = ("psa", "ema", "vista", "paka")


def vivid(family: str, seed: int = 0, **arguments: object) -> Lite0Attended:
    """A network of a family whose module parameters are random and large enough to be seen."""
    torch.manual_seed(seed)
    network = FAMILIES[family](**{**ARGUMENTS.get(family, {}), **arguments})
    network.backbone.load_state_dict(lite0_state(), strict=True)
    with torch.no_grad():
        # About the spread of the raw maps, so that the standardised ones are of order 1.
        network.tap_std.fill_(1.5)
        for name, parameter in network.attention.named_parameters():
            if name.endswith("bias") or parameter.ndim < 2:
                continue
            fan = parameter[0].numel()
            spread = {"paka": 1.2, "vista": 1.5}.get(family, 2.0) / fan**0.5
            if parameter.ndim == 4:  # not the levels' own kernels, which have five axes and stay the identity
                parameter.copy_(spread * torch.randn_like(parameter))
    return network.eval()


def family_card(family: str) -> ModelCard:
    """Card of the random network, named ``vivid-FAMILY``."""
    return ModelCard(
        f"vivid-{family}",
        f"Lite0 with a random {family.upper()} module",
        family,
        f"vivid_{family}",
        steps={"vista": 3, "paka": 3}.get(family, 1),
        task="none: random module",
    )


@cache
def family_model(family: str) -> Model:
    """The random network as a loaded model."""
    return as_model(vivid(family), family_card(family))


def offer_families(engine: Engine) -> None:
    """Let an engine offer the random networks beside its own models, as if they had been loaded."""
    for family in NAMES:
        engine.catalogue.bundled[f"vivid-{family}"] = family_card(family)
        engine._models[f"vivid-{family}"] = family_model(family)
