"""The attribution methods and their options, as plain data without Captum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from viz.errors import VizError

Baseline = Literal["mean", "black"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
_POSITIVE, _ENDLESS = (0.0, np.inf), (-np.inf, np.inf)


@dataclass(frozen=True)
class Method:
    """What an attribution method computes.

    Attributes:
        title: in words. unit: of a value, in words.
        layer: what it attributes to: the ``input``, the ``class features``, or a ``tap``.
        source: paper.
        options: names of the `AttributionOptions` that it uses, apart from `batch`.
        bounds: range of the values; infinite if unbounded.
        slow: whether it takes many passes through the network.
    """

    title: str
    unit: str
    layer: Literal["input", "class features", "tap"]
    source: str
    options: tuple[str, ...] = ()
    bounds: tuple[float, float] = _POSITIVE
    slow: bool = False

    @property
    def signed(self) -> bool:
        """Whether a negative value is evidence against the class; 0 always means no contribution."""
        return self.bounds[0] < 0

    def unit_of(self, asked: str) -> str:
        """The unit if the question is about something else than a logit: a value, a score."""
        return self.unit.replace("logit", asked)


_CLIPPED = "mean gradient x value, clipped at 0"
_LOST = "logit lost when covered, mean over the windows"
_CAM = "Selvaraju et al., ICCV 2017 (arXiv 1610.02391)"
_IG = "Sundararajan et al., ICML 2017 (arXiv 1703.01365)"
_GUIDED = "Springenberg et al., ICLR workshop 2015 (arXiv 1412.6806)"
_OCCLUSION = "Zeiler and Fergus, ECCV 2014 (arXiv 1311.2901)"
_GRADIENT = "Ancona et al., ICLR 2018 (arXiv 1711.06104), gradient x input"
_PATH, _WINDOWS = ("baseline", "n_steps"), ("baseline", "window", "stride")
_METHODS = {
    "gradcam": Method("Grad-CAM", "part of the logit, clipped at 0", "class features", _CAM),
    "integrated_gradients": Method(
        "integrated gradients", "logit, sum of |colours|", "input", _IG, _PATH, _POSITIVE, slow=True
    ),
    "guided_backprop": Method("guided backpropagation", "guided gradient, sum of |colours|", "input", _GUIDED),
    "occlusion": Method("occlusion", _LOST, "input", _OCCLUSION, _WINDOWS, _ENDLESS, slow=True),
    "gradcam(TAP)": Method("Grad-CAM", _CLIPPED, "tap", _CAM),
    "gradient_x_activation(TAP)": Method(
        "gradient x activation", "gradient x value, channel sum", "tap", _GRADIENT, (), _ENDLESS
    ),
    "integrated_gradients(TAP)": Method(
        "integrated gradients", "logit, channel sum", "tap", _IG, _PATH, _ENDLESS, slow=True
    ),
}
METHODS: Mapping[str, Method] = MappingProxyType(_METHODS)
METHOD_NAMES = frozenset(key.removesuffix("(TAP)") for key in METHODS)


@dataclass(frozen=True)
class AttributionOptions:
    """Options of the attribution methods; each method uses those that its `Method.options` names.

    Attributes:
        baseline: what stands for "nothing there": the preprocessing's ``mean`` colour (0 after standardising) or
            ``black``. n_steps: points of the Gauss-Legendre quadrature of integrated gradients.
        window, stride: of occlusion, in input pixels.
        batch: 224 x 224 pictures per pass; fewer if they are larger. It changes nothing but rounding.

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
            raise VizError(f"Unknown baseline {str(self.baseline)[:40]!r}. Choose one of: {', '.join(BASELINES)}.")
        for name, most in (("n_steps", 1000), ("window", 4096), ("stride", 4096), ("batch", 1024)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise VizError(
                    f"The {name} of an attribution must be a whole number from 1 to {most}, not {str(value)[:40]!r}."
                )
        if self.stride > self.window:
            raise VizError("The stride of occlusion must not exceed its window, or pixels are never covered.")

    def used(self, method: Method) -> dict[str, Any]:
        """The options that a method uses, as plain values."""
        return {name: getattr(self, name) for name in method.options}

    def words(self, method: Method) -> str:
        """The same for a caption; empty if the method has none."""
        words = {
            "baseline": f"{self.baseline} baseline",
            "n_steps": f"{self.n_steps} steps",
            "window": f"window {self.window} px",
            "stride": f"stride {self.stride} px",
        }
        return ", ".join(words[name] for name in method.options)

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
