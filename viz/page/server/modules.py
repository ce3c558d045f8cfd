"""The page's own scripts: ES modules, sent as they are.

Their address holds a digest of all modules. A browser may cache them forever, and modules of two versions never meet.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@cache
def modules() -> dict[str, bytes]:
    """Text of every module, by file name."""
    folder = files("viz.page").joinpath("js")
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir(), key=lambda p: p.name) if p.name.endswith(".js")}


@cache
def _digest() -> str:
    named = [part for name, text in modules().items() for part in (name.encode(), text)]
    return hashlib.sha256(b"\0".join(named)).hexdigest()[:16]


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(modules()[name], mtime=0)


def module_address(name: str) -> str:
    """Address of a module, relative to the page's own, which a proxy may have moved.

    Args:
        name: without ending, such as ``numbers``.
    """
    return f"js/{_digest()}/{name}.js"


def module_links() -> str:
    """Links for the document's head, which load all modules at once while the page is built."""
    addresses = [module_address(name.removesuffix(".js")) for name in modules()]
    return "".join(f'<link rel="modulepreload" href="{address}">' for address in addresses)


async def _send(request: Request) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    if digest != _digest() or name not in modules():
        return Response("This page has no such script; load it again.", status_code=404, media_type="text/plain")
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    text = modules()[name]
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"], text = "gzip", _compressed(name)
    return Response(text, media_type="text/javascript", headers=headers)


MODULE_ROUTE = Route("/js/{digest}/{name}", _send, methods=["GET"])
