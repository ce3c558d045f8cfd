"""What each control shows and what it does not, with the source, to be shown beside its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Words:
    """A control's title, what it `shows`, what it does not (`limits`), and the `source` of the method."""

    title: str
    shows: str
    limits: str
    source: str


WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "reliance": Words(
            "Reliance on the gate",
            "How much the answer changes when the gate no longer depends on this picture. No change means that the "
            "network answers the same without it, however convincing its map looks.",
            "A change does not make the map an explanation of the answer: attention can be needed without pointing at "
            "the reason. A neutral or flat gate may be unlike any that the network met in training; the gates of other "
            "pictures are a milder test.",
            "Jain and Wallace, NAACL 2019 (arXiv 1902.10186), on attention in text models",
        ),
        "deletion": Words(
            "Deletion",
            "How fast the class's probability falls when the map's strongest pixels are removed first. A smaller area "
            "than that of random maps with as many cells means that the map ranks pixels better than chance.",
            "Pictures with holes are unlike any that the network was trained on, so a drop mixes missing evidence with "
            "an unusual input, and it depends on the colour of the holes. A centre Gaussian often does well, because "
            "photographers centre their objects: compare with it, too.",
            "Petsiuk et al., BMVC 2018 (arXiv 1806.07421); on its limits Rong et al., ICML 2022 (arXiv 2202.00449)",
        ),
        "insertion": Words(
            "Insertion",
            "How fast the class's probability rises when the map's strongest pixels are inserted into a blurred "
            "picture first. A larger area than that of random maps with as many cells is better than chance.",
            "The blurred picture is not empty: where the curve starts high, it says little. A centre Gaussian often "
            "does well: compare with it, too.",
            "Petsiuk et al., BMVC 2018 (arXiv 1806.07421)",
        ),
        "road": Words(
            "Remove and debias (ROAD)",
            "Deletion whose holes are filled from their surroundings, so that their shape reveals less. Most relevant "
            "first (MoRF) should fall early, least relevant first (LeRF) late.",
            "Large holes become smooth patches, which photographs do not have either, and one picture's curve is "
            "noisy: read the mean over a data set. The class can also be lost because the filling looks like something "
            "else.",
            "Rong et al., ICML 2022 (arXiv 2202.00449)",
        ),
        "randomisation": Words(
            "Random weights",
            "Whether the map depends on what the network has learned. A map that stays the same with random weights "
            "shows the picture's edges or the network's architecture, not what was learned.",
            "Passing proves nothing more: a map that changes can still be wrong. Do not rank methods by these "
            "similarities: noisy maps change more and look better, the architecture alone keeps some similarity, and "
            "maps of few cells are similar by chance. A gate cannot change with blocks that act after it: a "
            "similarity of exactly 1 there follows from the architecture.",
            "Adebayo et al., NeurIPS 2018 (arXiv 1810.03292); Binder et al., CVPR 2023, on what it cannot tell",
        ),
        "stability": Words(
            "Stability",
            "How much the map and the answer change under barely visible noise. A map that changes while the answer "
            "stays should not be read in detail.",
            "A stable map need not be right: a centre Gaussian is perfectly stable. The unexplained share tests "
            "whether the map's values add up to the effect of removed squares, which an attention map does not claim.",
            "Yeh et al., NeurIPS 2019 (arXiv 1901.09392), computed by Captum",
        ),
    }
)


def words_for(control: str) -> Words:
    """The words of a control; both directions of ROAD share theirs."""
    return WORDS["road" if control.startswith("road") else control]
