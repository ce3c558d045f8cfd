"""Attribution: Captum's numbers on our networks, at the right step and layer, and nothing left behind."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.family_models import vivid
from tests.hooks import hooks
from tests.tiny import scene, tiny_model, tiny_network
from viz.attribution import METHODS, AttributionOptions, attribute
from viz.attribution.layers import method_of
from viz.capture.probe import capture, edited
from viz.core.words import method_words
from viz.errors import MapError, ModelError, ProbeError, VizError
from viz.geometry import Preprocessing
from viz.models.backbone import lite0_state
from viz.models.networks.base import StepNetwork
from viz.models.networks.efficientnet_lite import EfficientNetLite0, ReLU6
from viz.models.networks.lite0_tdam import Lite0TDAM
from viz.picture import open_picture
from viz.run.engine import Engine
from viz.run.export import trace_json, trace_npz

CLASSES = 10
OPTIONS = AttributionOptions(n_steps=6, window=32, stride=16, batch=4)
ALL = (
    *("gradcam", "integrated_gradients", "guided_backprop", "occlusion"),
    *(
        f"{m}({p})"
        for m in ("gradcam", "gradient_x_activation", "integrated_gradients")
        for p in ("bottom", "spatial_gate")
    ),
)


@pytest.fixture(scope="module")
def network() -> StepNetwork:
    return tiny_network(3, classes=CLASSES).requires_grad_(False)


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def classes() -> Tensor:
    return torch.tensor([3, 7])


def scrambled(network: StepNetwork, seed: int = 0) -> StepNetwork:
    """The same network whose batch norms and searchlight do something."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.3 * torch.randn_like(module.running_mean)  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)


def lite0() -> StepNetwork:
    network = EfficientNetLite0()
    network.load_state_dict(lite0_state(), strict=True)
    return network.freeze()


