"""The parity runner: every fixture passes, and nothing else does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.parity.__main__ import main
from tests.parity.case import filled
from tests.parity.families.tdam_build import searchlight
from tests.parity.runner import FIXTURES, compare, find_cases, run_case
from viz.capture.probe import capture
from viz.families.tdam.module import Searchlight
from viz.models.networks.td_resnet import DEPTHS, ResidualBlock, TDResNet, TDResNetConfig, released_config

SMALL = FIXTURES / "tdam" / "searchlight_concat__channel_then_spatial.json"
Change = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("path", find_cases(FIXTURES), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_fixture(path: Path) -> None:
    verdict = run_case(path)
    assert verdict.status == "ok", verdict.line()


def _changed(folder: Path, change: Change, source: Path = SMALL) -> Path:
    """A copy of a case with a changed manifest."""
    manifest = json.loads(source.read_text())
    change(manifest)
    target = folder / source.name
    target.write_text(json.dumps(manifest))
    shutil.copy(source.with_suffix(".npz"), folder)
    return target


def _set(*path: str, value: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        for step in path[:-1]:
            manifest = manifest[step]
        manifest[path[-1]] = value

    return change


KWARGS = ("build", "kwargs")


@pytest.mark.parametrize(
    "change",
    [
        _set("family", value="unknown"),
        _set("kind", value="story"),
        _set("build", "class", value="TD_Other_Attention"),
        _set(*KWARGS, "spotlight_gen_technique", value="telepathy"),
        _set(*KWARGS, "operation_seq", value="spatial->spatial"),
        _set(*KWARGS, "rep_combine_technique", value="product"),
        _set(*KWARGS, "rep_pooling_techniques", value=["median"]),
        _set(*KWARGS, "spatial_computation_method", value="crop"),
        _set(*KWARGS, "surprise", value=1),
        _set("inputs", "middle", value={"seed": 1, "shape": [1]}),
        _set("inputs", "top", value={"seed": 1, "shape": [1], "transpose": True}),
        _set("call", value={"mode": "fast"}),
        _set("tolerance", value="small"),
        _set("build", "depth", value=3),
    ],
)
def test_what_is_not_understood_is_said(tmp_path: Path, change: Change) -> None:
    verdict = run_case(_changed(tmp_path, change))
    assert verdict.status == "not understood" and verdict.reason
    assert main([str(tmp_path)]) == 1


def test_an_unknown_array_name_is_not_understood(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda m: m["arrays"].update(mystery=[1]))
    arrays = dict(np.load(path.with_suffix(".npz")))
    np.savez(path.with_suffix(".npz"), mystery=np.zeros(1, np.float32), **arrays)
    assert run_case(path).status == "not understood"


@pytest.mark.parametrize(
    "change",
    [
        _set("state_dict", "Ug_mlp.0.weight", value=[32, 9, 1, 1]),
        _set("state_dict", "extra.weight", value=[1]),
        lambda m: m["state_dict"].pop("Ug_mlp.0.weight"),
        _set("parameters", value=7),
        lambda m: m["arrays"].pop("out"),
        _set("arrays", "out", value=[2, 32, 9, 7]),
        _set("inputs", "top", "seed", value=99),
        _set("fill_scale", value=[["Ug_mlp", 2.0]]),
    ],
)
def test_another_case_fails(tmp_path: Path, change: Change) -> None:
    verdict = run_case(_changed(tmp_path, change))
    assert verdict.status == "failed", verdict.line()
    assert main([str(tmp_path)]) == 1


@pytest.mark.parametrize("value", [1.0, np.nan, np.inf])
def test_a_corrupted_array_fails(tmp_path: Path, value: float) -> None:
    path = _changed(tmp_path, lambda m: None)
    assert main([str(tmp_path)]) == 0
    arrays = dict(np.load(path.with_suffix(".npz")))
    arrays["spatial"][1, 3, 3] = value
    np.savez(path.with_suffix(".npz"), **arrays)
    assert main([str(tmp_path)]) == 1


def test_broken_files_fail(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda m: None)
    path.with_suffix(".npz").write_bytes(b"PK\x03\x04 not arrays")
    assert run_case(path).status == "failed"
    path.with_suffix(".npz").unlink()
    assert run_case(path).status == "failed"
    path.write_text("{")
    assert run_case(path).status == "not understood"
    path.write_text("[]")
    assert run_case(path).status == "not understood"


def test_an_empty_or_absent_directory_is_an_error(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "absent")]) == 2


def test_errors_are_relative_to_the_largest_value() -> None:
    theirs = np.array([0.0, -200.0], np.float32)
    assert compare("x", np.array([1.0, -200.0], np.float32), theirs, 0.1)[0] == pytest.approx(1 / 200)
    assert compare("x", np.zeros((1, 2)), theirs, 0.1)[0] == np.inf
    assert compare("x", np.full(2, 1e-9), np.zeros(2), 0.1)[0] == np.inf
    assert compare("cam_class_t1", np.array([1, 2]), np.array([1, 3]), 1.0) == (0.5, 0.0)
    pixels = np.zeros((100, 100), np.int64)
    turned = pixels.copy()
    turned[:3, :3] = 1
    error, allowed = compare("y.argmax", turned, pixels, 1e-4)
    assert error <= allowed
    turned[:4, :4] = 1
    error, allowed = compare("y.argmax", turned, pixels, 1e-4)
    assert error > allowed


def test_fill_depends_on_key_and_shape_alone() -> None:
    assert torch.equal(filled("a.weight", (3, 4)), filled("a.weight", (3, 4)))
    assert not torch.equal(filled("a.weight", (3, 4)), filled("b.weight", (3, 4)))
    assert filled("bn.running_var", (50,)).min() >= 1
    assert filled("bn.num_batches_tracked", ()).dtype == torch.int64


def _network_manifest(build: dict[str, Any], config: TDResNetConfig) -> dict[str, Any]:
    with torch.device("meta"):
        network = TDResNet(config)
    return {
        "name": "made",
        "family": "tdam",
        "kind": "network",
        "build": build,
        "inputs": {"x": {"seed": 3, "shape": [1, 3, 40, 56]}},
        "fill_scale": [],
        "tolerance": 1e-5,
        "state_dict": {k: list(v.shape) for k, v in network.state_dict().items()},
    }


@pytest.mark.parametrize(
    ("build", "config"),
    [
        # Without keywords the original's defaults hold: T = 3, m = 2, top only.
        (
            {"model": "tdresnet18"},
            TDResNetConfig(*DEPTHS[18], steps=3, feedback=2, searchlight={"technique": "top_only"}),
        ),
        (
            {
                "block": "Bottleneck",
                "layers": [1, 1, 2, 1],
                "num_classes": 7,
                "kwargs": {
                    "time_steps": 3,
                    "m": 1,
                    "apply_td_at_layers_list": [1, 2],
                    "apply_td_at_blocks_for_layers": [[], [0], [1, 9], [0]],
                    "rep_pooling_techniques": ["avp", "mp"],
                    "rep_reduction_tuple": ["n", 5],
                },
            },
            TDResNetConfig(
                "bottleneck",
                (1, 1, 2, 1),
                7,
                steps=3,
                feedback=1,
                td_blocks={1: (0,), 2: (1,)},
                searchlight={"technique": "top_only", "pooling": ("avg", "max"), "width": 5},
            ),
        ),
    ],
)
def test_other_networks_are_built_from_their_manifest(
    tmp_path: Path, build: dict[str, Any], config: TDResNetConfig
) -> None:
    manifest = _network_manifest(build, config)
    network = TDResNet(config).eval()
    network.load_state_dict({k: filled(k, tuple(s)) for k, s in manifest["state_dict"].items()})
    z = np.random.RandomState(3).standard_normal((1, 3, 40, 56)).astype(np.float32)
    with torch.inference_mode():
        outputs = network.forward_steps(torch.from_numpy(z))
    arrays = {f"logits_t{t}": o.logits.numpy() for t, o in enumerate(outputs, 1)} | {
        "logits": outputs[-1].logits.numpy()
    }
    manifest["arrays"] = {k: list(v.shape) for k, v in arrays.items()}
    (tmp_path / "made.json").write_text(json.dumps(manifest))
    np.savez(tmp_path / "made.npz", **arrays)
    assert run_case(tmp_path / "made.json").status == "ok", run_case(tmp_path / "made.json").line()


def test_a_block_and_a_call_are_understood(tmp_path: Path) -> None:
    how = {"technique": "joint_concat"}
    block = ResidualBlock("basic", 32, 48, 2, steps=3, feedback=1, searchlight=how).eval()
    shapes = {k: list(v.shape) for k, v in block.state_dict().items()}
    block.load_state_dict({k: filled(k, tuple(s)) for k, s in shapes.items()})
    z = np.random.RandomState(3).standard_normal((1, 32, 12, 10)).astype(np.float32)
    manifest = {
        "name": "block",
        "family": "tdam",
        "kind": "block",
        "build": {
            "class": "BasicBlock",
            "args": [32, 48, 2],
            "kwargs": {"is_td_block": True, "m": 1, "spotlight_gen_technique": "joint_top_bottom_concat_attention"},
        },
        "inputs": {"x": {"seed": 3, "shape": [1, 32, 12, 10]}},
        "tolerance": 1e-5,
        "state_dict": shapes,
    }
    for steps, call in ((3, {}), (2, {"time_steps": 2})):
        with torch.inference_mode(), capture(block) as sink:
            out = block(torch.from_numpy(z), steps)
        gates = [v for tap, _, v in sink.batches if tap.label == "spatial_gate"]
        arrays = {"out": out.numpy()} | {f"RA_block/step{i}/spatial": g.numpy() for i, g in enumerate(gates, 1)}
        assert len(gates) == steps - 1
        told = {**manifest, "call": call, "arrays": {k: list(v.shape) for k, v in arrays.items()}}
        (tmp_path / "block.json").write_text(json.dumps(told))
        np.savez(tmp_path / "block.npz", **arrays)
        verdict = run_case(tmp_path / "block.json")
        assert verdict.status == "ok", verdict.line()


@pytest.mark.parametrize(
    ("depth", "parameters", "keys"),
    [(18, 11_828_776, 174), (34, 22_074_152, 335), (50, 27_645_992, 392), (101, 46_754_856, 706)],
)
def test_released_counts(depth: int, parameters: int, keys: int) -> None:
    with torch.device("meta"):
        network = TDResNet(released_config(depth))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == keys


def test_bottleneck_m1_t3_layout() -> None:
    config = TDResNetConfig("bottleneck", (1, 1, 1, 1), steps=3, feedback=1, searchlight={"technique": "joint_concat"})
    with torch.device("meta"):
        state = TDResNet(config).state_dict()
    steps = {k.rpartition(".")[0] for k in state if "_1." in k or "_2." in k}
    assert steps == {f"layer{s}.0.bn3_{j}" for s in (3, 4) for j in (1, 2)}
    assert state["layer4.0.bn3_2.weight"].shape == (2048,)
    assert state["layer4.0.RA_block.Ug_top_mlp.0.weight"].shape == (128, 2048, 1, 1)
    assert state["layer4.0.RA_block.Ug_bottom_mlp.0.weight"].shape == (128, 512, 1, 1)
    assert state["layer4.0.RA_block.Ug_mlp.0.weight"].shape == (512, 256, 1, 1)


@pytest.mark.parametrize("shared", [True, False])
def test_learned_pooling(shared: bool) -> None:
    technique = {"rep_pooling_techniques": ["avp", "learn_pool_shared" if shared else "learn_pool_unique"]}
    module = Searchlight(32, 64, **searchlight({**technique, "spatial_pool_res": [2, 3]})).eval()
    names = {f"{side}_linear_spatial.{what}" for side in ("top", "bottom") for what in ("weight", "bias")}
    assert names <= set(module.state_dict())
    assert (module.top_linear_spatial is module.bottom_linear_spatial) is shared
    # Equal weights on the cells of a grid that divides the map are a plain mean: S is then twice that of one mean.
    torch.nn.init.constant_(module.top_linear_spatial.weight, 1 / 6)
    torch.nn.init.zeros_(module.top_linear_spatial.bias)
    bottom, top = torch.randn(2, 32, 4, 6), torch.randn(2, 64, 4, 6)
    both = module.channel_logits(bottom, top)
    module.pooling = ("avg",)
    torch.testing.assert_close(both, 2 * module.channel_logits(bottom, top))
