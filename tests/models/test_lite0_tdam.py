"""Lite0-TDAM: step 1 is plain Lite0, only the searchlight learns, the bundled file fits its card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from viz.capture.probe import capture
from viz.errors import CheckpointError
from viz.models.backbone import load_lite0
from viz.models.networks.lite0_attended import BACKBONE_PREFIX
from viz.models.networks.lite0_tdam import Lite0TDAM, build_tdam

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "checkpoints" / "lite0-tdam.json"


@pytest.fixture(scope="module")
def network() -> Lite0TDAM:
    torch.manual_seed(0)
    made = Lite0TDAM(steps=3, width=16, sequence="channel->spatial")
    made.backbone.load_state_dict(load_lite0().state_dict())
    return made.eval()


@pytest.fixture(scope="module")
def picture() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 3, 224, 224) * 2 - 1


def test_step_one_is_plain_bit_for_bit(network: Lite0TDAM, picture: Tensor) -> None:
    with torch.inference_mode():
        plain = load_lite0().forward_steps(picture)[0]
        first, *later = network.forward_steps(picture)
    assert torch.equal(first.logits, plain.logits)
    assert torch.equal(first.features, plain.features)
    assert len(later) == 2
    assert not torch.equal(later[0].logits, plain.logits)


def test_steps_argument_leaves_no_state(network: Lite0TDAM, picture: Tensor) -> None:
    with torch.inference_mode():
        before = network(picture)
        assert len(network.forward_steps(picture, 1)) == 1
        assert torch.equal(network(picture), before)
    with pytest.raises(ValueError, match="1 to 3"):
        network.forward_steps(picture, 4)


def test_probes_fire_for_the_step_that_uses_them(network: Lite0TDAM, picture: Tensor) -> None:
    with torch.inference_mode(), capture(network) as sink:
        network(picture)
    records = sink.records(1)
    shapes = {(r.label, r.step): r.values.shape for r in records}
    wanted = {
        "bottom": (320, 7, 7),
        "channel_logits": (320,),
        "channel_gate": (320,),
        "spatial_score": (7, 7),
        "spatial_gate": (7, 7),
    }
    assert shapes == {(label, step): shape for label, shape in wanted.items() for step in (2, 3)}
    assert {r.path for r in records} == {"searchlight"}


def test_gradient_reaches_only_the_searchlight(network: Lite0TDAM, picture: Tensor) -> None:
    network.train()
    assert not network.backbone.training
    network(picture[:1]).square().sum().backward()
    network.eval()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(BACKBONE_PREFIX), name
    network.zero_grad(set_to_none=True)


def test_module_state_loads_strictly(network: Lite0TDAM) -> None:
    state = network.module_state()
    assert not any(k.startswith(BACKBONE_PREFIX) for k in state)
    twin = Lite0TDAM(steps=3, width=16, sequence="channel->spatial")
    twin.load_module_state(state)
    assert all(torch.equal(v, state[k]) for k, v in twin.module_state().items())
    with pytest.raises(CheckpointError, match="unexpected key 'odd'"):
        twin.load_module_state({**state, "odd": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="shape"):
        twin.load_module_state({**state, "bottom_mean": torch.zeros(3)})


def test_runs_under_autocast(network: Lite0TDAM, picture: Tensor) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(network(picture[:1])).all()


def test_config_survives_json() -> None:
    network = Lite0TDAM(3, 8, "channel", "features")
    rebuilt = build_tdam(network.config_json())
    assert rebuilt.arguments == network.arguments and len(network.arguments) == 4
    with pytest.raises(CheckpointError):
        build_tdam("{")


def test_bundled_file_fits_its_card() -> None:
    from PIL import Image

    card = json.loads(CARD.read_text())
    path = CARD.with_name(card["file"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    with safe_open(path, framework="pt") as file:
        config = file.metadata()["config"]
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert card["arguments"] == json.loads(config)
    network = Lite0TDAM(**card["arguments"])
    network.backbone.load_state_dict(load_lite0().state_dict())
    network.load_module_state(state)
    photos = sorted((ROOT / "assets").rglob("*.jpg"))
    if photos:
        with Image.open(photos[0]) as image:
            pixels = torch.tensor(list(image.convert("RGB").resize((224, 224)).tobytes()), dtype=torch.float32)
        x = ((pixels.reshape(1, 224, 224, 3).permute(0, 3, 1, 2) - 127) / 128).contiguous()
        with torch.inference_mode(), capture(network, ["spatial_gate"]) as sink:
            network.eval()(x)
        assert sink.records()[0].values.std() > 1e-3
