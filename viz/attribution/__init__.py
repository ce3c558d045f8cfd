"""Attribution methods of Captum on a network, beside the class map and the attention itself."""

from viz.attribution.run import attribute
from viz.core.methods import BASELINES, METHODS, AttributionOptions, Method

__all__ = ["BASELINES", "METHODS", "AttributionOptions", "Method", "attribute"]
