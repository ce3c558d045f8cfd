"""What a reader must know of an evaluation's numbers, in sentences."""

from __future__ import annotations

from viz.datasets.core import LEFT_OUT
from viz.measures.localization.results import Result
from viz.measures.localization.tuning import Tuning

# A data set whose fixed centred box does so well cannot tell methods apart at that bound.
EASY = 75.0
NO_THRESHOLD = "PxAP is over all thresholds: none is chosen."


def tuning_words(tuning: Tuning, folds: int, split: str | None, splits: int = 1) -> str:
    """Where the thresholds come from."""
    if tuning == "split":
        return f"One threshold for the whole set, tuned on the split {split!r} and reported on another."
    if tuning == "cross-validated":
        repeated = f"; numbers are the mean over {splits} random splits into folds" if splits > 1 else ""
        return (
            f"One threshold for each of {folds} folds of pictures, tuned on the other folds: every picture is scored "
            f"at a threshold that it had no part in{repeated}."
        )
    return "One threshold for the whole set, tuned on the very pictures it is reported on: an optimistic number."


def protocol_words() -> list[str]:
    """How the protocol makes boxes and numbers."""
    return [
        "Pictures are squashed to 224 x 224 pixels; maps are enlarged to that size (bicubic), then brought to 0 to 1.",
        "A mask is what lies strictly above a threshold; v1 takes the box of its contour with the largest area, v2 the "
        "boxes of all contours.",
        "A picture is right at a bound when the IoU with any true box of the class reaches it.",
        "MaxBoxAcc is v1 at 50 %, MaxBoxAccV2 the mean of v2 at 30, 50 and 70 %, each at its own threshold; PxAP is "
        "the area under the pixels' precision and recall.",
        "Rules: Choe et al., CVPR 2020 (arXiv 2001.07437), clovaai/wsolevaluation@96f4b88.",
    ]


def notes_of(result: Result) -> tuple[str, ...]:
    """Sentences that follow from the numbers."""
    data, tuning = result.data, result.tuning
    notes = []
    asks = any(row.kind in ("class map", "attribution") for row in result.rows)
    if asks and result.protocol.classes == "label":
        notes.append(
            "Maps that need a class are those of the true class (GT-known): they say where a class is, given that it "
            "is there. Top-1 localization mixes this with classification and is no measure of localization alone."
        )
    elif asks:
        notes.append("Maps that need a class are those of the network's own best class, not of the true one.")
    if data.failed_count:
        notes.append(f"{data.failed_count} of {data.samples} samples could not be read and are not counted.")
    if tuning.failed_count:
        notes.append(
            f"{tuning.failed_count} of {tuning.samples} samples of the split that thresholds are tuned on could not be "
            "read."
        )
    if data.without_class:
        notes.append(
            f"{data.without_class} samples have a label that is no class of the network: they count for boxes and "
            "pixels, not for top-1."
        )
    if data.boxes_cut:
        notes.append(
            f"{data.boxes_cut} samples had a box beyond their picture's edge: it was cut there, or left out where "
            "nothing of it lies inside."
        )
    if data.empty_masks:
        notes.append(f"{data.empty_masks} samples have a mask without any object in it: it is not used.")
    if data.chosen_of:
        notes.append(f"Not the whole set: {data.samples} of {data.chosen_of} samples, chosen by a hash of their names.")
    if data.far_edge == "inclusive":
        notes.append("The data set's boxes end on the object's last pixel; the protocol takes them as they are.")
    for lost in result.not_finite:
        what = "answer" if lost.source is None else f"map {lost.source}"
        notes.append(
            f"The {what} of {lost.model} is not finite on {lost.samples} of {data.samples} samples; such an answer "
            "counts as wrong, and such a map boxes what is left of it."
        )
    floor = next((row for row in result.rows if row.source == "centre_box"), None)
    value = floor.boxes.reported.v1["50"].value if floor and floor.boxes else None
    if value is not None and value >= EASY:
        notes.append(
            f"A fixed box in the middle is right on {value} % at IoU 0.5: these pictures hardly test localization at "
            "that bound."
        )
    return tuple(notes)


def data_words(result: Result) -> str:
    """The data set in words: name, split, samples and pictures."""
    data = result.data
    split = f", split {data.split}" if data.split else ""
    of = "pictures" if data.pictures == data.samples else f"samples of {data.pictures} pictures"
    chosen = f", chosen of {data.chosen_of} by a hash of their names" if data.chosen_of else ""
    named = data.index_problems.get(LEFT_OUT, 0)
    left_out = f", {named} left out by name" if named else ""
    return f"{data.name}{split}: {data.samples} {of}{chosen}{left_out}"


def counted_words(result: Result) -> str:
    """How many samples the rows stand on."""
    numbers = sorted({row.counted for row in result.rows})
    if not numbers:
        return "no row"
    return f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]}"


def interval_words(result: Result) -> str:
    """What the intervals are."""
    boot = result.bootstrap
    draws = [f"{boot.draws} draws"] if any(row.boxes for row in result.rows) else []
    if any(row.pxap for row in result.rows):
        draws.append(f"{boot.pxap_draws} draws" + (" for PxAP" if draws else ""))
    return f"{boot.level * 100:.0f} % bootstrap intervals over pictures ({', '.join(draws)}, percentiles; {boot.words})"
