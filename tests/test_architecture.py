"""docs/architecture.md says how to add a family, a network, an output and a command: each is done here with a toy."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import viz
from tests.contracts.contract import FAMILY_CONTRACT, NETWORK_CONTRACT, own_map_is_a_map
from tests.tiny import scene
from viz.cli import main
from viz.core.card import ModelCard
from viz.core.output import output_types
from viz.families.family import families
from viz.geometry import Preprocessing
from viz.page.payload import viewer_message
from viz.run.model import Model

Folder = Callable[[str], Path]

FAMILY = '''
"""A toy: one sigmoid gate for each place."""

import torch
from torch import nn

from viz.capture.probe import Probe
from viz.core.map_spec import MapSpec
from viz.core.record import MAP
from viz.families.family import Family
from viz.families.stages import answer_stage, view_stage


class Toy(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weigh = nn.Conv2d(channels, 1, 1)
        self.probe_gate = Probe("toy", MAP, "toy_gate", bounds=(0.0, 1.0), unit="sigmoid")

    def forward(self, x):
        gate = torch.sigmoid(self.weigh(x))[:, 0]
        return x * self.probe_gate(gate, 1)[:, None]


def stages(trace):
    gate = trace.record("toy_gate")
    first = view_stage(trace, gate, "gate", "One gate for each place: {span}.", vector=None)
    return (first, answer_stage(trace, 1, "answer", "The classifier reads what the gate left."))


def figure(trace):
    return [OWN]


OWN = MapSpec("toy_gate")
FAMILY = Family("toy", stages, own=OWN, gates=("toy_gate",), figure=figure)
'''

NETWORK = '''
"""A toy classifier that carries the toy module."""

import torch
from torch import nn

from viz.families.toy.family import Toy
from viz.models.networks.base import StepNetwork, StepOutput


class ToyNet(StepNetwork):
    family = "toy"

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 5, stride=4), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2))
        self.attention = Toy(channels)
        self.last = nn.ReLU()
        self.classifier = nn.Linear(channels, 5)
        with torch.no_grad():
            for layer in (self.stem[0], self.attention.weigh, self.classifier):
                layer.weight.mul_(4)

    def forward_steps(self, x, steps=None):
        features = self.last(self.attention(self.stem(x)))
        return [StepOutput(self.classifier(features.mean((2, 3))), features) for _ in range(self.checked_steps(steps))]

    def class_weights(self):
        return self.classifier.weight

    def class_layer(self):
        return self.last


def build(channels=6):
    return ToyNet(channels)
'''

OUTPUT = '''
"""A toy: how many, one number for the whole picture."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from viz.core.output import Output


@dataclass(frozen=True)
class Whole:
    def __call__(self, answer):
        return answer


@dataclass(frozen=True, eq=False)
class Count(Output):
    values: np.ndarray
    labels: tuple = ()
    words: ClassVar[str] = "how many things there are"
    axes: ClassVar[int] = 0
    asked: ClassVar[str] = "count"
    has_classes: ClassVar[bool] = False

    @classmethod
    def of(cls, answers, geometry, labels, card):
        return cls(np.stack(answers))

    def arrays(self):
        return {"count": self.values}

    def says(self, step):
        return f"{self.values[step - 1]:.1f} things"

    def target(self, geometry, step, class_index, region):
        return Whole()

    def subject(self, class_index):
        return "the count"


OUTPUT = Count
'''

COUNTING = '''
"""A toy that counts."""

import torch
from torch import nn

from viz.models.networks.base import StepNetwork, StepOutput


class Counting(StepNetwork):
    output = "count"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU())

    def forward_steps(self, x, steps=None):
        return [StepOutput(self.see(x).sum((1, 2, 3)) / 100)]

    def class_layer(self):
        return self.see


def build():
    return Counting()
'''

COMMAND = '''
"""``searchlight hello``: a toy."""


def add_hello(commands):
    p = commands.add_parser("hello", help="greet somebody")
    p.add_argument("name")
    p.set_defaults(run=_hello)


def _hello(args):
    from viz.errors import VizError

    if not args.name.isalpha():
        raise VizError("A name has letters alone.")
    print(f"Hello {args.name}.")
    return 0
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """A folder that a package also looks into; what was found there is forgotten afterwards."""
    before = set(sys.modules)

    def beside(package: str) -> Path:
        made = tmp_path / package
        made.mkdir()
        module = importlib.import_module(package)
        monkeypatch.setattr(module, "__path__", [*module.__path__, str(made)])
        return made

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.startswith("viz.") and str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        families.cache_clear()
        output_types.cache_clear()

    forget()
    yield beside
    forget()


