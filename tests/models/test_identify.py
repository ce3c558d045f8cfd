"""TD-ResNets known by keys and shapes alone; other networks refused, in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoint_files import random_network, refused
from viz.errors import CheckpointError
from viz.models.networks.td_resnet import TDResNet, TDResNetConfig, released_config
from viz.models.published import identify

SIZES = {18: 256, 34: 256, 50: 256, 101: 235}


@pytest.fixture(scope="module")
def source() -> TDResNet:
    return random_network(18)


@pytest.fixture
def state(source: TDResNet) -> dict[str, Tensor]:
    return dict(source.state_dict())


@pytest.mark.parametrize("depth", SIZES)
def test_every_depth_is_identified_from_shapes(depth: int) -> None:
    with torch.device("meta"):
        network = TDResNet(released_config(depth))
    found = identify(network.state_dict())
    assert found.depth == depth and found.released and not found.warnings
    assert (found.config.steps, found.config.feedback) == ((2, 2) if depth < 50 else (2, 1))
    assert found.config.searchlight == {"technique": "joint_concat", "reduction": 16}
    assert found.config.td_blocks[2] == {18: (0, 1), 101: (0, 1, 2, 8, 13, 18, 22)}.get(depth, tuple(range(6)))
    p = found.preprocessing
    assert (p.crop, p.resize_to, p.filter, p.size) == ("resize", SIZES[depth], "bicubic", (224, 224))
    assert p.mean == pytest.approx((123.675, 116.28, 103.53)) and p.std == pytest.approx((58.395, 57.12, 57.375))


@pytest.mark.parametrize(
    ("config", "name", "warning"),
    [
        ({"steps": 4, "feedback": 1}, "t4_m1_joint", "published"),
        ({"steps": 2, "searchlight": {"technique": "top_only"}}, "t2_m2_top", "published"),
        ({"steps": 2, "searchlight": {"technique": "joint_sum", "width": 9}}, "t2_m2_bilinear", "published"),
        ({"steps": 3, "searchlight": {"technique": "simple_mapping"}}, "t3_m2_mapping", "published"),
        ({"steps": 2, "feedback": 1, "searchlight": {"technique": "identity"}}, "t2_m1_identity", "published"),
        ({"steps": 1, "feedback": 2}, "t1_m2_joint", "T = 1"),
        ({"steps": 2, "feedback": 0}, "t1_m1_joint", "m = 0"),
        ({"block": "bottleneck", "steps": 3, "feedback": 0}, "t2_m0_joint", "m = 0"),
        ({"block": "bottleneck", "steps": 1, "feedback": 3}, "t1_m3_joint", "T = 1"),
        ({"block": "bottleneck", "steps": 2, "feedback": 3}, "t2_m3_joint", "published"),
        ({"num_classes": 200}, "t2_m2_joint", "published"),
    ],
)
def test_other_configurations_are_read_and_declared(config: dict[str, Any], name: str, warning: str) -> None:
    made = TDResNetConfig(
        **{"block": "basic", "layers": (1, 1, 2, 1), "searchlight": {"technique": "joint_concat"}, **config}
    )
    with torch.device("meta"):
        state = TDResNet(made).state_dict()
    found = identify(state)
    assert found.name == f"tdresnet1x1x2x1_{name}" and not found.released and found.depth is None
    assert any(warning in w for w in found.warnings)
    assert found.config.num_classes == made.num_classes and dict(found.config.td_blocks) == {2: (0, 1), 3: (0,)}
    width = made.searchlight.get("width")
    assert found.config.searchlight.get("width") == width or found.config.searchlight.get("reduction")


def test_a_misfit_is_reported_with_counts_and_names(tmp_path: Path, state: dict[str, Tensor]) -> None:
    del state["layer4.1.RA_block.Ug_mlp.0.weight"], state["fc.bias"]
    state["layer1.0.conv2.weight"] = torch.zeros(64, 64, 1, 1)
    state["extra"] = state["head.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "misfit.pth")
    text = refused(tmp_path / "misfit.pth")
    for part in (
        "2 missing (layer4.1.RA_block.Ug_mlp.0.weight, fc.bias)",
        "2 unexpected (extra, head.weight)",
        "1 of another shape",
        "64x64x1x1",
    ):
        assert part in text


FOREIGN: list[tuple[str, dict[str, Any], str]] = [
    ("two", {"0.weight": torch.ones(2, 2)}, "another network"),
    ("own_module", {"tdam.Ug_mlp.0.weight": torch.ones(4, 4, 1, 1)}, "another network"),
    ("convnext", {"stages.2.blocks.0.RA_block.Ug_mlp.0.weight": torch.ones(2, 2, 1, 1)}, "another backbone"),
]


@pytest.mark.parametrize(("name", "content", "message"), FOREIGN, ids=[f[0] for f in FOREIGN])
def test_foreign_networks_are_refused(tmp_path: Path, name: str, content: dict[str, Any], message: str) -> None:
    torch.save(content, tmp_path / f"{name}.pth")
    assert message in refused(tmp_path / f"{name}.pth")


def test_a_plain_resnet_is_called_one(tmp_path: Path, state: dict[str, Tensor]) -> None:
    plain = {k: v for k, v in state.items() if "RA_block" not in k and "_1." not in k}
    torch.save(plain, tmp_path / "plain.pth")
    assert "plain ResNet-18" in refused(tmp_path / "plain.pth")
    wide = {k: v for k, v in state.items() if not k.startswith("layer2.1.")}
    wide["layer2.2.conv1.weight"] = state["layer2.1.conv1.weight"]
    torch.save(wide, tmp_path / "gap.pth")
    assert "lacks blocks of layer2" in refused(tmp_path / "gap.pth")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bn1.running_var", torch.full((64,), -1.0), "negative"),
        ("bn1.weight", torch.ones(64, dtype=torch.int64), "int64"),
        ("conv1.weight", torch.full((64, 3, 7, 7), torch.nan), "NaN"),
    ],
)
def test_values_that_no_network_has(
    tmp_path: Path, state: dict[str, Tensor], key: str, value: Tensor, message: str
) -> None:
    torch.save({**state, key: value}, tmp_path / "values.pth")
    text = refused(tmp_path / "values.pth")
    assert message in text and key in text


def test_learned_pooling_is_refused_by_name(state: dict[str, Tensor]) -> None:
    state["layer3.0.RA_block.top_linear_spatial.weight"] = torch.zeros(1, 64)
    with pytest.raises(CheckpointError, match="learned pooling"):
        identify(state)