@pytest.fixture(scope="module")
def lite_tdam() -> StepNetwork:
    network = Lite0TDAM(3, 8)
    network.backbone.load_state_dict(lite0_state(), strict=True)
    scrambled(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("searchlight."):
                parameter.copy_(torch.randn_like(parameter))
    return network


def test_methods_are_read_and_described() -> None:
    assert str(method_of(" gradcam ")) == "gradcam"
    choice = method_of("gradcam(layer4.0.RA_block.spatial_gate)")
    assert (choice.name, choice.tap) == ("gradcam", "layer4.0.RA_block.spatial_gate")
    assert choice.method_key == "gradcam(TAP)" and method_words(choice) == "Grad-CAM at spatial gate"
    assert method_of(choice) is choice
    for key, info in METHODS.items():
        assert info.signed == (info.bounds[0] < 0), key
        assert method_of(key.replace("TAP", "bottom")).method is info
        assert info.source and info.unit


@pytest.mark.parametrize("text", ["gradcam++", "", "lime", "gradcam(", "gradcam(a b)", "gradcam()", "x" * 500])
def test_unknown_methods_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(MapError, match="Unknown"):
        method_of(text)


def test_a_tap_where_none_belongs_is_refused() -> None:
    with pytest.raises(MapError, match="takes no tap"):
        method_of("occlusion(spatial_gate)")
    with pytest.raises(MapError, match="needs a tap"):
        method_of("gradient_x_activation")


@pytest.mark.parametrize("wrong", [{"baseline": "white"}, {"n_steps": 0}, {"window": 8, "stride": 9}, {"batch": True}])
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(VizError):
        AttributionOptions(**wrong)
    with pytest.raises(VizError, match="cannot be read"):
        AttributionOptions.from_json({"n_step": 3})
    assert AttributionOptions.from_json(OPTIONS.to_json()) == OPTIONS


def test_gradcam_is_the_clipped_class_map(network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    for step in (1, 2, 3):
        features = network.forward_steps(x, step)[-1].features
        cam = torch.einsum("nc,nchw->nhw", network.class_weights()[classes], features)
        expected = cam.clamp(min=0) / cam[0].numel()
        found = attribute(network, x, classes, "gradcam", step=step)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert found.max() > 0


def test_gradcam_takes_the_last_firing_of_the_head(lite_tdam: StepNetwork, x: Tensor) -> None:
    # One head answers every step; step 1 alone would be plain Lite0.
    classes, maps = torch.tensor([3, 700]), []
    for step in (1, 2, 3):
        features = lite_tdam.forward_steps(x, step)[-1].features
        cam = torch.einsum("nc,nchw->nhw", lite_tdam.class_weights()[classes], features)
        maps.append(attribute(lite_tdam, x, classes, "gradcam", step=step))
        torch.testing.assert_close(maps[-1], cam.clamp(min=0) / cam[0].numel(), rtol=1e-4, atol=1e-6)
    assert maps[0].max() > 0
    assert not torch.allclose(maps[0], maps[2], rtol=1e-2)
    torch.testing.assert_close(attribute(lite_tdam, x, classes, "gradcam"), maps[2])


class Kept:
    """Keeps a step's value, ready for a gradient."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.value = torch.zeros(0)

    def __call__(self, value: Tensor, step: int) -> Tensor:
        if step == self.step:
            self.value = value = value.detach().requires_grad_()
        return value


def test_a_probe_is_attributed_to_at_the_last_firing_that_the_step_uses(
    lite_tdam: StepNetwork, x: Tensor, classes: Tensor
) -> None:
    name = "searchlight.spatial_score"
    for step in (2, 3):
        found = attribute(lite_tdam, x, classes, f"gradient_x_activation({name})", step=step)
        kept = Kept(step)
        with edited(lite_tdam, {name: kept}):
            logits = lite_tdam(x, steps=step)
        (gradient,) = torch.autograd.grad(logits[[0, 1], classes].sum(), kept.value)
        torch.testing.assert_close(found, (gradient * kept.value).detach(), rtol=1e-4, atol=1e-7)
    with pytest.raises(ProbeError, match=r"Step 1 makes no use of searchlight\.spatial_score"):
        attribute(lite_tdam, x, classes, f"gradcam({name})", step=1)


def test_values_reported_after_the_step_are_not_mistaken_for_it(x: Tensor, classes: Tensor) -> None:
    # These modules always compute all of their steps; the asked step's logits use the values up to it alone.
    vista, paka = vivid("vista").requires_grad_(False), vivid("paka").requires_grad_(False)
    energy = "gradient_x_activation(attention.messages.s16d1.energy)"  # one tensor, reported at every step
    first, last = (attribute(vista, x, classes, energy, step=step) for step in (1, 3))
    assert first.shape == last.shape == (2, 4, 4)
    assert not torch.allclose(first, last, rtol=1e-2)
    assert attribute(paka, x, classes, "gradcam(attention.levels.2.channel_logits)", step=3).max() > 0
    with pytest.raises(ProbeError, match="Step 2 makes no use"):
        attribute(paka, x, classes, "gradcam(attention.levels.2.channel_logits)", step=2)


def guided_rule(grad: Tensor, x: Tensor, top: float) -> Tensor:
    return grad.clamp(min=0) * ((x > 0) & (x < top))


class HandMade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top = top
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return guided_rule(grads[0], ctx.saved_tensors[0], ctx.top), None


def hand_made(x: Tensor, top: float) -> Tensor:
    made: Tensor = HandMade.apply(x, top)  # type: ignore[no-untyped-call]
    return made


@pytest.mark.parametrize("kind", ["resnet", "lite0"])
def test_guided_backprop_follows_the_rule(
    kind: str, network: StepNetwork, x: Tensor, classes: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = network if kind == "resnet" else lite0()
    guided = attribute(chosen, x, classes, "guided_backprop")

    def gradient() -> Tensor:
        leaf = x.clone().requires_grad_()
        logits = chosen(leaf)[[0, 1], classes].sum()
        return torch.autograd.grad(logits, leaf)[0].abs().sum(dim=1)

    plain = gradient()
    assert float((guided - plain).abs().mean() / plain.mean()) > 0.1
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, v: hand_made(v, float("inf")))
    monkeypatch.setattr(ReLU6, "forward", lambda self, v: hand_made(v, 6.0))
    torch.testing.assert_close(guided, gradient(), rtol=1e-3, atol=1e-5 * float(plain.max()))


def test_every_clipping_of_the_backbones_is_a_module_without_keys() -> None:
    lite = EfficientNetLite0(CLASSES)
    assert sum(isinstance(m, nn.ReLU) for m in lite.modules()) == 17  # 16 blocks, and one for stem and head
    values = torch.randn(1000) * 6
    assert torch.equal(ReLU6()(values), nn.functional.relu6(values))
    assert not [k for k in (*lite.state_dict(), *tiny_network().state_dict()) if "relu" in k or "class_features" in k]


def test_integrated_gradients_in_chunks_equal_one_call(network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    from captum.attr import IntegratedGradients

    seen: list[float] = []
    found = attribute(network, x, classes, "integrated_gradients", options=OPTIONS, progress=seen.append)
    whole = IntegratedGradients(network).attribute(x.clone(), 0.0 * x, classes, n_steps=6)
    torch.testing.assert_close(found, whole.abs().sum(dim=1).float(), rtol=1e-4, atol=1e-7)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_integrated_gradients_of_a_layer_add_up(x: Tensor, classes: Tensor) -> None:
    # All of the answer flows through the module's input, so its parts sum to the logit above the baseline's.
    network = vivid("psa").requires_grad_(False)
    rows, options = torch.arange(2), AttributionOptions(n_steps=40)
    change = network(x)[rows, classes] - network(0 * x)[rows, classes]
    found = attribute(network, x, classes, "integrated_gradients(bottom)", options=options)
    torch.testing.assert_close(found.sum(dim=(1, 2)), change, rtol=0.02, atol=0.02)
    assert float(change.abs().min()) > 0.2


def test_occlusion_in_batches_equals_one_call(network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    from captum.attr import Occlusion

    seen: list[float] = []
    found = attribute(network, x, classes, "occlusion", options=OPTIONS, progress=seen.append)
    whole = Occlusion(network).attribute(x, (3, 32, 32), (3, 16, 16), 0, classes, perturbations_per_eval=1)
    torch.testing.assert_close(found, whole[:, 0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(whole[:, 0], whole[:, 2])
    assert found.min() < 0 < found.max()
    assert seen[-1] == 1.0 and seen == sorted(seen) and len(set(seen)) == 6  # nine windows, two at a time, and one


@pytest.mark.parametrize("method", ALL)
def test_a_batch_equals_single_pictures(method: str, network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    together = attribute(network, x, classes, method, step=2, options=OPTIONS)
    assert together.dtype == torch.float32 and together.ndim == 3 and together.isfinite().all()
    assert bool((together < 0).any()) <= method_of(method).method.signed
    for i in range(2):
        one = attribute(network, x[i : i + 1], classes[i : i + 1], method, step=2, options=OPTIONS)
        torch.testing.assert_close(together[i : i + 1], one, rtol=1e-3, atol=1e-6)
    wide = AttributionOptions(**{**OPTIONS.to_json(), "batch": 1})
    torch.testing.assert_close(
        attribute(network, x, classes, method, step=2, options=wide), together, rtol=1e-3, atol=1e-6
    )
    other = attribute(network, x, classes.flip(0), method, step=2, options=OPTIONS)
    assert not torch.allclose(other, together, rtol=1e-2, atol=1e-9) or float(together.max()) == 0


def test_black_and_mean_differ_and_black_needs_the_preprocessing(
    network: StepNetwork, x: Tensor, classes: Tensor
) -> None:
    black = AttributionOptions(n_steps=4, baseline="black")
    with pytest.raises(VizError, match="needs the model's preprocessing"):
        attribute(network, x, classes, "integrated_gradients", options=black)
    scale = Preprocessing(mean=(120.0, 110.0, 100.0), std=(60.0, 55.0, 50.0))
    found = attribute(network, x, classes, "integrated_gradients", options=black, preprocessing=scale)
    from captum.attr import IntegratedGradients

    base = torch.full_like(x, -2.0)  # 0 in each colour
    expected = IntegratedGradients(network).attribute(x.clone(), base, classes, n_steps=4).abs().sum(dim=1)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-7)


def state_of(network: nn.Module) -> tuple[Any, ...]:
    weights = [v.sum().item() for v in network.state_dict().values()]
    grads = [p.requires_grad or p.grad is not None for p in network.parameters()]
    return hooks(network), weights, any(grads), [m.training for m in network.modules()]


@pytest.mark.parametrize("method", ALL)
def test_nothing_is_left_behind(method: str, network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    before = state_of(network)
    kept = x.clone()
    attribute(network, x, classes, method, options=OPTIONS)
    assert state_of(network) == before and before[0] == 0
    assert torch.equal(x, kept) and not x.requires_grad

    def stop(share: float) -> None:
        assert method not in ("guided_backprop", "gradcam") or hooks(network) > 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attribute(network, x, classes, method, options=OPTIONS, progress=stop)
    assert state_of(network) == before
    with capture(network) as sink:
        pass
    assert not sink.batches


def test_it_works_inside_inference_mode_and_no_capture_sees_it(
    network: StepNetwork, x: Tensor, classes: Tensor
) -> None:
    expected = attribute(network, x, classes, "gradcam(spatial_gate)")
    with torch.inference_mode(), capture(network) as sink:
        found = attribute(network, x + 0, classes, "gradcam(spatial_gate)")
    assert torch.equal(found, expected)
    assert not sink.batches


def test_probes_of_two_threads_do_not_meet(network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    # A layer inside an attention module is reached through the context: no hook on the shared network.
    method = "gradient_x_activation(spatial_gate)"
    singles = [attribute(network, x[i : i + 1], classes[i : i + 1], method) for i in range(2)]
    found: dict[int, list[Tensor]] = {0: [], 1: []}

    def work(i: int) -> Callable[[], None]:
        return lambda: found[i].extend(attribute(network, x[i : i + 1], classes[i : i + 1], method) for _ in range(4))

    threads = [threading.Thread(target=work(i)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(2):
        assert len(found[i]) == 4
        for one in found[i]:
            torch.testing.assert_close(one, singles[i])


def test_what_cannot_be_attributed_is_refused_in_a_sentence(network: StepNetwork, x: Tensor, classes: Tensor) -> None:
    with pytest.raises(ProbeError, match=r"no probe 'halo'.*spatial_gate"):
        attribute(network, x, classes, "gradcam(halo)")
    with pytest.raises(ProbeError, match="kind channel"):
        attribute(network, x, classes, "gradcam(channel_gate)")
    for step in (0, 4, -4):
        with pytest.raises(ModelError, match="steps 1 to 3"):
            attribute(network, x, classes, "gradcam", step=step)
    with pytest.raises(ModelError, match="classes 0 to 9"):
        attribute(network, x, torch.tensor([0, 10]), "gradcam")
    with pytest.raises(VizError, match="one whole class number"):
        attribute(network, x, torch.tensor([0]), "gradcam")
    with pytest.raises(VizError, match="must fit into the input of 64 x 64"):
        attribute(network, x, classes, "occlusion", options=AttributionOptions(window=65, stride=1))
    with pytest.raises(VizError, match="shape"):
        attribute(network, x[0], classes, "gradcam")


# Traces that hold attributions.


def test_a_trace_with_an_attribution_is_a_new_one() -> None:
    model = tiny_model(2)
    trace = model.trace(scene())
    made = model.attribute(trace, "gradcam")
    assert not trace.attributions and len(made.attributions) == 1
    heat = made.attribution("gradcam")
    cam = trace.class_map()
    assert heat.class_index == cam.class_index and heat.step == 2 and heat.name == "gradcam"
    assert heat.geometry == cam.geometry and heat.native.shape == cam.native.shape
    np.testing.assert_allclose(heat.native, np.maximum(cam.native, 0) / cam.native.size, rtol=1e-3, atol=1e-5)
    assert heat.neutral is None and heat.bounds[0] == 0
    assert made.labels[cam.class_index or 0] in heat.title
    assert model.attribute(made, "gradcam") is made
    with pytest.raises(ValueError, match="read-only"):
        made.attributions[0].values[0, 0] = 1


def test_what_was_not_computed_is_said_in_a_sentence() -> None:
    model = tiny_model(2)
    trace = model.attribute(model.trace(scene()), "gradcam", step=1, class_index=5)
    with pytest.raises(ProbeError, match=r"gradcam of .* at step 2 was not computed; .*step=2, class_index=5"):
        trace.attribution("gradcam", 2, 5)
    with pytest.raises(ModelError, match="there is no step 3"):
        trace.attribution("gradcam", 3)
    with pytest.raises(ModelError, match="belongs to another model"):
        other = tiny_model(2)
        object.__setattr__(other, "card", replace(other.card, name="another"))
        other.attribute(trace, "gradcam")


def test_probes_are_named_whole_and_found_by_their_label() -> None:
    model = tiny_model(2)
    made = model.attribute(model.trace(scene()), "gradient_x_activation(spatial_gate)")
    assert made.attributions[0].layer == "layer4.0.RA_block.spatial_gate"
    heat = made.attribution("gradient_x_activation(spatial_gate)")
    assert heat.name == "gradient_x_activation(layer4.0.RA_block.spatial_gate)" and heat.neutral == 0
    assert made.attribution(heat.name) is not None
    assert made.attribution_of("gradcam(spatial_gate)") is None
    with pytest.raises(ProbeError, match="Step 1 makes no use"):
        model.attribute(made, "gradcam(spatial_gate)", step=1)


def test_other_options_are_another_map_and_the_newest_is_shown() -> None:
    model = tiny_model(1)
    few, many = AttributionOptions(n_steps=2), AttributionOptions(n_steps=3, baseline="black")
    first = model.attribute(model.trace(scene()), "integrated_gradients", options=few)
    both = model.attribute(first, "integrated_gradients", options=many)
    assert len(both.attributions) == 2
    newest = both.attribution("integrated_gradients").native
    old = both.attribution("integrated_gradients", options={"baseline": "mean", "n_steps": 2}).native
    assert not np.allclose(newest, old)
    again = model.attribute(both, "integrated_gradients", options=few)
    assert len(again.attributions) == 2
    np.testing.assert_array_equal(again.attribution("integrated_gradients").native, old)
    # What a method does not use makes no other map.
    assert model.attribute(both, "integrated_gradients", options=replace(many, window=8, stride=8)) is both


def test_the_engine_computes_each_map_once_and_counts_its_bytes() -> None:
    engine = Engine("cpu")
    model = tiny_model(2)
    engine._models["tiny"] = model
    picture = open_picture(scene())
    plain = engine.trace(picture, "tiny")
    before = engine.held_bytes
    wanted = ("gradcam", "gradcam", "guided_backprop", "occlusion")
    made: list[Any] = []
    threads = [threading.Thread(target=lambda m=m: made.append(engine.attribute(picture, "tiny", m))) for m in wanted]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(made) == 4
    kept = engine.trace(picture, "tiny")
    assert sorted(a.method for a in kept.attributions) == ["gradcam", "guided_backprop", "occlusion"]
    assert engine.held_bytes - before == sum(a.values.nbytes for a in kept.attributions) > 0
    assert engine.forwards == 1 and kept.records is plain.records
    assert engine.attribute(picture, "tiny", "occlusion") is not plain
    assert not engine._making
    engine.attribute(picture, "tiny", "gradcam", class_index=4)
    assert len(engine.trace(picture, "tiny").attributions) == 4


def test_a_forward_pass_waits_for_the_hooks_to_go() -> None:
    model = tiny_model(2)
    trace = model.trace(scene())
    inside, seen = threading.Event(), []

    def other() -> None:
        inside.wait(5)
        model.trace(scene())
        seen.append(hooks(model.network))

    def progress(share: float) -> None:
        if not inside.is_set():
            inside.set()
            thread.join(0.2)
            assert hooks(model.network) > 0 and not seen

    thread = threading.Thread(target=other)
    thread.start()
    model.attribute(trace, "guided_backprop", progress=progress)
    thread.join()
    assert seen == [0]


def test_a_gate_divided_by_its_mean_moves_weight_and_adds_none() -> None:
    network = Lite0TDAM(2, 8)
    network.backbone.load_state_dict(lite0_state(), strict=True)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.searchlight.named_parameters():
            parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5 if "Ug" in name else parameter)
    network.eval().requires_grad_(False)
    pictures = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    found = attribute(network, pictures, torch.tensor([7]), "gradient_x_activation(spatial_gate)")
    assert float(found.abs().sum()) > 1e-3
    assert abs(float(found.sum())) < 1e-3 * float(found.abs().sum())


def test_exports_hold_the_attributions() -> None:
    model = tiny_model(1)
    trace = model.attribute(model.trace(scene()), "gradcam", class_index=5)
    (entry,) = trace_json(trace)["attributions"]
    assert entry["key"] == "gradcam@5:1" and entry["class"] == 5 and entry["captum"]
    with np.load(io.BytesIO(trace_npz(trace))) as arrays:
        np.testing.assert_array_equal(arrays["gradcam@5:1"], trace.attribution("gradcam", 1, 5).native)
