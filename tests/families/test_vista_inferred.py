"""VISTA's inferred variant: the updates are what their docstring says, the tensor has its rank, and it learns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from viz.capture.probe import capture, edited, probes_of
from viz.families.vista.inferred import PRIOR_LIMIT, InferredGraph, InferredMessage
from viz.families.vista.mean_field import objective, outer_sum, standardised, update_maps, update_vectors

CHANNELS = (3, 5, 8)


def _features(pictures: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((12, 10), (7, 6), (6, 5))
    return [
        torch.randn(pictures, c, *size, generator=generator, dtype=dtype)
        for c, size in zip(CHANNELS, sizes, strict=True)
    ]


def _graph(seed: int = 0, **how: object) -> InferredGraph:
    """A graph off its starting point: every scale speaks, kernels are no longer the delta kernel."""
    torch.manual_seed(seed)
    graph = InferredGraph(CHANNELS, **{"width": 4, **how})  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in graph.named_parameters():
            if "kernels_" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            if name.endswith("strength"):
                parameter.add_(0.5)
    return graph


def _message(graph: InferredGraph, name: str) -> InferredMessage:
    message = graph.messages[name]
    assert isinstance(message, InferredMessage)
    return message


def _tensors(rank: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "energy": torch.tanh(draw(2, 6, 4, 3)),
        "scale": draw(rank).exp(),
        "bias": draw(rank),
        "tau": draw(rank).exp(),
        "prior": 0.3 * draw(rank, 6),
    }


def test_updates_are_the_written_fixed_point_form() -> None:
    q = _tensors(2)
    vectors = torch.rand(2, 2, 6, dtype=torch.float64)
    maps = update_maps(q["energy"], vectors, q["scale"], q["bias"])
    after = update_vectors(q["energy"], maps, q["tau"], q["prior"])
    for n in range(2):
        for t in range(2):
            e = q["energy"][n].numpy()
            score = q["scale"][t].item() * (vectors[n, t].numpy()[:, None, None] * e).mean(axis=0) + q["bias"][t].item()
            m = 1 / (1 + np.exp(-score))
            np.testing.assert_allclose(maps[n, t].numpy(), m)
            logits = q["tau"][t].item() * (m * e).mean(axis=(1, 2)) + q["prior"][t].numpy()
            np.testing.assert_allclose(after[n, t].numpy(), 6 * np.exp(logits) / np.exp(logits).sum())
    torch.testing.assert_close(after.mean(dim=2), torch.ones(2, 2, dtype=torch.float64))


def test_each_update_raises_the_objective_and_they_settle() -> None:
    q = _tensors()
    energy, parameters = q.pop("energy"), q
    vectors = torch.ones(2, 3, 6, dtype=torch.float64)
    maps = torch.full((2, 3, 4, 3), 0.5, dtype=torch.float64)
    values = [objective(energy, vectors, maps, **parameters)]
    for _ in range(60):
        maps = update_maps(energy, vectors, parameters["scale"], parameters["bias"])
        values.append(objective(energy, vectors, maps, **parameters))
        last = vectors
        vectors = update_vectors(energy, maps, parameters["tau"], parameters["prior"])
        values.append(objective(energy, vectors, maps, **parameters))
    assert all((b >= a - 1e-12).all() for a, b in pairwise(values))
    assert (values[2] > values[0] + 1e-3).all()
    torch.testing.assert_close(vectors, last, rtol=1e-9, atol=1e-9)
    # At rest neither a map nor a vector nearby does better.
    best = objective(energy, vectors, maps, **parameters)
    for seed in range(5):
        torch.manual_seed(seed)
        other = (maps + 0.02 * torch.randn_like(maps)).clamp(1e-6, 1 - 1e-6)
        assert (objective(energy, vectors, other, **parameters) < best).all()
        shifted = vectors * torch.exp(0.05 * torch.randn_like(vectors))
        shifted = shifted / shifted.mean(dim=2, keepdim=True)
        assert (objective(energy, shifted, maps, **parameters) < best).all()


def test_gradients_of_the_updates_by_finite_differences() -> None:
    q = {k: v.requires_grad_() for k, v in _tensors(2).items()}

    def alternate(energy: Tensor, scale: Tensor, bias: Tensor, tau: Tensor, prior: Tensor) -> Tensor:
        vectors = (6 * torch.softmax(prior, dim=1)).expand(2, -1, -1)
        for _ in range(3):
            maps = update_maps(energy, vectors, scale, bias)
            vectors = update_vectors(energy, maps, tau, prior)
        return outer_sum(vectors, maps)

    assert torch.autograd.gradcheck(alternate, (q["energy"], q["scale"], q["bias"], q["tau"], q["prior"]))


def test_gradients_of_the_whole_graph_by_finite_differences() -> None:
    torch.manual_seed(3)
    graph = InferredGraph((2, 3), width=3, rank=2, updates=2, dilations=(1,)).double()
    for parameter in graph.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    fine = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    coarse = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    own = _message(graph, "s2d1")
    watched = [p for n, p in own.named_parameters() if not n.endswith("weight")]
    assert torch.autograd.gradcheck(lambda a, b, *_: tuple(graph([a, b])), (fine, coarse, *watched))


def test_every_parameter_receives_a_gradient() -> None:
    graph = _graph()
    graph(_features())[-1].square().sum().backward()
    for name, parameter in graph.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_structured_attention_has_its_rank(rank: int) -> None:
    graph = _graph(rank=rank).double()
    with capture(graph, ["structured"]) as sink, torch.no_grad():
        graph(_features(dtype=torch.float64))
    assert len(sink.batches) == 3 * 2 * 3
    records = sink.records(1)
    for record in records:
        singular = np.linalg.svd(record.values.reshape(8, -1), compute_uv=False)
        assert singular[rank - 1] > 1e-4 * singular[0] and singular[rank] < 1e-6 * singular[0]


def test_structured_attention_is_the_sum_of_the_probed_outer_products() -> None:
    graph = _graph()
    with capture(graph) as sink, torch.no_grad():
        results = graph(_features())
    found = {(r.path, r.label, r.step): r for r in sink.records(1)}
    for path in (f"messages.{name}" for name in graph.messages):
        for step in (1, 2, 3):
            v = [found[path, f"channel_vector_{t}", step].values for t in (1, 2)]
            m = [found[path, f"spatial_map_{t}", step].values for t in (1, 2)]
            total = sum(np.multiply.outer(a, b) for a, b in zip(v, m, strict=True))
            np.testing.assert_allclose(found[path, "structured", step].values, total, rtol=1e-5)
            assert all(abs(a.mean() - 1) < 1e-5 for a in v) and not np.allclose(m[0], m[1], atol=1e-3)
            assert found[path, "kernel", step].values.shape == (9, 6, 5)
    for step, z in enumerate(results, 1):
        np.testing.assert_array_equal(found["", "hidden", step].values, z[1].numpy())
    for record in found.values():
        assert record.bounds[0] <= record.values.min() and record.values.max() <= record.bounds[1]


def test_labels_and_facts_of_the_messages() -> None:
    graph = _graph(scales=("s8", "s16", "s32"), dilations=(1, 3))
    assert list(graph.messages) == [f"{s}d{d}" for s in ("s8", "s16", "s32") for d in (1, 3)]
    labels = (
        "kernel",
        "energy",
        "spatial_map_1",
        "spatial_map_2",
        "channel_vector_1",
        "channel_vector_2",
        "structured",
    )
    wanted = {"hidden", *(f"messages.{name}.{label}" for name in graph.messages for label in labels)}
    assert set(probes_of(graph)) == wanted
    kinds = {p.label: p.tap.kind for p in probes_of(graph).values()}
    assert [kinds[x] for x in labels] == ["kernel", "joint", "spatial", "spatial", "channel", "channel", "joint"]
    assert [_message(graph, name).dilation for name in graph.messages] == [1, 3] * 3
    # The reach is the kernel's: a picture of one bright cell shows where the first message carries it.
    _same_outside_of_reach(3)


def _same_outside_of_reach(dilation: int) -> None:
    """A local change of what is sent is felt at exactly the taps."""
    graph = _graph(dilations=(dilation,), updates=1)
    message = _message(graph, f"s3d{dilation}")
    z, other = torch.randn(1, 8, 9, 9), torch.randn(1, 8, 9, 9)
    changed = z.clone()
    changed[..., 4, 4] += 1
    small = torch.randn(1, 4, 9, 9)
    a = message.send(z, small, other, small).carried
    b = message.send(changed, small, other, small).carried
    felt = (a != b).any(dim=1)[0].nonzero().tolist()
    assert felt == [[4 + dilation * i, 4 + dilation * j] for i in (-1, 0, 1) for j in (-1, 0, 1)]


def test_stopping_earlier_gives_an_earlier_step() -> None:
    graph, features = _graph(), _features()
    with torch.no_grad():
        whole, two, five = graph(features), graph(features, 2), graph(features, 5)
    assert (len(whole), len(two), len(five)) == (3, 2, 5)
    for a, b, c in zip(whole[:2], two, five[:2], strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    assert torch.equal(whole[2], five[2]) and not torch.equal(whole[1], whole[2])


def test_the_start_is_a_spatial_gate_of_what_is_received() -> None:
    torch.manual_seed(0)
    graph, features = InferredGraph(CHANNELS, updates=1), _features()
    with capture(graph) as sink, torch.no_grad():
        z = graph(features)[0]
    gates = [v for tap, _, v in sink.batches if tap.label == "structured" and ".s3" in tap.path]
    torch.testing.assert_close(z, features[2] * (1 + sum(gates) / 2))
    kernels = [v for tap, _, v in sink.batches if tap.label == "kernel"]
    delta = torch.zeros(9).index_fill_(0, torch.tensor(4), 1.0)
    assert len(kernels) == 6 and all(torch.equal(k, delta[None, :, None, None].expand_as(k)) for k in kernels)
    # The other scales are silent at first, and begin to learn by their strength.
    graph(features)[0].square().sum().backward()
    assert _message(graph, "s1d1").strength == 0 and _message(graph, "s1d1").strength.grad != 0


def test_scale_and_pictures_do_not_mix() -> None:
    graph, features = _graph(), _features(3)
    with torch.no_grad():
        whole = graph(features)[-1]
        alone = graph([f[1:2] for f in features])[-1]
        louder = graph([*features[:2], 100 * features[2]])[-1]
        other = graph([5 * features[0], *features[1:]])[-1]
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(louder, 100 * whole, rtol=1e-3, atol=1e-2)
    assert not torch.allclose(other, whole, atol=1e-2)


@pytest.mark.parametrize(
    "label", ["kernel", "energy", "spatial_map_1", "spatial_map_2", "channel_vector_1", "structured", "hidden"]
)
def test_edits_reach_the_output(label: str) -> None:
    graph, features = _graph(), _features()
    with torch.no_grad():
        plain = graph(features)
        with edited(graph, {label: lambda v, step: v * 0.3 if step == 2 else v}):
            changed = graph(features)
    assert torch.equal(plain[0], changed[0])
    assert not torch.allclose(plain[1], changed[1], atol=1e-3)
    assert not torch.allclose(plain[2], changed[2], atol=1e-4) or label == "hidden"


def test_no_gate_no_message() -> None:
    graph, features = _graph(), _features()
    with torch.no_grad(), edited(graph, {"structured": lambda v, _: torch.zeros_like(v)}):
        assert all(torch.equal(z, features[2]) for z in graph(features))
    with torch.no_grad(), edited(graph, {"messages.s1d*.structured": lambda v, _: torch.zeros_like(v)}):
        silenced = graph(features)[-1]
    with torch.no_grad():
        whole = graph(features)[-1]
        louder = graph([9 * features[0].flip(2), *features[1:]])[-1]
        with edited(graph, {"messages.s1d*.structured": lambda v, _: torch.zeros_like(v)}):
            torch.testing.assert_close(graph([9 * features[0].flip(2), *features[1:]])[-1], silenced)
    assert not torch.allclose(whole, silenced, atol=1e-3) and not torch.allclose(whole, louder, atol=1e-3)


def test_chosen_emitters() -> None:
    graph = _graph(emitters=(2,), dilations=(2,))
    assert list(graph.messages) == ["s3d2"] and not graph.project
    alone = InferredGraph((8,), width=4)
    assert alone([torch.randn(1, 8, 3, 3)])[-1].shape == (1, 8, 3, 3)


def test_channel_weights_stay_soft_whatever_is_learned() -> None:
    graph, features = _graph(sharpness=2.0), _features()
    with torch.no_grad():
        for name, parameter in graph.named_parameters():
            if name.rpartition(".")[2] in ("temperature_logit", "prior_raw") or "observation" in name:
                parameter.mul_(50).add_(20 * torch.randn_like(parameter))
    with torch.no_grad(), capture(graph, ["messages.*.channel_vector_*"]) as sink:
        graph(features)
    ratio = max(float((v.amax(1) / v.amin(1)).max()) for _, _, v in sink.batches)
    assert 5 < ratio <= np.exp(2 * 2.0 + 2 * PRIOR_LIMIT)


def test_constant_and_empty_features_stay_finite() -> None:
    graph = _graph()
    for value in (0.0, 3.0):
        features = [torch.full_like(f, value).requires_grad_() for f in _features()]
        z = graph(features)[-1]
        z.sum().backward()
        assert z.isfinite().all() and all(f.grad is not None and f.grad.isfinite().all() for f in features)


def _clutter(pictures: int, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """One cell with the object's own pattern and class, in clutter that shows other patterns and classes."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(99)))[0]
    where = torch.randint(25, (pictures,), generator=generator)
    classes = torch.randint(4, (pictures,), generator=generator)
    clutter = basis[:4][torch.randint(4, (pictures, 25), generator=generator)]
    kind = basis[6] + 0.3 * torch.randn(pictures, 25, 12, generator=generator)
    kind[torch.arange(pictures), where] = basis[5] + 0.3 * torch.randn(pictures, 12, generator=generator)
    clutter[torch.arange(pictures), where] = basis[:4][classes]
    x = (clutter + kind).transpose(1, 2).reshape(pictures, 12, 5, 5)
    return [x], where, classes


