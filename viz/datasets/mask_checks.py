"""Whether a file of class numbers belongs to the objects that an annotation gives: numbers of another list do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from viz.datasets.mask_files import UnclearMaskError, Values

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ClassCheck:
    """What an annotation says of a mask of class numbers.

    Attributes:
        label: the class that is asked for. boxes: of all its objects (corners, exclusive far edges).
        numbers: class numbers that the picture's objects have, and those that are background or ignored.
        colours: (colour as 0xRRGGBB, number) for files that hold colours.
        by_colour: the colours of a palette count, not its numbers.
    """

    label: str
    boxes: tuple[Box, ...]
    numbers: tuple[int, ...]
    colours: tuple[tuple[int, int], ...]
    by_colour: bool

    def of(self, values: Values, wanted: tuple[int, ...], path: Path) -> None:
        """Check a file's class numbers (h, w); `wanted` are those of the class.

        Raises:
            UnclearMaskError: most of the class's pixels lie outside its boxes; or a box holds none of them while the
                file holds numbers that no object of the picture has, as numbers of another list, or of single objects.
        """
        mine = np.isin(values, wanted)
        if not self.boxes:
            return
        covered = np.zeros_like(mine)
        empty = False
        for x0, y0, x1, y1 in self.boxes:
            part = (slice(int(max(y0, 0)), int(np.ceil(y1))), slice(int(max(x0, 0)), int(np.ceil(x1))))
            covered[part] = True
            empty = empty or not mine[part].any()
        count, inside = int(mine.sum()), int((mine & covered).sum())
        number = ", ".join(map(str, wanted))
        if 2 * inside < count:
            raise UnclearMaskError(
                path,
                f"has {count - inside} of its {count} pixels of class {number} outside the boxes of {self.label}: its"
                " numbers may be those of another list of classes",
            )
        others = [int(v) for v in np.unique(values) if int(v) not in self.numbers]
        if empty and others:
            raise UnclearMaskError(
                path,
                f"has no class {number} in a box of {self.label} but holds {', '.join(map(str, others[:8]))}, which no"
                " object of the picture is: its numbers may be those of another list of classes, or of single objects",
            )
