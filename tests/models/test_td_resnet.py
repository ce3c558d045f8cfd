"""TD-ResNet: steps as an argument, records of the full pass, edits and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from tests.td_networks import network_of
from viz.capture.probe import capture, edited
from viz.families.tdam.module import Searchlight
from viz.models.networks.td_resnet import ResidualBlock, TDResNetConfig, released_config


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_steps_leave_no_state(picture: Tensor) -> None:
    network = network_of()
    first = {t: network(picture, t) for t in (None, 1, 2, 3)}
    assert torch.equal(first[None], first[3])
    assert not torch.allclose(first[1], first[2]) and not torch.allclose(first[2], first[3])
    for order in itertools.permutations((1, 2, None, 3), 3):
        for t in order:
            assert torch.equal(network(picture, t), first[t])
    assert all(torch.equal(a.logits, first[t]) for t, a in enumerate(network.forward_steps(picture), 1))


@torch.inference_mode()
def test_the_last_of_the_steps_is_the_forward(picture: Tensor) -> None:
    for steps, feedback, block in ((1, 2, "basic"), (3, 1, "basic"), (2, 3, "bottleneck"), (2, 0, "bottleneck")):
        network = network_of(steps, feedback, block)
        outputs = network.forward_steps(picture)
        assert len(outputs) == steps
        assert torch.equal(outputs[-1].logits, network(picture))
        weights, output = network.class_weights(), outputs[-1]
        pooled = output.features.mean(dim=(2, 3))
        torch.testing.assert_close(pooled @ weights.T + network.fc.bias, output.logits)
        assert len(network.forward_steps(picture, 1)) == 1


@pytest.mark.parametrize("steps", [0, 4, -1])
def test_a_step_that_was_not_built_is_refused(picture: Tensor, steps: int) -> None:
    network = network_of()
    with pytest.raises(ValueError, match=str(steps)):
        network(picture, steps)
    with pytest.raises(ValueError, match=str(steps)):
        network.forward_steps(picture, steps)


@torch.inference_mode()
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_each_block_records_one_searchlight_less_than_steps(picture: Tensor, steps: int) -> None:
    network = network_of(steps)
    blocks = [path for path, m in network.named_modules() if isinstance(m, Searchlight)]
    assert blocks == ["layer3.0.RA_block", "layer3.1.RA_block", "layer4.0.RA_block"]
    for run in (network.forward, network.forward_steps):
        with capture(network) as sink:
            run(picture)
        for path in blocks:
            for label in ("channel_logits", "channel_gate", "spatial_score", "spatial_gate"):
                found = [r.step for r in sink.records() if r.name == f"{path}.{label}"]
                assert found == list(range(2, steps + 1))


@torch.inference_mode()
def test_fewer_steps_show_fewer_records_in_the_last_stage_only(picture: Tensor) -> None:
    network = network_of(3)
    with capture(network, ["spatial_gate", "layer3.*"]) as sink:
        network(picture, 2)
    steps = {p: [r.step for r in sink.records() if r.name == f"{p}.spatial_gate"] for p in ("layer3.0.RA_block",)}
    assert steps["layer3.0.RA_block"] == [2, 3]
    assert [r.step for r in sink.records() if r.name == "layer4.0.RA_block.spatial_gate"] == [2]


@torch.inference_mode()
def test_m0_applies_the_module_at_every_step(picture: Tensor) -> None:
    network = network_of(2, 0)
    with capture(network, ["layer4.0.RA_block.spatial_gate"]) as sink:
        network(picture)
    assert [r.step for r in sink.records()] == [1, 2]


@torch.inference_mode()
def test_records_explain_the_output_of_the_module() -> None:
    torch.manual_seed(0)
    module = Searchlight(32, 64, "joint_concat").eval()
    bottom, top = torch.randn(2, 32, 7, 9), torch.randn(2, 64, 4, 5)
    with capture(module) as sink:
        out = module(bottom, top, step=3)
    assert out.shape == bottom.shape
    for item in range(2):
        records = {r.label: r for r in sink.records(item)}
        assert all(r.step == 3 and r.path == "" and r.family == "tdam" for r in records.values())
        gate, place = records["channel_gate"].values, records["spatial_gate"].values
        assert records["channel_logits"].values.shape == (32,)
        expected = bottom[item].numpy() * gate[:, None, None] * place[None]
        torch.testing.assert_close(torch.from_numpy(expected), out[item])
        assert place.shape == (7, 9) and gate.shape == (32,)
        low, high = records["spatial_gate"].bounds
        assert low <= place.min() and place.max() <= high
        # A searchlight of 0 makes both gates 1/2: a quarter of the map is left.
        assert all(r.neutral is None for r in records.values())


@torch.inference_mode()
def test_edits_change_the_output_and_end_with_the_block(picture: Tensor) -> None:
    network = network_of()
    plain = network(picture)
    with edited(network, {"layer4.*.spatial_gate": lambda value, step: torch.ones_like(value)}):
        ones = network(picture)
    with edited(network, {"layer4.*.spatial_gate": lambda value, step: value}):
        assert torch.equal(network(picture), plain)
    assert not torch.allclose(ones, plain)
    assert torch.equal(network(picture), plain)
    # The logits are not only shown: an edit of them is what the gates are then made from.
    with edited(network, {"channel_logits": lambda value, step: value * 0}), capture(network) as sink:
        network(picture)
    gates = [r.values for r in sink.records() if r.label in ("channel_gate", "spatial_gate")]
    assert gates and all((g == 0.5).all() for g in gates)


@torch.inference_mode()
def test_an_edit_sees_its_step(picture: Tensor) -> None:
    network = network_of()
    seen: list[int] = []

    def late(value: Tensor, step: int) -> Tensor:
        seen.append(step)
        return value if step < 3 else torch.zeros_like(value)

    with edited(network, {"layer4.0.RA_block.channel_gate": late}), capture(network, ["channel_gate"]) as sink:
        network(picture)
    assert seen == [2, 3]
    last = [r for r in sink.records() if r.path == "layer4.0.RA_block"]
    assert last[0].values.any() and not last[1].values.any()


def test_gradients_flow_through_every_part(picture: Tensor) -> None:
    network = network_of()
    x = picture.clone().requires_grad_()
    with capture(network):
        network(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert silent == []


@torch.inference_mode()
def test_a_batch_is_its_pictures_one_by_one(picture: Tensor) -> None:
    network = network_of()
    both = network(picture)
    torch.testing.assert_close(torch.cat([network(picture[:1]), network(picture[1:])]), both)


def test_probes_add_nothing_to_the_state_dict() -> None:
    network = network_of()
    assert not [k for k in network.state_dict() if "probe" in k]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feedback": 3}, "feedback"),
        ({"feedback": -1}, "feedback"),
        ({"steps": 0}, "steps"),
    ],
)
def test_impossible_configurations_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TDResNetConfig("basic", (1, 1, 1, 1), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"technique": "telepathy"},
        {"sequence": "spatial->spatial"},
        {"pooling": ()},
        {"pooling": "avg"},
        {"pooling": ("median",)},
        {"pooling": ("learned_shared", "learned_unique")},
        {"combine": "product"},
        {"channel_nonlinearity": "tanh"},
        {"reduction": 100},
    ],
)
def test_impossible_searchlights_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|can|unknown|too few"):
        Searchlight(32, 64, **arguments)  # type: ignore[arg-type]


def test_unpublished_depths_are_refused() -> None:
    with pytest.raises(ValueError, match="152"):
        released_config(152)


@torch.inference_mode()
def test_the_shortcut_takes_the_unmodified_input() -> None:
    torch.manual_seed(0)
    block = ResidualBlock("basic", 32, 32, 1, steps=2, feedback=2, searchlight={"technique": "joint_concat"}).eval()
    for name in ("bn2", "bn2_1"):
        torch.nn.init.zeros_(block.get_submodule(name).weight)
    x = torch.randn(1, 32, 8, 8)
    before = x.clone()
    assert torch.equal(block(x, 2), torch.relu(x))
    assert torch.equal(x, before)
