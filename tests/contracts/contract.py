"""What every family and every network must do: checks of one loaded model, each of one promise."""

from __future__ import annotations

import json
import pickle

import numpy as np
import torch

from tests.tiny import scene
from viz import figure
from viz.capture.probe import capture, edited, probes_of, taps_of
from viz.core.map_spec import MapSpec, parse
from viz.core.output import output_type
from viz.core.stage import MOST_STAGES
from viz.core.trace import Trace
from viz.families.family import Family, family_of
from viz.figures import figure_from_record
from viz.geometry import prepare
from viz.measures.faithfulness.gates import neutral_edits
from viz.page.payload import viewer_message
from viz.run.model import Model

# Families whose gates are plain together, or each alone, are told so by their networks; float32 allows this much.
PLAIN = 1e-4


def traced(model: Model) -> Trace:
    """The trace that the checks look at."""
    return model.trace(scene(150, 200))


def probes_fire_and_are_copied(model: Model) -> None:
    """Every probe fires, its values have the axes that its tap says, and a trace keeps copies of its own."""
    taps = taps_of(model.network)
    trace, again = traced(model), traced(model)
    assert {r.name for r in trace.records} == set(taps)
    for record, other in zip(trace.records, again.records, strict=True):
        assert record.values.ndim == len(record.tap.axes), record.name
        assert record.values.dtype == np.float32 and not record.values.flags.writeable
        assert np.isfinite(record.values).all() and record.unit, record.name
        low, high = record.bounds
        assert record.values.min() >= low - 1e-6 and record.values.max() <= high + 1e-6, record.name
        assert 1 <= record.step <= trace.steps
        if not record.tap.random_draw:
            np.testing.assert_array_equal(record.values, other.values)
        assert not np.shares_memory(record.values, other.values)
    assert not [k for k in model.network.state_dict() if "probe" in k], "a probe adds no key"


def taps_are_seen_by_the_answer(model: Model) -> None:
    """Replacing what a gate holds changes the answer: it is what was really multiplied."""
    family = family_of(model.card.family)
    names = [n for n in probes_of(model.network) if n.rpartition(".")[2] in family.gates]
    assert names, "a family names its gates"
    labels = {n.rpartition(".")[2] for n in probes_of(model.network)}
    assert set(family.gates) <= labels, "each of them exists"
    x, _ = prepare(traced(model).picture, model.card.preprocessing, model.geometry)
    with torch.inference_mode():
        before = model.network(x)
        changed = {n: (lambda value, step: value * 0.5 + 0.3) for n in names}
        with edited(model.network, changed):
            after = model.network(x)
    assert (before - after).abs().max() > 1e-4 * before.abs().max()


def neutral_values_are_in_range(model: Model) -> None:
    """A value that makes the network plain can be taken by the tap; together they are set at once."""
    taps = taps_of(model.network)
    for name, tap in taps.items():
        assert tap.neutral is None or tap.bounds[0] <= tap.neutral <= tap.bounds[1], name
    gates = [n for n in taps if taps[n].label in family_of(model.card.family).gates]
    edits = neutral_edits(model.network, gates)
    if edits is None:
        return
    x, _ = prepare(traced(model).picture, model.card.preprocessing, model.geometry)
    with torch.inference_mode(), capture(model.network) as sink, edited(model.network, edits):
        model.network(x)
    for record in sink.records():
        if record.name in gates:
            assert np.ptp(record.values) == 0, "the same everywhere"


def own_map_is_a_map(model: Model) -> None:
    """The family's own map exists, is read back from its printed name, and varies."""
    trace, own = traced(model), family_of(model.card.family).own
    assert own is not None
    heat = trace.heatmap("attention")
    assert heat.native.ndim == 2 and np.isfinite(heat.native).all() and heat.spec is not None
    np.testing.assert_array_equal(trace.heatmap(str(heat.spec)).native, heat.native)
    np.testing.assert_array_equal(trace.heatmap(own).native, heat.native)
    assert trace.definite(parse(str(trace.definite(own)))) == trace.definite(own)