def test_trained_by_classes_alone_its_maps_find_the_object() -> None:
    torch.manual_seed(0)
    graph = InferredGraph((12,), width=12, rank=2, updates=3)
    head = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(99)))[0][:4]

    def logits(features: list[Tensor]) -> Tensor:
        z = graph(features)[-1]
        return 8 * F.normalize(z.mean(dim=(2, 3)), dim=1) @ head.T

    test, where, classes = _clutter(400, 1)

    def found() -> tuple[float, float, float]:
        with torch.no_grad(), capture(graph, ["structured"]) as sink:
            right = float((logits(test).argmax(1) == classes).float().mean())
        maps = torch.stack(
            [v.mean(dim=1) for tap, step, v in sink.batches if tap.path.endswith("s1d1") and step == 3]
        ).sum(dim=0)
        hit = float((maps.flatten(1).argmax(1) == where).float().mean())
        with capture(graph, ["channel_vector_1"]) as sink, torch.no_grad():
            graph(test)
        return right, hit, float(max(v.max() for *_, v in sink.batches))

    before = found()
    optimiser = torch.optim.Adam(graph.parameters(), 0.02)
    for i in range(100):
        features, _, targets = _clutter(64, 100 + i)
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits(features), targets))
        optimiser.step()
    after = found()
    assert before[0] < 0.6 and before[1] < 0.4 and min(after[:2]) > 0.85, (before, after)
    assert after[2] < 12 / 2  # no channel has taken all


