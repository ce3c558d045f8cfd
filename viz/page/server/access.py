"""Which addresses the page answers to and which sites may ask it: against DNS rebinding and foreign requests."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from viz.errors import VizError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)


@dataclass(frozen=True)
class Address:
    """Host, in small letters, without brackets and in the one form of an IP address; port, None where none is given."""

    host: str
    port: int | None


def address_of(text: str) -> Address | None:
    """The address in a Host header or an authority such as ``[::1]:7860``; None where there is none."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text or "@" in text or text.endswith(":"):
        return None
    known = _ip(host)
    if known is None and not _NAME.fullmatch(host):
        return None
    return Address(host if known is None else str(known), port)


def origin_of(text: str) -> Address | None:
    """The address of an Origin header with its port, which its scheme implies; None for ``null`` and other texts."""
    scheme, _, rest = text.partition("://")
    if scheme not in _DEFAULT_PORTS or "/" in rest:
        return None
    found = address_of(rest)
    return None if found is None else Address(found.host, found.port or _DEFAULT_PORTS[scheme])


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: names that the page answers to, beside the loopback ones and the address that a visitor has reached.
        frames: origins whose pages may show this one in a frame, such as a notebook's.
    """

    hosts: frozenset[str] = frozenset()
    frames: tuple[str, ...] = ()

    @classmethod
    def of(cls, hosts: Iterable[str] = (), frames: Iterable[str] = ()) -> Access:
        """Checked names and origins.

        Raises:
            VizError: a text that is no host name, or no origin.
        """
        names = set()
        for text in hosts:
            found = address_of(text.lower())
            if found is None or found.port is not None:
                raise VizError(f"{text!r} is not a host name; give a name such as viz.example.org, without port.")
            names.add(found.host)
        for text in frames:
            if origin_of(text.lower()) is None:
                raise VizError(f"{text!r} is not an origin; give one such as https://notebook.example.org.")
        return cls(frozenset(names), tuple(t.lower() for t in frames))

    def answers_to(self, host: str, reached: str | None) -> bool:
        """Whether a Host header names this page.

        Args:
            host: the header. reached: the own address at which the request came in.
        """
        found = address_of(host.lower())
        if found is None:
            return False
        if found.host == "localhost" or found.host in self.hosts:
            return True
        literal, own = _ip(found.host), _ip(reached or "")
        # A rebinding attack needs a name: an address that was typed is the one that was reached.
        return literal is not None and (literal.is_loopback or literal == own)

    def accepts(self, origin: str, host: str) -> bool:
        """Whether a page of an origin may ask: this page's own, or one of a name that the operator allowed."""
        asking, asked = origin_of(origin.lower()), address_of(host.lower())
        if asking is None or asked is None:
            return False
        if asking.host in self.hosts:
            return True
        scheme = origin.lower().partition("://")[0]
        return asking == Address(asked.host, asked.port or _DEFAULT_PORTS[scheme])
