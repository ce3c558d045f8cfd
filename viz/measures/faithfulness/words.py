"""What each control shows and what it does not, in plain sentences with their source, to stand beside its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Words:
    """For one control: `title`; what it `shows`; what it does not (`limits`); where that is from (`source`)."""

    title: str
    shows: str
    limits: str
    source: str


WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "reliance": Words(
            "Reliance on the gate",
            "How much the answer changes when the gate no longer knows this picture. No change means that the network "
            "answers the same without it, however telling its map looks.",
            "A change does not make the map an explanation of the answer: attention can be needed without pointing at "
            "the reason. A neutral or flat gate may be one that the network never met in training; the gates of other "
            "pictures are the milder test.",
            "Jain and Wallace, NAACL 2019 (arXiv 1902.10186), on attention in text models",
        ),
        "deletion": Words(
            "Deletion",
            "How fast the class is lost when the map's strongest pixels go first. A smaller area than that of random "
            "maps of as many cells means that the map ranks pixels better than chance does.",
            "Pictures with holes are unlike any that the network was trained on, so a drop mixes missing evidence with "
            "an odd input, and it depends on the colour of the holes. A Gaussian in the middle often does well, "
            "because photographers centre their objects: compare with it, too.",
            "Petsiuk et al., BMVC 2018 (arXiv 1806.07421); on its limits Rong et al., ICML 2022 (arXiv 2202.00449)",
        ),
        "insertion": Words(
            "Insertion",
            "How soon the class is found when the map's strongest pixels come into a blurred picture first. A larger "
            "area than that of random maps of as many cells is better than chance.",
            "The blurred picture is no empty one: where its start is already high, the curve says little. A Gaussian "
            "in the middle often does well: compare with it, too.",
            "Petsiuk et al., BMVC 2018 (arXiv 1806.07421)",
        ),
        "road": Words(
            "Remove and debias (ROAD)",
            "Deletion whose holes are filled from their surroundings, so that their shape betrays less. Most relevant "
            "first (MoRF) should fall early, least relevant first (LeRF) late.",
            "Large holes become smooth patches, which photographs lack as well, and one picture's curve is noisy; "
            "read the mean over a data set. The class can also be lost because the filling looks like something else.",
            "Rong et al., ICML 2022 (arXiv 2202.00449)",
        ),
        "randomisation": Words(
            "Random weights",
            "Whether the map depends on what the network has learned. A map that stays the same with random weights "
            "shows the picture's edges or the network's build, not what was learned.",
            "Passing proves nothing more: a map that changes can still be wrong. Do not rank methods by these "
            "similarities: noisy maps change more and look better, and the shape of the network alone keeps some "
            "likeness; few cells are alike by chance. A gate cannot change with blocks that act after it: exactly 1 "
            "there is how the network is built, and no finding.",
            "Adebayo et al., NeurIPS 2018 (arXiv 1810.03292); Binder et al., CVPR 2023, on what it cannot tell",
        ),
        "stability": Words(
            "Stability",
            "How much map and answer move under noise that a person hardly sees. A map that moves while the answer "
            "stays should not be read in detail.",
            "A stable map is not a true one: the middle of the picture is perfectly stable. The unexplained share asks "
            "whether the map, as amounts, adds up to what removed squares cost; an attention map does not claim to.",
            "Yeh et al., NeurIPS 2019 (arXiv 1901.09392), computed by Captum",
        ),
    }
)


def words_for(control: str) -> Words:
    """The words of a control; both directions of ROAD share theirs."""
    return WORDS["road" if control.startswith("road") else control]
