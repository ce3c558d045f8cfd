"""Accepted host names and origins: protection against DNS rebinding and cross-site requests."""

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
    """A lower-case host name or a normalized IP address without brackets, and the port, if one is given."""

    host: str
    port: int | None


def address_of(text: str) -> Address | None:
    """Return the address in a Host header or an authority such as ``[::1]:7860``, or None if it is not valid."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text or "@" in text or text.endswith(":"):
        return None
    ip = _ip(host)
    if ip is None and not _NAME.fullmatch(host):
        return None
    return Address(host if ip is None else str(ip), port)


def origin_of(text: str) -> Address | None:
    """Return the address of an Origin header, with the default port of its scheme; None for ``null`` and others."""
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
    """Who may send requests.

    Attributes:
        hosts: accepted host names, in addition to the loopback names and the address that the visitor reached.
        frames: origins whose pages may embed this one in a frame, such as a notebook's.
    """

    hosts: frozenset[str] = frozenset()
    frames: tuple[str, ...] = ()

    @classmethod
    def of(cls, hosts: Iterable[str] = (), frames: Iterable[str] = ()) -> Access:
        """Check names and origins.

        Raises:
            VizError: a text that is not a host name, or not an origin.
        """
        names = set()
        for text in hosts:
            found = address_of(text.lower())
            if found is None or found.port is not None:
                raise VizError(f"{text!r} is not a host name; give a name such as viz.example.org, without a port.")
            names.add(found.host)
        for text in frames:
            if origin_of(text.lower()) is None:
                raise VizError(f"{text!r} is not an origin; give one such as https://notebook.example.org.")
        return cls(frozenset(names), tuple(t.lower() for t in frames))

    def answers_to(self, host: str, reached: str | None) -> bool:
        """Whether a Host header names this page.

        Args:
            host: the header. reached: the local address at which the request came in.
        """
        found = address_of(host.lower())
        if found is None:
            return False
        if found.host == "localhost" or found.host in self.hosts:
            return True
        literal, own = _ip(found.host), _ip(reached or "")
        # Rebinding needs a name. A typed address is the one that was reached.
        return literal is not None and (literal.is_loopback or literal == own)

    def accepts(self, origin: str, host: str) -> bool:
        """Whether a page of an origin may send requests: this page itself, or a host that the operator allowed."""
        sender, target = origin_of(origin.lower()), address_of(host.lower())
        if sender is None or target is None:
            return False
        if sender.host in self.hosts:
            return True
        scheme = origin.lower().partition("://")[0]
        return sender == Address(target.host, target.port or _DEFAULT_PORTS[scheme])