def stages_tell_the_trace(model: Model) -> None:
    """A handful of stops, in order, each with a caption and a map, made of the trace's own records."""
    trace = traced(model)
    stages = trace.stages
    assert 1 <= len(stages) <= MOST_STAGES and [s.step for s in stages] == sorted(s.step for s in stages)
    for stage in stages:
        assert stage.title and "\n" not in stage.caption and stage.caption.endswith(".") and "{" not in stage.caption
        assert all(any(r is known for known in trace.records) for r in stage.records)
        if stage.show is not None or trace.output_map is not None:
            heat = stage.heatmap(trace)
            assert heat.unit and heat.spec is not None and heat.step == stage.step
        for name in (stage.show and stage.show.vector, stage.show and stage.show.kernel):
            assert name is None or trace.record(name, stage.step).name == name
    message = json.loads(viewer_message(trace))
    assert len(message["frames"]) == len(stages)


def default_figure_is_made_again(model: Model) -> None:
    """The figure for which nothing was chosen holds the picture and maps, and its record makes the same bytes."""
    trace = traced(model)
    made = figure(trace)
    assert made.contents[0].shows == "" and len(made.contents) >= 2
    again = figure_from_record(json.loads(json.dumps(made.record())), trace.picture, model=model)
    assert again.to_bytes("png", 50) == made.to_bytes("png", 50)


FAMILY_CONTRACT = (
    probes_fire_and_are_copied,
    taps_are_seen_by_the_answer,
    neutral_values_are_in_range,
    own_map_is_a_map,
    stages_tell_the_trace,
    default_figure_is_made_again,
)


def steps_are_an_argument(model: Model) -> None:
    """Fewer steps give the first answers of all steps, and no call leaves a state behind."""
    network = model.network
    x, _ = prepare(traced(model).picture, model.card.preprocessing, model.geometry)
    with torch.inference_mode():
        every = [o.answer for o in network.forward_steps(x)]
        assert len(every) == network.steps == model.card.steps
        for steps in range(1, network.steps + 1):
            few = [o.answer for o in network.forward_steps(x, steps)]
            assert len(few) == steps
            for one, other in zip(few, every, strict=False):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(network(x), every[-1], rtol=1e-5, atol=1e-5)


def pictures_of_a_batch_do_not_meet(model: Model) -> None:
    """A picture's answer is the same alone and among others."""
    pictures = [scene(150, 200), scene(150, 200, seed=1)]
    x = torch.cat([prepare(model.trace(p).picture, model.card.preprocessing, model.geometry)[0] for p in pictures])
    with torch.inference_mode():
        both = model.network(x)
        alone = torch.cat([model.network(x[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(both, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


def answer_is_of_its_type(model: Model) -> None:
    """The card's type reads the answer, and everything that the type promises is there."""
    trace = traced(model)
    kind = output_type(model.card.output)
    assert model.network.output == model.card.output and type(trace.output) is kind
    assert bool(trace.labels) == kind.has_classes and len(trace.output.ranking) == trace.steps
    for step in range(1, trace.steps + 1):
        assert trace.output.says(step) and "\n" not in trace.output.says(step)
        assert json.dumps(trace.output.entry(step))
    for name in kind.maps:
        assert trace.heatmap(MapSpec(name)).native.ndim == 2
    assert pickle.loads(pickle.dumps(trace)).output.says(1) == trace.output.says(1)


def class_map_adds_up(model: Model) -> None:
    """Where there is a linear classifier, the mean of a class map is the logit without its bias, class by class."""
    trace = traced(model)
    if model.class_weights is None:
        assert trace.output_map is None or trace.output_map.kind == "output"
        return
    for step in range(1, trace.steps + 1):
        means = np.array([trace.class_map(step, c).native.mean(dtype=np.float64) for c in range(5)])
        bias = trace.logits[step - 1, :5] - means
        if step == 1:
            first = bias
        np.testing.assert_allclose(bias, first, atol=2e-3 * max(1.0, float(np.abs(trace.logits).max())))


def class_layer_gives_the_features(model: Model) -> None:
    """Grad-CAM stands on the module whose output the features are."""
    trace = traced(model)
    step = trace.steps
    made = model.attribute(trace, "gradcam", step=step)
    assert np.isfinite(made.attributions[-1].values).all()
    if trace.features:
        assert made.attributions[-1].values.shape == trace.features[step - 1].shape[1:]


NETWORK_CONTRACT = (
    steps_are_an_argument,
    pictures_of_a_batch_do_not_meet,
    answer_is_of_its_type,
    class_map_adds_up,
    class_layer_gives_the_features,
    probes_fire_and_are_copied,
)


def families_own(family: Family) -> bool:
    """Whether the contract of families asks something of it: ``generic`` has no attention of its own."""
    return family.own is not None