def card(name: str, network: str, **changes: Any) -> ModelCard:
    prepared = Preprocessing(size=(64, 64), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    return ModelCard(name, "A toy", None, network, preprocessing=prepared, file=f"{name}.safetensors", **changes)


def offered(models: Path, made: ModelCard) -> Model:
    """A model of a folder with its card and the weights that its network starts with."""
    models.mkdir(exist_ok=True)
    network = importlib.import_module(f"viz.models.networks.{made.network}").build(**made.arguments)
    save_file(network.state_dict(), models / str(made.file))
    (models / f"{made.name}.json").write_text(json.dumps(asdict(made)))
    return viz.load(made.name, models=models)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(scene(150, 200)).save(path)
    return path


def test_a_family_and_a_network(folder: Folder, tmp_path: Path, photo: Path) -> None:
    toy = folder("viz.families") / "toy"
    toy.mkdir()
    (toy / "__init__.py").write_text("")
    (toy / "family.py").write_text(FAMILY)
    (folder("viz.models.networks") / "toy_net.py").write_text(NETWORK)
    assert list(families())[-1] == "toy"
    labels = ("a", "b", "c", "d", "e")
    model = offered(tmp_path / "models", card("toy", "toy_net", labels=labels, arguments={"channels": 8}))
    model = viz.load("toy", models=tmp_path / "models")
    assert model.card.family is None, "a card that names no family has a plain story"
    model = offered(tmp_path / "models", ModelCard(**{**vars(card("toy", "toy_net", labels=labels)), "family": "toy"}))
    for check in (*NETWORK_CONTRACT, *FAMILY_CONTRACT):
        check(model)
    out = tmp_path / "out"
    here = ["--models", str(tmp_path / "models"), "--model", "toy"]
    assert main(["trace", str(photo), "--out", str(out), *here]) == 0
    with np.load(out / "photo.npz") as arrays:
        assert arrays["attention.toy_gate:1"].shape == (7, 7) and arrays["logits"].shape == (1, 5)
    assert main(["figure", str(photo), "--out", str(out / "f.pdf"), *here, "--panels", "picture,attention,cam@b"]) == 0


def test_a_family_that_breaks_its_promise_is_found(folder: Folder, tmp_path: Path) -> None:
    toy = folder("viz.families") / "toy"
    toy.mkdir()
    (toy / "__init__.py").write_text("")
    # The gate is captured beside the way of the features: nothing depends on it.
    broken = FAMILY.replace(
        "return x * self.probe_gate(gate, 1)[:, None]", "self.probe_gate(gate, 1)\n        return x"
    )
    (toy / "family.py").write_text(
        broken.replace('own=OWN, gates=("toy_gate",)', 'own=MapSpec("x"), gates=("toy_gate",)')
    )
    (folder("viz.models.networks") / "toy_net.py").write_text(NETWORK)
    facts = vars(card("toy", "toy_net", labels=("a", "b", "c", "d", "e")))
    model = offered(tmp_path / "models", ModelCard(**{**facts, "family": "toy"}))
    seen = next(c for c in FAMILY_CONTRACT if c.__name__ == "taps_are_seen_by_the_answer")
    with pytest.raises(AssertionError):
        seen(model)
    with pytest.raises(viz.VizError):
        own_map_is_a_map(model)


def test_an_output(folder: Folder, tmp_path: Path, photo: Path) -> None:
    (folder("viz.core.outputs") / "count.py").write_text(OUTPUT)
    (folder("viz.models.networks") / "counting.py").write_text(COUNTING)
    model = offered(tmp_path / "models", card("counting", "counting", output="count"))
    for check in NETWORK_CONTRACT:
        check(model)
    trace = model.trace(photo)
    number = float(trace.output.arrays()["count"][0])
    assert trace.output.says(1) == f"{number:.1f} things" and trace.output_map is None
    assert f"{number:.1f} things" in trace.stages[0].caption
    assert json.loads(viewer_message(trace))["output"] == {"name": None, "title": "", "number": ""}
    made = model.attribute(trace, "gradcam")
    heat = made.heatmap("gradcam")
    assert heat.title == "Grad-CAM, the count, step 1" and heat.unit == "part of the count, clipped at 0"
    assert heat.native.shape == (15, 15) and heat.native.max() > 0
    covered = model.attribute(trace, "occlusion").heatmap("occlusion")
    assert covered.unit.startswith("count lost when covered") and np.ptp(covered.native) > 0
    out = tmp_path / "out"
    here = ["--models", str(tmp_path / "models"), "--model", "counting"]
    assert main(["trace", str(photo), "--out", str(out), *here]) == 0
    with np.load(out / "photo.npz") as arrays:
        assert float(arrays["count"][0]) == number
    assert main(["figure", str(photo), "--out", str(out / "f.pdf"), *here, "--panels", "picture,gradcam"]) == 0


def test_a_command(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (folder("viz.cli") / "hello.py").write_text(COMMAND)
    assert main(["hello", "Ada"]) == 0
    assert capsys.readouterr().out == "Hello Ada.\n"
    assert main(["hello", "R2"]) == 1
    assert capsys.readouterr().err == "searchlight: A name has letters alone.\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert "greet somebody" in listed and listed.index("serve") < listed.index("greet somebody")
