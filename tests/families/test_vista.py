"""VISTA as published: draws are explicit, probes see and edit what the numbers depend on."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.parity.case import draw_input, filled
from tests.parity.runner import FIXTURES, find_cases, run_case
from viz.capture.probe import capture, edited, probes_of
from viz.families.vista.graph import (
    BLOCK,
    AttentionGraph,
    Combination,
    Draws,
    GatedMessage,
    StructuredAttention,
    ZeroRank,
)

CASES = find_cases(FIXTURES / "vista")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_parity(path: Path) -> None:
    verdict = run_case(path)
    assert verdict.status == "ok", verdict.line()


def test_every_form_has_a_case() -> None:
    names = {path.stem for path in CASES}
    assert {"vista_struc_att_r3_w16", "vista_gated_msg_r3_w16", "vista_graph_r3_w16"} <= names
    assert {"vista_graph_sigmoid_w16", "vista_gated_msg_r0_w16"} <= names


def _pair(pictures: int = 2, width: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    receiving, emitting = torch.randn(2, pictures, width, 9, 7, generator=generator).unbind(0)
    return receiving, emitting


def _message(**how: object) -> GatedMessage:
    torch.manual_seed(1)
    return GatedMessage(6, **how).eval().requires_grad_(False)  # type: ignore[arg-type]


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    message, pair = _message(), _pair()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = message(*pair)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(message(*pair), first)


def test_draws_are_given_made_or_uniform() -> None:
    message, pair = _message(rank=2), _pair()

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    source = generator(4)
    tensors = [torch.randn(2, 6, generator=source) for _ in range(6)]
    by_tensors = message(*pair, tensors)
    assert torch.equal(message(*pair, generator(4)), by_tensors)
    assert not torch.equal(message(*pair, generator(5)), by_tensors)
    # The default starts anew each time; a generator of one's own goes on.
    assert torch.equal(message(*pair, None), message(*pair, None))
    own = generator(4)
    assert not torch.equal(message(*pair, own), message(*pair, own))
    zeros = [torch.zeros(2, 6)] * 6
    assert torch.equal(message(*pair, "uniform"), message(*pair, zeros))
    with capture(message, ["channel_vector_2_1"]) as sink:
        message(*pair, "uniform")
    torch.testing.assert_close(sink.batches[0][2], torch.full((2, 6), 1 / 6))
    permuted = message(*pair, tensors[::-1])
    assert not torch.equal(permuted, by_tensors)


@pytest.mark.parametrize(
    ("draws", "word"),
    [
        ([torch.zeros(2, 6)] * 5, "too few"),
        ([torch.zeros(2, 6)] * 7, "7 draws .* 6 are used"),
        ([torch.zeros(1, 6)] * 6, r"must be \(2, 6\)"),
        ("random", "uniform"),
    ],
)
def test_draws_that_do_not_fit_are_refused(draws: Draws, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _message(rank=2)(*_pair(), draws)


def test_order_of_draws_in_the_graph() -> None:
    torch.manual_seed(2)
    graph = AttentionGraph((3, 4, 5), 6, rank=2).eval().requires_grad_(False)
    scales = [torch.randn(1, c, n, n) for c, n in ((3, 12), (4, 6), (5, 3))]
    draws = [torch.randn(1, 6) for _ in range(18)]
    with capture(graph) as sink:
        out = graph(*scales, draws)
    assert out.shape == (1, 24, 3, 3)
    seen = [(tap.path, tap.label, v) for tap, _, v in sink.batches if tap.is_vector]
    wanted = [
        (f"attention_MSG_{m}", f"channel_vector_{q}_{t}") for m in ("35", "45", "55") for q in (1, 2, 3) for t in (1, 2)
    ]
    assert [(path, label) for path, label, _ in seen] == wanted
    for (_, _, value), logits in zip(seen, draws, strict=True):
        torch.testing.assert_close(value, logits.softmax(dim=1))
    assert all(tap.random_draw for tap, *_ in sink.batches if tap.is_vector)


def test_probes_and_their_kinds() -> None:
    message = _message(rank=2)
    kinds = {name: probe.tap.kind for name, probe in probes_of(message).items()}
    assert len(kinds) == 3 * (3 + 2 + 4)
    for q in (1, 2, 3):
        assert [kinds[f"kernel_{role}_{q}"] for role in ("prediction", "emitting", "receiving")] == ["kernel"] * 3
        assert kinds[f"energy_{q}"] == kinds[f"structured_{q}"] == "joint"
        assert [kinds[f"spatial_map_{q}_{t}"] for t in (1, 2)] == ["spatial"] * 2
        assert [kinds[f"channel_vector_{q}_{t}"] for t in (1, 2)] == ["channel"] * 2
    with capture(message) as sink:
        message(*_pair())
    shapes = {"kernel": (9, 9, 7), "joint": (6, 9, 7), "spatial": (9, 7), "channel": (6,)}
    assert len(sink.batches) == len(kinds)
    for record in sink.records(1):
        assert record.values.shape == shapes[record.kind] and record.step == 1
        assert record.bounds[0] <= record.values.min() <= record.values.max() <= record.bounds[1]
    assert set(probes_of(_message(gate="sigmoid"))) == {n for n in kinds if "map" not in n and "vector" not in n}
    assert not [k for k in message.state_dict() if "probe" in k]


def test_every_probe_lies_on_the_way() -> None:
    message, pair = _message(rank=2), _pair()
    plain = message(*pair)
    for label in probes_of(message):
        with edited(message, {label: lambda v, _: v * 0.5 + 1}):
            assert not torch.equal(message(*pair), plain), label
    assert torch.equal(deepcopy(message)(*pair), plain)


def test_the_gate_is_the_energy_under_maps_and_vectors() -> None:
    message, pair = _message(rank=3), _pair()
    with capture(message) as sink:
        message(*pair)
    v = {tap.label: value for tap, _, value in sink.batches}
    for q in (1, 2, 3):
        weights = torch.stack(
            [v[f"spatial_map_{q}_{t}"][:, None] * v[f"channel_vector_{q}_{t}"][:, :, None, None] for t in (1, 2, 3)]
        )
        torch.testing.assert_close(v[f"structured_{q}"], weights.sum(dim=0) * v[f"energy_{q}"])
        assert (v[f"structured_{q}"].abs() <= v[f"energy_{q}"].abs() * 3).all()


def test_rank_zero_is_no_gate_or_no_message() -> None:
    energy = torch.randn(2, 6, 4, 5)
    assert torch.equal(StructuredAttention(0)(energy, []), energy)
    assert torch.equal(StructuredAttention(0, zero_rank="nothing")(energy), torch.zeros_like(energy))
    with capture(m := _message(rank=0)) as sink:
        m(*_pair())
    v = {tap.label: value for tap, _, value in sink.batches}
    assert all(torch.equal(v[f"energy_{q}"], v[f"structured_{q}"]) for q in (1, 2, 3))
    nothing = _message(rank=0, zero_rank="nothing")
    bias = nothing.combination_msgs[0].bias
    assert isinstance(bias, Tensor)
    torch.testing.assert_close(nothing(*_pair()), bias.relu()[None, :, None, None].expand(2, -1, 9, 7))


def test_combinations() -> None:
    scales = [torch.randn(2, c, *size) for c, size in ((3, (9, 7)), (4, (5, 4)), (5, (3, 2)))]
    strided = AttentionGraph((3, 4, 5), 6, rank=1).eval()
    pointwise = AttentionGraph((3, 4, 5), 6, rank=1, combination="pointwise", gate="sigmoid").eval()
    with torch.no_grad():
        assert strided(*scales).shape == (2, 24, 3, 2)
        assert pointwise(*scales).shape == (2, 12, 9, 7)


def test_released_size() -> None:
    with torch.device("meta"):
        graph = AttentionGraph()
    total = sum(p.numel() for p in graph.parameters())
    messages = sum(p.numel() for n, p in graph.named_parameters() if "MSG" in n)
    combined = sum(
        p.numel() for n, p in graph.named_parameters() if n.startswith("combination") and n.endswith("0.weight")
    )
    assert (round(total / 1e6, 1), round(messages / 1e6, 1), round(combined / 1e6, 1)) == (95.9, 3.9, 75.5)


@pytest.mark.parametrize(
    "how", [{"rank": -1}, {"gate": "softmax"}, {"zero_rank": "half"}, {"combination": "sum"}, {"channels": (3, 4)}]
)
def test_impossible_graphs_are_refused(how: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rank|gate|combination|three scales"):
        AttentionGraph(**{"channels": (3, 4, 5), "width": 2, **how})  # type: ignore[arg-type]


def test_large_convolutions_give_the_same_with_and_without_gradients() -> None:
    torch.manual_seed(0)
    graph = AttentionGraph((2, 3, 4), 96, rank=1).eval()
    assert len(graph.state_dict()["combination_msgs_51.0.weight"]) > BLOCK
    scales = [torch.randn(2, c, n, n + 1) for c, n in ((2, 6), (3, 3), (4, 2))]
    with_gradients = graph(*scales)
    assert with_gradients.requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(graph(*scales), with_gradients.detach(), rtol=1e-4, atol=1e-5)


def _made(tmp_path: Path, module: AttentionGraph, **changes: object) -> Path:
    """A case whose numbers are our own graph's, with two pictures, under the names of the warm-up file."""
    shapes = {k: list(v.shape) for k, v in module.state_dict().items()}
    module.load_state_dict({k: filled(k, tuple(s)) for k, s in shapes.items()})
    draws = [np.random.RandomState(50 + n).standard_normal((2, 6)).astype(np.float32) for n in range(9 * module.rank)]
    inputs = {
        f"c{i}": {"seed": i, "shape": [2, c, *size]} for i, c, size in ((2, 3, (9, 7)), (3, 4, (5, 4)), (4, 5, (3, 2)))
    }
    scales = [draw_input(spec) for spec in inputs.values()]
    with torch.inference_mode(), capture(module) as sink:
        out = module(*scales, [torch.from_numpy(d) for d in draws])
    arrays = {"out": out.numpy()}
    if draws:
        maps = [v for tap, _, v in sink.batches if tap.label.startswith("spatial_map_2") and tap.path.endswith("45")]
        arrays |= {"ch_logits": np.stack(draws), "MSG_45.sp_ag_2": torch.stack(maps)[:, :, None].numpy()}
    manifest = {
        "name": "made",
        "family": "vista",
        "kind": "module",
        "source": "AttentionGraphCondKernel_w_warmup.py",
        "build": {"kwargs": {"ms_featmaps": [3, 4, 5], "width": 6}},
        "call": {"rank": 2, "epoch": 100},
        "inputs": {"c1": None, **inputs},
        "random_channel_logits": {"seed0": 50, "draws": len(draws)},
        "tolerance": 1e-5,
        "arrays": {k: list(v.shape) for k, v in arrays.items()},
        "state_dict": shapes,
        **changes,
    }
    (tmp_path / "made.json").write_text(json.dumps(manifest))
    np.savez(tmp_path / "made.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "made.json"


@pytest.mark.parametrize(
    ("rank", "zero_rank", "combination", "changes"),
    [
        (2, "nothing", "pointwise", {}),
        (1, "nothing", "pointwise", {"call": {"rank": 3, "epoch": 49}}),
        (0, "nothing", "pointwise", {"call": {"rank": 0, "epoch": 50}}),
        (0, "energy", "strided", {"call": {"rank": 0}, "source": "AttentionGraphCondKernel.py"}),
        (5, "energy", "strided", {"call": {}, "source": "surface_normal/AttentionGraphCondKernel.py"}),
        (3, "energy", "strided", {"call": {"rank": 3, "epoch": 2}, "source": "AttentionGraphCondKernel.py"}),
    ],
)
def test_other_graphs_are_built_from_their_manifest(
    tmp_path: Path, rank: int, zero_rank: ZeroRank, combination: Combination, changes: dict[str, object]
) -> None:
    graph = AttentionGraph((3, 4, 5), 6, rank, combination=combination, zero_rank=zero_rank).eval()
    verdict = run_case(_made(tmp_path, graph, **changes))
    assert verdict.status == "ok", verdict.line()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"kind": "network"}, "not understood"),
        ({"call": {"rank": None}}, "not understood"),
        ({"call": {"rank": 2, "mode": "fast"}}, "not understood"),
        ({"build": {"kwargs": {"ms_featmaps": [3, 4, 5], "width": 6, "norm_layer": "GroupNorm"}}}, "not understood"),
        ({"build": {"kwargs": {"ms_featmaps": [3, 4], "width": 6}}}, "not understood"),
        ({"random_channel_logits": {"seed0": 50, "draws": 18, "order": "reverse"}}, "not understood"),
        ({"random_channel_logits": {"seed0": 51, "draws": 18}}, "failed"),
        ({"random_channel_logits": {"seed0": 50, "draws": 17}}, "failed"),
        ({"call": {"rank": 2, "epoch": 3}}, "failed"),
    ],
)
def test_what_differs_or_is_not_understood_is_said(tmp_path: Path, changes: dict[str, object], status: str) -> None:
    graph = AttentionGraph((3, 4, 5), 6, 2, combination="pointwise", zero_rank="nothing").eval()
    verdict = run_case(_made(tmp_path, graph, **changes))
    assert verdict.status == status and verdict.reason + verdict.where, verdict.line()
