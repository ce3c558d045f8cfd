"""Names of ImageNet classes that are ambiguous: in another data set the same word may mean something else.

COCO's kite is a toy, ImageNet's is a bird of prey; DOTA's plane flies, ImageNet's is a carpenter's tool. Each word maps
to the meaning of ImageNet's class and to the superclasses (COCO's ``supercategory``) that imply it. Chosen by hand from
all 1000 names by comparison with the classes of COCO (with LVIS's definitions), Pascal VOC, Open Images, Objects365,
DOTA, CUB and DeepFashion.
"""

from __future__ import annotations

# word: (meaning of ImageNet's class, superclasses that imply it)
HOMONYMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "admiral": ("a butterfly", ("insect", "butterfly")),
    "amphibian": ("a vehicle for land and water", ("vehicle",)),
    "angora": ("a rabbit", ("rabbit",)),
    "balloon": ("a hot-air balloon", ("vehicle", "aircraft")),
    "bonnet": ("a hat", ("clothing", "hat", "accessory")),
    "bow": ("a weapon that shoots arrows", ("weapon",)),
    "boxer": ("a dog", ("dog", "animal")),
    "brass": ("a memorial plate", ()),
    "buckeye": ("a horse chestnut", ("plant", "fruit")),
    "cab": ("a taxi", ()),
    "cairn": ("a terrier", ("dog", "animal")),
    "chest": ("a box", ("furniture",)),
    "chiton": ("a mollusc", ("animal", "mollusc")),
    "chow": ("a dog", ("dog", "animal")),
    "cornet": ("a brass instrument", ("instrument", "musical instrument")),
    "cricket": ("an insect", ("insect", "animal")),
    "diamondback": ("a rattlesnake", ("snake", "reptile")),
    "drake": ("a male duck", ("bird", "animal")),
    "drumstick": ("a stick for a drum", ("instrument", "musical instrument")),
    "ear": ("an ear of corn", ("plant", "food", "vegetable")),
    "file": ("a filing cabinet", ("furniture",)),
    "gondola": ("a Venetian boat", ("boat", "watercraft")),
    "hip": ("a rose hip", ("plant", "fruit", "food")),
    "jaguar": ("a big cat", ("animal", "mammal")),
    "jersey": ("a shirt", ("clothing",)),
    "kite": ("a bird of prey", ("bird", "animal")),
    "knot": ("a tied rope", ()),
    "liner": ("an ocean liner", ("ship", "boat", "watercraft")),
    "loggerhead": ("a turtle", ("turtle", "reptile")),
    "mask": ("a mask of a costume", ()),
    "monarch": ("a butterfly", ("insect", "butterfly", "animal")),
    "monitor": ("a screen", ("electronic", "electronics", "appliance")),
    "mortar": ("a bowl with a pestle", ("kitchen", "kitchenware")),
    "mouse": ("a computer mouse", ("electronic", "electronics")),
    "muzzle": ("a dog's muzzle of straps", ()),
    "nail": ("a metal nail", ("tool", "hardware")),
    "nipple": ("a bottle's teat", ()),
    "notebook": ("a notebook computer", ("electronic", "electronics")),
    "organ": ("a pipe organ", ("instrument", "musical instrument")),
    "paddle": ("a boat's paddle", ()),
    "papillon": ("a dog", ("dog",)),
    "pick": ("a plectrum", ("instrument", "musical instrument")),
    "pirate": ("a pirate ship", ("ship", "boat", "watercraft")),
    "pitcher": ("a jug", ("kitchen", "kitchenware", "container")),
    "plane": ("a carpenter's plane", ("tool",)),
    "plate": ("a dish of food", ("food",)),
    "pot": ("a flowerpot", ()),
    "puffer": ("a fish", ("fish", "animal")),
    "racer": ("a racing car", ("vehicle", "car")),
    "ram": ("a male sheep", ("animal", "mammal")),
    "reel": ("a fishing reel", ()),
    "ringlet": ("a butterfly", ("insect", "butterfly", "animal")),
    "robin": ("an American robin", ()),
    "scale": ("a weighing machine", ("appliance",)),
    "screen": ("a computer's screen", ("electronic", "electronics")),
    "sidewinder": ("a rattlesnake", ("snake", "reptile", "animal")),
    "slot": ("a slot machine", ()),
    "slug": ("a mollusc", ("animal", "mollusc")),
    "sorrel": ("a horse", ("horse", "animal")),
    "swab": ("a mop", ()),
    "switch": ("an electric switch", ()),
    "tank": ("a tank with a gun", ("weapon",)),
    "tick": ("an arachnid", ("animal", "insect", "arachnid")),
    "torch": ("a burning torch", ()),
    "upright": ("an upright piano", ("instrument", "musical instrument")),
    "vault": ("a vaulted ceiling", ()),
    "washer": ("a washing machine", ("appliance",)),
    "wing": ("an aeroplane's wing", ()),
    "wreck": ("a shipwreck", ()),
}
# Capitalized, ImageNet's class is the dog; data sets that capitalize every name mean the garment.
CAPITAL_HOMONYMS = {"Cardigan": ("a dog", ("dog", "animal"))}


def imagenet_meaning(name: str, superclass: str = "") -> str | None:
    """The meaning of ImageNet's class of this name if the word is ambiguous; None if it is not.

    Args:
        name: the words of a label. superclass: the data set's own superclass of it (COCO's ``supercategory``).
    """
    meaning, superclasses = CAPITAL_HOMONYMS.get(name) or HOMONYMS.get(name.casefold()) or (None, ())
    return None if superclass.strip().casefold() in superclasses else meaning