@pytest.mark.parametrize(
    "how",
    [
        {"channels": ()},
        {"rank": 0},
        {"updates": 0},
        {"width": 0},
        {"dilations": ()},
        {"dilations": (1, 1)},
        {"dilations": (0,)},
        {"emitters": (3,)},
        {"emitters": ()},
        {"scales": ("a", "b")},
        {"scales": ("a", "b", "c.d")},
        {"scales": ("a", "b", "b")},
        {"sharpness": 0.0},
        {"channels": (3, 0, 8)},
    ],
)
def test_impossible_graphs_are_refused(how: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"empty|positive|identifier|among"):
        InferredGraph(**{"channels": CHANNELS, **how})  # type: ignore[arg-type]


def test_features_that_do_not_fit_are_refused() -> None:
    graph, features = _graph(), _features()
    for wrong in (features[:2], features[::-1], [f[0] for f in features]):
        with pytest.raises(ValueError, match="channels are"):
            graph(wrong)
    with pytest.raises(ValueError, match="0 updates"):
        graph(features, 0)


def test_standardised_in_both_memory_layouts() -> None:
    x = 5 + 3 * torch.randn(2, 4, 3, 5, dtype=torch.float64)
    for y in (standardised(x), standardised(x.contiguous(memory_format=torch.channels_last))):
        torch.testing.assert_close(y.mean(dim=(1, 2, 3)), torch.zeros(2, dtype=torch.float64))
        torch.testing.assert_close(y.std(dim=(1, 2, 3), unbiased=False), torch.ones(2, dtype=torch.float64))
        torch.testing.assert_close(y, (x - x.mean((1, 2, 3), True)) / x.std((1, 2, 3), unbiased=False, keepdim=True))


def test_a_selective_message_only_weighs_what_the_receiver_holds() -> None:
    """Where the receiver's map is 0 the result is 0, whatever the other scales hold; a message that carries its
    emitter is not bound so."""
    torch.manual_seed(0)
    for selective in (True, False):
        graph = InferredGraph((3, 5, 8), 4, 2, 2, (1, 2), gain=2.0, selective=selective).eval()
        for parameter in graph.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        features = [torch.randn(2, 3, 12, 12), torch.randn(2, 5, 6, 6), torch.randn(2, 8, 6, 6)]
        features[-1][:, :, 2:4] = 0
        with torch.inference_mode():
            result = graph(features)[-1]
            assert not torch.allclose(result, features[-1], atol=1e-3)
            assert torch.equal(result[:, :, 2:4], torch.zeros(2, 8, 2, 6)) == selective
            with edited(graph, {"structured": lambda a, step: torch.zeros_like(a)}):
                assert torch.equal(graph(features)[-1], features[-1])
