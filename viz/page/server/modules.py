"""The page's own scripts: ES modules, sent as they are.

Their address holds a digest of all of them: a browser may keep them for ever, and modules of two versions never meet.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FOREVER = "public, max-age=31536000, immutable"


@cache
def modules() -> dict[str, bytes]:
    """Text of every module, by file name."""
    folder = files("viz.page").joinpath("js")
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir(), key=lambda p: p.name) if p.name.endswith(".js")}


@cache
def _digest() -> str:
    return hashlib.sha256(b"\0".join(b"\0".join(item) for item in _named())).hexdigest()[:16]


def _named() -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text) for name, text in modules().items()]


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(modules()[name], mtime=0)


def module_address(name: str) -> str:
    """Address of a module below the page's own, which may be a part of a proxy's.

    Args:
        name: without ending, such as ``numbers``.
    """
    return f"js/{_digest()}/{name}.js"


def module_links() -> str:
    """For the document's head: all modules are fetched at once, while the page is built."""
    addresses = [module_address(name.removesuffix(".js")) for name in modules()]
    return "".join(f'<link rel="modulepreload" href="{address}">' for address in addresses)


async def _answer(request: Request) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    if digest != _digest() or name not in modules():
        return Response("This page has no such script; load it again.", status_code=404, media_type="text/plain")
    headers = {"cache-control": _FOREVER, "vary": "accept-encoding"}
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(_packed(name) if packed else modules()[name], media_type="text/javascript", headers=headers)


def module_route() -> Route:
    """Where the server sends them."""
    return Route("/js/{digest}/{name}", _answer, methods=["GET"])
