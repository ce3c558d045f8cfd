"""The house: arrows point downward, files import each other in no circle, families keep to their rooms."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the ground up. A room may import those before it, and itself.
ROOMS = (
    "core",
    "capture",
    "families",
    "models",
    "attribution",
    "run",
    "datasets",
    "measures",
    "figures",
    "page",
    "cli",
)
GROUND = 0
NAMES = re.compile(r"\b(tdam|psa|ema|vista|vista-net|paka|hpm)\b", re.IGNORECASE)


@cache
def modules() -> dict[str, Path]:
    """All modules of the package by dotted name."""
    found = {}
    for path in sorted((ROOT / "viz").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports() -> dict[str, frozenset[str]]:
    """What each module imports of the package: at its head, inside functions and for type checkers alike."""
    known = modules()
    out = {}
    for name, path in known.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in known}
            elif isinstance(node, ast.ImportFrom) and node.module in known and node.level == 0:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
                found |= inner
                if len(inner) < len(node.names):
                    found.add(str(node.module))
        # Whoever imports a module runs the packages around it first.
        found |= {".".join(one.split(".")[:n]) for one in found for n in range(2, one.count(".") + 1)} & known.keys()
        out[name] = frozenset(one for one in found if not f"{name}.".startswith(f"{one}."))
    return out


def floor_of(name: str) -> int:
    """How high a module stands: the ground, then the rooms in their order; the package itself stands on top."""
    parts = name.split(".")
    if name in ("viz", "viz.__main__"):
        return len(ROOMS) + 1
    return ROOMS.index(parts[1]) + 1 if parts[1] in ROOMS else GROUND


def test_arrows_point_downward() -> None:
    # The package's own file holds the version, and offers everything by name when it is asked for.
    up = [
        f"{name} -> {used}"
        for name, found in imports().items()
        for used in found
        if used != "viz" and floor_of(used) > floor_of(name)
    ]
    assert not up, "\n".join(up)


def test_no_circle() -> None:
    graph = {name: set(found - {"viz"}) for name, found in imports().items()}
    # What imports nothing, or is imported by nothing, is in no circle; what is left when all of that is gone, is.
    while gone := {n for n, found in graph.items() if not found} | (graph.keys() - set().union(*graph.values())):
        graph = {name: found - gone for name, found in graph.items() if name not in gone}
    assert not graph, "\n".join(f"{name} -> {', '.join(sorted(found))}" for name, found in graph.items())


def test_families_keep_to_their_rooms() -> None:
    named = []
    for path in sorted((ROOT / "viz").rglob("*")):
        room = path.relative_to(ROOT / "viz").parts[0]
        if room in ("families", "models") or path.suffix not in (".py", ".js", ".html", ".css"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if NAMES.search(line):
                named.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not named, "\n".join(named)
