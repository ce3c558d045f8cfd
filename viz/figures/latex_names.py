r"""The name of a figure's file in LaTeX: ``\includegraphics`` must name the file that was written, whatever its name.

Tested with pdfLaTeX and LuaLaTeX of TeX Live 2022. TeX expands a file's name, drops quotation marks, breaks a line at
control characters, and replaces ``$NAME`` by an environment variable: such names cannot be written, which is reported.
All other names can, if need be as a macro that builds the name character by character.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from viz.picture import text_name

# A command ends with a space, which TeX swallows.
_SPELLED = {
    "%": r"\csname @percentchar\endcsname ",
    "{": r"\csname @charlb\endcsname ",
    "}": r"\csname @charrb\endcsname ",
    "\\": r"\csname @backslashchar\endcsname ",
    "#": r"\string#",
}
# Braces, percent and number signs, backslashes; spaces that TeX would merge; ^^ and a letter, which it reads as one.
_SPECIAL = re.compile(r"[%#{}\\]|  |\^\^")
# A leading space is lost, ~ means a home folder, and | a command to run.
_IN_FRONT = re.compile(r"[ ~|]")
# A quotation mark, a variable, or half a character of a name that is not Unicode.
_UNREADABLE = re.compile('"|\\$[A-Za-z0-9_{]|[\ud800-\udfff]')


def include(path: Path, width: str) -> list[str]:
    r"""The lines that include a figure's file, which lies beside the document.

    Args:
        width: a LaTeX length.
    """
    name, lines = _included(path), []
    if name != path.name:
        lines.append("  % LaTeX reads no SVG: make a PDF from it, of the same name, or save the figure as PDF.")
    inner = "./" + name if _IN_FRONT.match(name) else name
    if not is_readable(name):
        lines += [
            f"  % LaTeX cannot read a file of the name {_printable(name)}",
            f"  % Rename it, for instance to {plain(name)}, and use this line for the next:",
            rf"  % \includegraphics[width={width}]{{\detokenize{{{plain(name)}}}}}",
            r"  \fbox{Rename the file of this figure: see the comment in its snippet.}",
        ]
    elif _SPECIAL.search(inner):
        lines += [
            "  % The file's name holds characters that LaTeX would take otherwise; here it is spelled.",
            rf"  \edef\searchlightfile{{{_spelled(inner)}}}%",
            rf"  \includegraphics[width={width}]{{\searchlightfile}}",
        ]
    else:
        lines.append(rf"  \includegraphics[width={width}]{{\detokenize{{{inner}}}}}")
    return lines


def name_notes(path: Path) -> tuple[str, ...]:
    """What an author should know of the name before using the snippet, in sentences."""
    name = _included(path)
    shown, safe = _printable(name), plain(name)
    if not is_readable(name):
        return (f"LaTeX cannot read a file named {shown}. Rename it or save the figure again, for instance as {safe}.",)
    if _SPECIAL.search(name):
        return (f"LaTeX treats characters of the name {shown} specially. The snippet escapes them; {safe} is safer.",)
    return ()


def _included(path: Path) -> str:
    """The file that LaTeX includes: an SVG becomes a PDF first."""
    return path.stem + ".pdf" if path.suffix.lower() == ".svg" else path.name


def is_readable(name: str) -> bool:
    """Whether LaTeX can read a file of this name. The endings it knows are all lower or all upper case."""
    ending = Path(name).suffix
    if ending not in (ending.lower(), ending.upper()) or _UNREADABLE.search(name):
        return False
    return not any(unicodedata.category(c) == "Cc" for c in name)


def plain(name: str) -> str:
    """A similar name that is safe in LaTeX: letters, digits, dots, dashes and underscores of ASCII."""
    path = Path(name)
    ascii_stem = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return (re.sub(r"[^A-Za-z0-9._]+", "-", ascii_stem).strip("-.") or "figure") + path.suffix.lower()


def _spelled(name: str) -> str:
    """Commands that expand to the name. The second of two spaces, or of two ^, is separated from the first."""
    out = run = ""
    for before, c in zip(" " + name, name, strict=False):
        apart = c == before == "^"
        if run and (apart or c in _SPELLED or c == before == " "):
            out, run = out + rf"\detokenize{{{run}}}", ""
        if c in _SPELLED:
            out += _SPELLED[c]
        elif c == before == " ":
            out += r"\space "
        else:
            run += c
    return out + (rf"\detokenize{{{run}}}" if run else "")


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text_name(name))
