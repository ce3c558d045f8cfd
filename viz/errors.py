"""All errors that Searchlight raises because of its inputs or the machine it runs on.

    VizError
    ├── PictureError        a file or array that cannot be opened as a picture
    ├── DatasetError        a data set that cannot be read (viz.datasets)
    ├── CheckpointError     a weights file that cannot be used
    ├── ModelError          an unknown model, device, step or class
    │   └── NotFiniteError  NaN or infinity in a network's output
    ├── ProbeError          a captured value that is unknown or was not computed
    ├── MapError            a map specification that cannot be parsed
    ├── FigureError         a figure, panel or record that cannot be drawn
    ├── FileError           a file or folder that cannot be read or written
    └── RefusedError        a request that the page turns down (viz.page.server)
        └── FileRefusedError    a file that visitors of the page may not use

Each message is one sentence that says what to do. It contains no path of the server that the user did not give.
"""

from __future__ import annotations


class VizError(Exception):
    """Base of all errors; `str(error)` can be shown to users."""


class PictureError(VizError):
    """A file or array that cannot be opened as a picture."""


class CheckpointError(VizError):
    """A weights file that is damaged, unsafe, of an unknown layout, or does not fit the network."""


class ProbeError(VizError):
    """A captured value that is unknown or was not computed."""


class MapError(VizError):
    """A map specification that cannot be parsed."""


class ModelError(VizError):
    """An unknown model, device, step or class."""


class NotFiniteError(ModelError):
    """A network's output for one picture holds NaN or infinity."""


class FigureError(VizError):
    """A figure, panel or record that cannot be drawn."""


class FileError(VizError):
    """A file or folder that is missing, exists already, or cannot be read or written (no permission, a full disk)."""
