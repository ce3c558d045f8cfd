"""Versions of dependencies with known holes that a visitor, a picture or a weights file could reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet


@dataclass(frozen=True)
class KnownBad:
    """A package, its bad versions as a specifier, and what is wrong with them."""

    package: str
    versions: str
    why: str

    def __contains__(self, installed: str) -> bool:
        return SpecifierSet(self.versions).contains(installed, prereleases=True)


KNOWN_BAD = (
    KnownBad(
        "pillow",
        "<13",
        "a JPEG overflows the heap (CVE-2026-112403), a tiled TIFF reads past it (CVE-2026-112395), storage of an older"
        " mode is used again (CVE-2026-96639), a repeated Exif header takes quadratic time (CVE-2026-96643)",
    ),
    KnownBad("torch", "<2.10", "the weights-only reader corrupts memory (CVE-2026-24747)"),
    KnownBad("gradio", "<6.20", "its file route fetches and redirects to any address (CVE-2026-59806)"),
    KnownBad("starlette", "<1.3.1", "a form's limits are ignored (CVE-2026-54283)"),
    KnownBad("python-multipart", "<0.0.31", "crafted uploads take CPU and memory (CVE-2026-40347, CVE-2026-53540)"),
    KnownBad("tqdm", "<4.66.3", "its command line evaluates options (CVE-2024-34062)"),
)


def found(installed: Callable[[str], str] = version) -> tuple[str, ...]:
    """One line per package that is installed in a bad version; `installed` gives a package's version."""
    return tuple(_found(installed))


def _found(installed: Callable[[str], str]) -> Iterator[str]:
    for bad in KNOWN_BAD:
        try:
            now = installed(bad.package)
        except PackageNotFoundError:
            continue
        if now in bad:
            yield f"{bad.package} {now} is known to be bad ({bad.versions}): {bad.why}"
