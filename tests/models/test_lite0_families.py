"""Lite0 with one bottom-up module: frozen backbone, steps, probes, checkpoints. Random backbone, small pictures."""

from __future__ import annotations

import pytest
import torch

from viz.capture.probe import capture, edited, probes_of
from viz.errors import CheckpointError
from viz.models.networks.efficientnet_lite import TAP_CHANNELS, EfficientNetLite0
from viz.models.networks.lite0_attended import CHANNELS, Lite0Attended
from viz.models.networks.lite0_families import FAMILIES, build_family

STEPS = {"psa": 1, "ema": 1, "vista": 3, "paka": 3}
# One gate of each family by its label, and a value that must change the answer.
GATE = {"psa": "spatial_gate", "ema": "group_gate", "vista": "structured", "paka": "tap_logits"}


def network_of(family: str, seed: int = 0) -> Lite0Attended:
    torch.manual_seed(seed)
    network = FAMILIES[family]()
    for module in network.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    return network.eval()


def picture(seed: int = 1, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_and_shapes(family: str) -> None:
    network, x = network_of(family), picture()
    with torch.inference_mode():
        outputs = network.forward_steps(x)
        assert network.family == family and network.steps == STEPS[family] == len(outputs)
        assert all(o.logits.shape == (2, 1000) and o.features.shape == (2, 1280, 3, 3) for o in outputs)
        assert torch.allclose(network(x), outputs[-1].logits, atol=1e-5)
        assert len(network.forward_steps(x, 1)) == 1
        assert torch.allclose(network(x, 1), outputs[0].logits, atol=1e-5)
    with pytest.raises(ValueError, match="step"):
        network.forward_steps(x, STEPS[family] + 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_module_learns(family: str) -> None:
    network = network_of(family).train()
    assert not network.backbone.training and not any(p.requires_grad for p in network.backbone.parameters())
    before = [b.clone() for b in network.backbone.buffers()]
    network(picture()).square().mean().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, network.backbone.buffers(), strict=True))
    assert network.scale.grad is not None and network.scale.grad != 0
    moved = [n for n, p in network.attention.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert moved


def test_paka_starts_as_the_plain_network() -> None:
    network, x = network_of("paka"), picture()
    plain = EfficientNetLite0()
    plain.load_state_dict(network.backbone.state_dict())
    with torch.inference_mode():
        assert torch.allclose(network(x), plain.eval()(x), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_probes_stand_beside_what_the_module_reads(family: str) -> None:
    network = network_of(family)
    with torch.inference_mode(), capture(network) as sink:
        network.forward_steps(picture())
    found = {r.name: r for r in sink.records(0)}
    bottom = found["attention.bottom"]
    assert bottom.kind == "joint" and bottom.values.shape == (CHANNELS, 6, 6) and bottom.family == family
    assert set(found) == set(probes_of(network))
    assert {r.step for r in sink.records(0)} == set(range(1, STEPS[family] + 1))
    assert not any("probe" in key for key in network.state_dict())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_of_the_gate_changes_the_answer(family: str) -> None:
    network, x = network_of(family), picture()
    with torch.inference_mode():
        before = network(x)
        with edited(network, {GATE[family]: lambda value, step: torch.full_like(value, 0.125)}):
            after = network(x)
    assert (before - after).abs().max() > 1e-4 * before.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_state_without_backbone_goes_round(family: str) -> None:
    network, other = network_of(family, 0), network_of(family, 3)
    other.backbone.load_state_dict(network.backbone.state_dict())
    state = network.module_state()
    assert not any(key.startswith("backbone.") for key in state) and "scale" in state and "tap_mean" in state
    other.load_module_state(state)
    with torch.inference_mode():
        assert torch.equal(network(picture()), other(picture()))
    rebuilt = build_family(network.config_json())
    rebuilt.load_module_state(state)
    short = dict(state)
    short.pop("scale")
    with pytest.raises(CheckpointError, match="missing key 'scale'"):
        other.load_module_state(short)
    with pytest.raises(CheckpointError, match="shape"):
        other.load_module_state({**state, "tap_mean": torch.zeros(3)})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"family": "tdam", "arguments": {}}', '{"family": "ema", "arguments": 3}']
)
def test_a_foreign_description_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="configuration"):
        build_family(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_share_is_how_far_the_maps_move(family: str) -> None:
    def at(share: float) -> Lite0Attended:
        torch.manual_seed(0)
        return FAMILIES[family](share=share).eval()

    whole, half, none = (at(share) for share in (1.0, 0.5, 0.0))
    for network in (half, none):
        network.load_state_dict(whole.state_dict())
    taps = whole.backbone.taps(picture())
    with torch.inference_mode():
        for full, mixed, untouched in zip(*(network.attended(taps) for network in (whole, half, none)), strict=True):
            torch.testing.assert_close(untouched, taps[-1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(mixed, (full + taps[-1]) / 2, atol=1e-4, rtol=1e-4)
    assert "share" not in whole.arguments and build_family(half.config_json()).share == 0.5
    with pytest.raises(CheckpointError, match="configuration"):
        build_family(half.config_json().replace('"share": 0.5', '"share": 1.5'))


def test_pooled_scales_give_the_same_answer() -> None:
    """What the feature cache keeps (the finest scale averaged to stride 16) is what the module would see anyway."""
    network, x = network_of("vista"), picture()
    with torch.inference_mode():
        taps = network.backbone.taps(x)
        assert [t.shape[1] for t in taps] == list(TAP_CHANNELS)
        fine = torch.nn.functional.avg_pool2d(taps[0], 2)
        pooled = network.last_output([fine, *taps[1:]]).logits
        assert torch.allclose(pooled, network.last_output(taps).logits, atol=1e-4)


def test_taps_lead_to_the_same_trunk() -> None:
    network, x = network_of("psa").backbone, picture()
    with torch.inference_mode():
        assert torch.equal(network.upper(network.taps(x)[-1]), network.trunk(x))
