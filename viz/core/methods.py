"""Attribution methods by name, what their numbers mean, and their options: plain data, without Captum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from viz.errors import VizError

Name = Literal["gradcam", "integrated_gradients", "guided_backprop", "occlusion", "gradient_x_activation"]
NAMES: tuple[Name, ...] = get_args(Name)
Baseline = Literal["mean", "black"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@dataclass(frozen=True)
class Method:
    """What the numbers of a method are.

    Attributes:
        title: in words. unit: of a value, in words.
        bounds: range that a value can take; infinite where unbounded.
        signed: whether a value below 0 speaks against the class; 0 says "no part in the answer" in any case.
        slow: whether it takes many passes through the network.
        layer: what it attributes to: the ``input``, the ``class features``, or a ``tap``.
        options: names of the `AttributionOptions` that it uses, beside `batch`.
        source: paper.
    """

    title: str
    unit: str
    bounds: tuple[float, float]
    signed: bool
    slow: bool
    layer: Literal["input", "class features", "tap"]
    options: tuple[str, ...] = ()
    source: str = ""


_CLIPPED = "mean gradient x value, clipped at 0"
_POSITIVE, _ENDLESS = (0.0, np.inf), (-np.inf, np.inf)
_CAM = "Selvaraju et al., ICCV 2017 (arXiv 1610.02391)"
_IG = "Sundararajan et al., ICML 2017 (arXiv 1703.01365)"
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "gradcam": Method(
            "Grad-CAM", "part of the logit, clipped at 0", _POSITIVE, False, False, "class features", (), _CAM
        ),
        "integrated_gradients": Method(
            "integrated gradients",
            "logit, sum of |colours|",
            _POSITIVE,
            False,
            True,
            "input",
            ("baseline", "n_steps"),
            _IG,
        ),
        "guided_backprop": Method(
            "guided backpropagation",
            "guided gradient, sum of |colours|",
            _POSITIVE,
            False,
            False,
            "input",
            (),
            "Springenberg et al., ICLR workshop 2015 (arXiv 1412.6806)",
        ),
        "occlusion": Method(
            "occlusion",
            "logit lost when covered, mean over the windows",
            _ENDLESS,
            True,
            True,
            "input",
            ("baseline", "window", "stride"),
            "Zeiler and Fergus, ECCV 2014 (arXiv 1311.2901)",
        ),
        "gradcam(TAP)": Method("Grad-CAM", _CLIPPED, _POSITIVE, False, False, "tap", (), _CAM),
        "gradient_x_activation(TAP)": Method(
            "gradient x activation",
            "gradient x value, channel sum",
            _ENDLESS,
            True,
            False,
            "tap",
            (),
            "Ancona et al., ICLR 2018 (arXiv 1711.06104), gradient x input",
        ),
        "integrated_gradients(TAP)": Method(
            "integrated gradients",
            "logit, channel sum",
            _ENDLESS,
            True,
            True,
            "tap",
            ("baseline", "n_steps"),
            _IG,
        ),
    }
)


def is_method(name: str) -> bool:
    """Whether a name is that of a method."""
    return name in NAMES


def takes_tap(name: str) -> str:
    """Entry in `METHODS` of a method that attributes to a tap."""
    return f"{name}(TAP)"


@dataclass(frozen=True)
class AttributionOptions:
    """Choices of the methods; each method uses those that its `Method.options` names.

    Attributes:
        baseline: what stands for "nothing there": the preprocessing's ``mean`` colour (0 after standardising) or
            ``black``. n_steps: points of the Gauss-Legendre quadrature of integrated gradients.
        window, stride: of occlusion, in input pixels.
        batch: pictures in one pass; of pictures larger than 224 x 224 pixels as many as have that many pixels together.
            It changes nothing but rounding.

    Raises:
        VizError: a value out of range.
    """

    baseline: Baseline = "mean"
    n_steps: int = 50
    window: int = 32
    stride: int = 16
    batch: int = 16

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise VizError(f"The baseline must be one of {', '.join(BASELINES)}, not {str(self.baseline)[:40]!r}.")
        for name, most in (("n_steps", 1000), ("window", 4096), ("stride", 4096), ("batch", 1024)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise VizError(f"The attribution's {name} must be a whole number from 1 to {most}.")
        if self.stride > self.window:
            raise VizError("The stride of occlusion must not be larger than its window, or pixels are never covered.")

    def used(self, method: Method) -> dict[str, Any]:
        """The options that a method uses, as plain values."""
        return {name: getattr(self, name) for name in method.options}

    def words(self, method: Method) -> str:
        """The same for a caption; empty where a method has none."""
        said = {
            "baseline": f"{self.baseline} baseline",
            "n_steps": f"{self.n_steps} steps",
            "window": f"window {self.window} px",
            "stride": f"stride {self.stride} px",
        }
        return ", ".join(said[name] for name in method.options)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> AttributionOptions:
        """Options from plain values.

        Raises:
            VizError: an entry that is unknown or out of range.
        """
        if not isinstance(data, dict) or set(data) - set(AttributionOptions.__dataclass_fields__):
            raise VizError("The options of the attribution cannot be read; was the file edited?")
        return AttributionOptions(**data)


DEFAULT_OPTIONS = AttributionOptions()
