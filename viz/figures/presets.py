"""Figure widths and type of the venues. Widths are those of the author kits; a figure has exactly that width.

Sources: IEEE Author Center ("Size your graphics": 3.5 and 7.16 in); tueplots for the CVPR/ICCV 2024, ECCV 2024,
NeurIPS, ICLR, ICML and AAAI kits. All of them use a Times-like body type; STIX General is the TrueType font of that
look that ships with Matplotlib, so a figure needs no system font.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from viz.errors import FigureError

Font = Literal["serif", "sans"]


@dataclass(frozen=True)
class Preset:
    """One venue.

    Attributes:
        name: of the option. title: the venue, in words.
        one, two: width in inches of a figure over one column and over the page; equal where the text has one column.
        source: of the widths.
        font: of the labels. label, tick: type sizes in points (IEEE asks for 8 pt letters; none is below 7).
    """

    name: str
    title: str
    one: float
    two: float
    source: str
    font: Font = "serif"
    label: float = 8.0
    tick: float = 7.0

    def width(self, columns: int) -> float:
        """Inches for 1 or 2 columns."""
        return self.one if columns == 1 else self.two

    @property
    def two_columns(self) -> bool:
        """Whether the venue sets its text in two columns."""
        return self.one < self.two


_KITS = "author kit, as read by tueplots"
_ALL = (
    Preset("ieee", "IEEE journals and transactions", 3.5, 7.16, "IEEE Author Center"),
    Preset("cvpr", "CVPR", 3.25, 6.875, _KITS),
    Preset("iccv", "ICCV", 3.25, 6.875, _KITS),
    Preset("eccv", "ECCV", 4.8, 4.8, _KITS),
    Preset("lncs", "Springer LNCS", 4.8, 4.8, "122 mm text width of the LNCS class"),
    Preset("neurips", "NeurIPS", 5.5, 5.5, _KITS),
    Preset("iclr", "ICLR", 5.5, 5.5, _KITS),
    Preset("icml", "ICML", 3.25, 6.75, _KITS),
    Preset("aaai", "AAAI", 3.3, 6.975, _KITS),
)
PRESETS = MappingProxyType({p.name: p for p in _ALL})


def preset(name: str) -> Preset:
    """The preset of that name, in upper or lower case.

    Raises:
        FigureError: unknown name.
    """
    found = PRESETS.get(name.lower())
    if found is None:
        raise FigureError(f"Unknown preset {name[:40]!r}. Choose one of: {', '.join(PRESETS)}.")
    return found
