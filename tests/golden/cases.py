"""What is made for the golden data: each case fills a folder through one of the outer doors.

`commands` are the command line's, `nets` those of networks that only Python can be given, `page` those of the page.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from tests.golden.inside import ROOT, write_checkpoint, write_pictures

if TYPE_CHECKING:
    from tests.golden.entries import Draw
    from tests.golden.page import Pages


class GoldenError(Exception):
    """A case cannot be made, or is not what it must be, in one sentence."""


class Tools:
    """What several cases use; each is made when it is first asked for, and given back at the end."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.folder = Path(self._open.enter_context(TemporaryDirectory())).resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def data(self) -> Path:
        """A data set of six drawn pictures with boxes and masks."""
        return write_pictures(self.folder / "data")

    @cached_property
    def checkpoint(self) -> Path:
        """A file as the authors of TDAM publish them."""
        (folder := self.folder / "published").mkdir()
        return write_checkpoint(folder)

    @cached_property
    def pages(self) -> Pages:
        """The running page and a real Chromium."""
        from tests.golden.page import Pages

        (folder := self.folder / "models").mkdir()
        return self._open.enter_context(Pages.opened(folder))

    @property
    def draw(self) -> Draw:
        """Draws an SVG in Chromium."""
        return self.pages.draw

    @property
    def places(self) -> dict[Path, str]:
        """Names that stand for folders in texts."""
        return {self.folder: "TOOLS", ROOT: "ROOT"}


@dataclass(frozen=True)
class Case:
    """One thing that is made.

    Attributes:
        fill: writes files into an empty folder. quick: made in every run of the tests, too.
    """

    name: str
    fill: Callable[[Path, Tools], None]
    quick: bool = False


def cases() -> list[Case]:
    """All cases, in the order in which they are made."""
    from tests.golden import commands, nets, page

    return [*commands.cases(), *nets.cases(), *page.cases()]
