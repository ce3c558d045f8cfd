"""What the cards of the four bottom-up families say in words."""

from __future__ import annotations

TASK = (
    "Trained to name a small picture among clutter: a photograph pasted at 72 to 127 px into a 224 px crop of a street "
    "scene; the target is its class, half label, half plain Lite0's own answer on the photograph alone. Ordinary "
    "pictures, nearly half of each batch, have to keep plain Lite0's answer. No box and no mask was ever shown to it; "
    "only the module learned."
)
TITLES = {
    "psa": "EfficientNet-Lite0 with polarized self-attention (PSA, sequential) at stride 16",
    "ema": "EfficientNet-Lite0 with efficient multi-scale attention (EMA) at stride 16",
    "vista": "EfficientNet-Lite0 with structured attention inferred in the network (VISTA, our variant) at stride 16",
    "paka": "EfficientNet-Lite0 with a hierarchical PAKA module (HPM, our design) at stride 16",
}
SHARED = [
    "one module behind the last block at stride 16 (112 maps of 14x14 cells) of a frozen network; the paper trains "
    "whole networks with many modules",
    "the module reads maps standardised per channel by frozen statistics of ordinary pictures, and its result times "
    "one learned number is brought back to the maps' own mean and spread",
]
DEVIATIONS = {
    "psa": [
        "the published code, not the paper's formula: the softmax runs over places of the value, not over the query's "
        "channels",
        "the query starts 100 times and the value twice as large as PyTorch's default: a softmax over 196 places "
        "leaves the spatial gate within a hair of 1/2 otherwise, and nothing moves it",
    ],
    "ema": [
        "2 groups of 56 channels (the paper: 32 groups): the groups share their weights, and the channels of a trained "
        "network come in no order that would let 32 groups share anything",
        "group norm and 3x3 convolution start 4 and 6 times as large as PyTorch's default, so that the gate can move",
    ],
    "vista": [
        "our variant: maps and channel vectors are inferred by alternating mean-field updates in the network; the "
        "published code draws the vectors at random. The equations stand in viz/families/vista/inferred.py",
        "three scales of the lower part send (stride 8 averaged to stride 16, and two at stride 16); a step is one "
        "update",
    ],
    "paka": [
        "HPM is our own design: the paper's text was not available. A cascade of depthwise PAKA convolutions with "
        "dilations 1, 2 and 4, whose results are mixed; a step is one level",
        "the logit branches are those of the published reduction form with the dilation in the 3x3, zero-initialised",
    ],
}
LIMITS = [
    "The clutter is artificial: rectangles with sharp edges in street scenes of one city. Nothing is claimed for "
    "natural clutter.",
    "A module can also learn what streets look like; ordinary pictures with streets were not measured apart.",
    "Of the 233 street scenes reported on, 171 are of a drive that was never trained on and 62 of one whose "
    "other scenes were; an audit found the same gains on both.",
    "One of the 250 photographs of the ten classes that are reported on (ILSVRC2012_val_00023107) is nearly one "
    "of those trained on.",
    "Boxes here follow a simple rule (thresholds in steps of 0.05, chosen on the pictures or scenes of the other "
    "parity): plain Lite0's class map reaches 64.0 % at IoU 0.5 on the ten classes. The protocol's own numbers stand "
    "in README and differ by a point or two; compare numbers of one rule.",
    "The sample pictures are probably from ImageNet's training set, so the frozen backbone has seen them; 'never "
    "trained on' is said of the module.",
    "The row perfect_mask is what the true place of the object would give as a spatial gate at the same point of the "
    "network; a module that also mixes or scales channels can be better than it.",
    "For PAKA 'gates at their mean' replaces both logits of the kernel attention by their data-set means; its native "
    "map (kernel attention averaged over channels and taps of the last level) says how much a cell takes in, not where "
    "the object is.",
    "A gate's data-set mean is taken over the same views that are reported on.",
    "The views to train on were cached in bfloat16, the views to report on in float32, both stored as float16.",
    "Step outputs before the last (VISTA, PAKA) were not trained for: they show what the network would say if it "
    "stopped there.",
]
DATA = [
    {"name": "imagenette 224 (10 ImageNet classes)", "licence": "ImageNet terms (research); not distributed here"},
    {"name": "ImageNet samples (one picture a class)", "licence": "ImageNet terms (research); not distributed here"},
    {
        "name": "Caltech-101 (at most 40 a class), under plain Lite0's own names where it is confident (>= 0.5)",
        "licence": "CC BY 4.0 on a mirror's card, not confirmed at the source; not distributed here",
    },
    {"name": "CamVid street scenes (train, val, test apart)", "licence": "research use; not distributed here"},
]
WORDS = {
    "plain": "control: plain Lite0",
    "top1": "top-1 with the module",
    "gain": "gain over plain (paired)",
    "gates_mean": "control: gates replaced by their data-set means",
    "gates_loss": "what that loses (paired)",
    "random_module": "control: module with random weights",
    "mass": "native attention mass on the object",
    "area": "the object's area (chance for the mass)",
    "mass_over_area": "mass over area",
    "random_mass_over_area": "control: mass over area with random weights",
    "perfect_mask": "the object's true place as spatial gate, no training",
    "change": "change against plain (paired)",
    "variation_native": "standard deviation of the native map within a picture",
}
SETS = {
    "unseen": "clutter, classes never trained on",
    "nette": "clutter, the ten imagenette classes, pictures never trained on",
    "caltech": "clutter, Caltech-101 names never trained on, under plain Lite0's own names",
    "alone_nette": "ordinary pictures, the ten imagenette classes (ILSVRC validation)",
    "alone_unseen": "ordinary pictures, classes never trained on",
}
# What the learned number says of the gates: with it a gate of 1/2 is where the sigmoid rests, not "nothing changes".
RESTS = {
    "psa": "; gates whose product is {:.2f} leave the maps as they are",
    "ema": "; a gate of {:.2f} leaves the maps as they are",
}
