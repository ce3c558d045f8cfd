"""The one family of errors that Searchlight raises for a user's input.

Each message is one sentence that a person can act on; it never holds a path of the server that the user did not give.
"""

from __future__ import annotations


class VizError(Exception):
    """Base of every error caused by what the user gave; `str(error)` is fit to be shown."""


class PictureError(VizError):
    """A file or array that cannot be opened as a picture."""


class CheckpointError(VizError):
    """A weights file that is foreign, hostile, truncated or does not fit the network."""


class ProbeError(VizError):
    """A probe was asked for that does not exist or did not fire."""


class MapError(VizError):
    """A map specification that cannot be read."""


class ModelError(VizError):
    """An unknown model, device, step or class."""


class NotFiniteError(ModelError):
    """A network's answer on one picture that holds NaN or infinity."""


class FigureError(VizError):
    """A figure, record or export that cannot be made as asked."""
