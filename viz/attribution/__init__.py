"""Attribution methods of Captum."""

from viz.attribution.run import attribute
from viz.core.methods import BASELINES, METHODS, AttributionOptions, Method

__all__ = ["BASELINES", "METHODS", "AttributionOptions", "Method", "attribute"]
