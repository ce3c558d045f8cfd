"""Attribution methods of Captum on the project's networks, beside the class map and the attention itself."""

from viz.attribution.methods import (
    BASELINES,
    METHODS,
    AttributionOptions,
    Method,
    MethodChoice,
    is_method,
    parse_method,
)
from viz.attribution.run import attribute

__all__ = [
    "BASELINES",
    "METHODS",
    "AttributionOptions",
    "Method",
    "MethodChoice",
    "attribute",
    "is_method",
    "parse_method",
]
