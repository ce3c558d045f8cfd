"""Sentences that a result holds: how thresholds were chosen, the protocol, and what qualifies the numbers."""

from __future__ import annotations

from viz.measures.localization.results import Result
from viz.measures.localization.tuning import Tuning

# Where the fixed centred box reaches this percentage, a data set cannot tell methods apart at that bound.
EASY = 75.0
NO_THRESHOLD = "PxAP is over all thresholds: none is chosen."


def tuning_words(tuning: Tuning, folds: int, split: str | None, splits: int = 1) -> str:
    """How the thresholds were chosen."""
    if tuning == "split":
        return f"One threshold for the whole set, tuned on the split {split!r} and reported on another."
    if tuning == "cross-validated":
        repeated = f"; numbers are the mean over {splits} random splits into folds" if splits > 1 else ""
        return (
            f"One threshold for each of {folds} folds of pictures, tuned on the other folds: every picture is scored "
            f"at a threshold that it had no part in{repeated}."
        )
    return "One threshold for the whole set, tuned on the very pictures it is reported on: an optimistic number."


def protocol_words() -> tuple[str, ...]:
    """How the protocol makes boxes and numbers."""
    return (
        "Pictures are squashed to 224 x 224 pixels; maps are enlarged to that size (bicubic), then scaled to 0 to 1.",
        "A mask is what lies strictly above a threshold; v1 takes the box of its contour with the largest area, v2 the "
        "boxes of all contours.",
        "A picture is right at a bound when the IoU with any true box of the class reaches it.",
        "MaxBoxAcc is v1 at 50 %, MaxBoxAccV2 the mean of v2 at 30, 50 and 70 %, each at its own threshold; PxAP is "
        "the area under the pixels' precision-recall curve.",
        "Rules: Choe et al., CVPR 2020 (arXiv 2001.07437), clovaai/wsolevaluation@96f4b88.",
    )


def notes_of(result: Result) -> tuple[str, ...]:
    """What a reader must know about the numbers of a result, in sentences."""
    data, tuning = result.data, result.tuning
    notes = []
    if any(row.kind in ("class map", "attribution") for row in result.rows):
        notes.append(
            "Maps that need a class are those of the true class (GT-known): they show where a class is, given that it "
            "is present. Top-1 localization also depends on classification and does not measure localization alone."
            if result.protocol.classes == "label"
            else "Maps that need a class are those of the network's predicted class, not of the true one."
        )
    counted = (
        (data.failed_count, f"of {data.samples} samples could not be read and are not counted."),
        (
            tuning.failed_count,
            f"of {tuning.samples} samples of the split that thresholds are tuned on could not be read.",
        ),
        (
            data.without_class,
            "samples have a label that is not a class of the network: they count for boxes and pixels, not for top-1.",
        ),
        (
            data.boxes_cut,
            "samples had a box beyond the edge of the picture: it was clipped, or dropped where none of it is inside.",
        ),
        (data.empty_masks, "samples have a mask without an object: it is not used."),
    )
    notes += [f"{count} {words}" for count, words in counted if count]
    if data.chosen_of:
        notes.append(f"Not the whole set: {data.samples} of {data.chosen_of} samples, chosen by a hash of their names.")
    if data.far_edge == "inclusive":
        notes.append("The boxes of the data set end on the object's last pixel; the protocol takes them as they are.")
    for lost in result.not_finite:
        what = "answer" if lost.source is None else f"map {lost.source}"
        notes.append(
            f"The {what} of {lost.model} is not finite on {lost.samples} of {data.samples} samples. Such an answer "
            "counts as wrong; such a map is boxed from its remaining values."
        )
    box = next((row for row in result.rows if row.source == "centre_box"), None)
    value = box.boxes.reported.v1["50"].value if box and box.boxes else 0.0
    if value >= EASY:
        notes.append(
            f"A fixed box in the centre is right on {value} % at IoU 0.5: these pictures hardly test localization at "
            "that bound."
        )
    return tuple(notes)
