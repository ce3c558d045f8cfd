"""What legitimately varies and is taken out before anything is compared; this is the one place that says so.

- Where files lie: the folder that a case writes to, the repository, the data set.
- Versions: of Searchlight and its libraries (a fingerprint of the machine holds them).
- ``request`` of a comparison, which is a hash over the version.
- Folders of finished rows (``*.rows``): which process did what is chance.
- Of the page: the port, and the random mark of an upload.
Nothing of what Searchlight writes holds a time; were one added, it would be seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PATTERNS = (
    (re.compile(r'("(?:versions)"\s*:\s*)\{[^{}]*\}'), r"\1{}"),
    (re.compile(r'("(?:request|captum|mark)"\s*:\s*)"[^"]*"'), r'\1""'),
    (re.compile(r"(<dt>(?:searchlight-viz|python|torch|numpy|opencv|pillow)</dt><dd>)[^<]*"), r"\1"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1"),
    (re.compile(r"(Captum) \d[\w.+]*"), r"\1"),
)


def stripped(text: str, places: Mapping[Path, str]) -> str:
    """A text without what varies.

    Args:
        places: names that stand for folders.
    """
    # The longest first: one folder may lie in another.
    for folder in sorted(places, key=lambda p: -len(str(p))):
        text = text.replace(str(folder), places[folder])
    for pattern, kept in _PATTERNS:
        text = pattern.sub(kept, text)
    return text


def left_out(path: Path) -> bool:
    """Whether a file is compared with nothing."""
    return any(part.endswith(".rows") for part in path.parts)
