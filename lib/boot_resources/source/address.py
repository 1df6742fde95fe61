"""URLs: what an operator may write, where a server may send us, and what may be shown.

The operator's URL is trusted to name a host. A redirect is not: it may not change the scheme, and
it may lead to a private, loopback or link-local address only where the operator's own host is at
an address of that kind itself: a mirror in a private network may send us to its neighbour, and not
to this host or to the metadata service of a cloud. Otherwise a source could use us to reach what
it cannot.
"""

import dataclasses
import ipaddress
import socket
import urllib.parse
from collections.abc import Callable, Iterable

from boot_resources import errors
from boot_resources.source import failures

INDEX = "streams/v1/index"
_SCHEMES = ("http", "https")


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a source is: its base, which ends in a slash, and the path of its index."""

    base: str = dataclasses.field(repr=False)
    index: str

    def url(self, path: str) -> str:
        """Return the URL of ``path``; nothing in a path can lead out of the base."""
        return self.base + urllib.parse.quote(path, safe="/:~+@,=")


def locate(url: str, *, signed: bool) -> Location:
    """Return where the source of ``url`` is.

    A URL that ends in ``.sjson`` or ``.json`` names the index itself, as in MAAS; the base is then
    what stands before ``streams/v1/``. Otherwise it is the base, with or without a slash.

    Raises:
        errors.SettingsError: it is not an absolute http or https URL of a directory or an index.
    """
    shown = without_credentials(url)
    cure = "write a URL such as https://images.maas.io/ephemeral-v3/stable/"
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        # Not shown: what cannot be taken apart may hold a password anywhere.
        raise errors.SettingsError("the URL of the source is not a URL", cure) from None
    if parts.scheme not in _SCHEMES or not host:
        raise errors.SettingsError(f"{shown!r} is not an http or https URL", cure)
    if parts.query or parts.fragment:
        raise errors.SettingsError(f"{shown!r} has a query or a fragment", cure)
    directory, _, last = parts.path.rpartition("/")
    if not last.endswith((".sjson", ".json")):
        index = f"{INDEX}.{'sjson' if signed else 'json'}"
        return Location(urllib.parse.urlunsplit(parts).rstrip("/") + "/", index)
    prefix = "streams/v1/" if directory.endswith("/streams/v1") else ""
    root = directory.removesuffix("/streams/v1") if prefix else directory
    base = urllib.parse.urlunsplit(parts._replace(path=f"{root}/"))
    return Location(base, urllib.parse.unquote(prefix + last))


def without_credentials(url: str) -> str:
    """Return ``url`` as it may be shown: without user name and password."""
    head, separator, rest = url.strip().partition("//")
    authority, slash, path = rest.partition("/")
    return f"{head}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def holds_password(url: str) -> bool:
    """Return whether ``url`` holds a password, even where it is no URL that can be used."""
    authority = url.strip().partition("//")[2].partition("/")[0]
    return ":" in authority.rpartition("@")[0]


def credentials(url: str) -> tuple[str, str] | None:
    """Return the user name and password that ``url`` holds, decoded, or None."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return None
    return urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")


def is_bypassed(url: str, no_proxy: Iterable[str]) -> bool:
    """Return whether ``url`` is asked for directly though there is a proxy.

    ``no_proxy`` holds host names, which also stand for what is below them, addresses, networks
    such as ``10.0.0.0/8``, or ``*``.
    """
    host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    return any(_covers(entry.strip().lower(), host) for entry in no_proxy if entry.strip())


def _covers(entry: str, host: str) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        name = entry.removeprefix("*").removeprefix(".")
        return host == name or host.endswith(f".{name}")


Resolve = Callable[[str], frozenset[str]]
"""From a host name to its addresses; empty where it has none that we can find."""


def resolve(host: str) -> frozenset[str]:
    """Return the addresses of ``host``, by this host's own resolver."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(entry[4][0]) for entry in found)


def follow(operator_url: str, url: str, target: str, resolve: Resolve = resolve) -> str:
    """Return the absolute URL that a redirect from ``url`` to ``target`` leads to.

    Args:
        operator_url: what was asked for at first.
        url: what answered.
        target: the ``Location`` it gave.
        resolve: how to find a host's addresses.

    Raises:
        failures.RedirectRefused: it leads where the operator's URL does not let it.
    """
    shown = without_credentials(url)
    try:
        there = urllib.parse.urlsplit(urllib.parse.urljoin(without_credentials(url), target))
        host, _ = there.hostname or "", there.port
    except ValueError:
        raise failures.RedirectRefused(shown, "it redirects to what is no URL") from None
    absolute = without_credentials(urllib.parse.urlunsplit(there._replace(fragment="")))
    cure = "if that is where the source is, write that URL in the settings"
    if there.scheme != urllib.parse.urlsplit(operator_url).scheme:
        what = f"it redirects to another scheme, {absolute}"
        raise failures.RedirectRefused(shown, what, cure)
    own = urllib.parse.urlsplit(operator_url).hostname or ""
    uninvited = _kinds(host, resolve) - _kinds(own, resolve)
    if uninvited:
        what = f"it redirects to a {min(uninvited)} address, {absolute}"
        raise failures.RedirectRefused(shown, what, cure)
    return absolute


def _kinds(host: str, resolve: Resolve) -> set[str]:
    """Return of which kinds the addresses of ``host`` are that are not of the public Internet."""
    found = (_reached(ipaddress.ip_address(text.partition("%")[0])) for text in resolve(host))
    return {_kind(address) for address in found if not _is_public(address)}


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LAST_IN = (
    # Obsolete, but some systems still take such an address for the one in it (RFC 4291, 2.5.5.1).
    ipaddress.IPv6Network("::/96"),
    # The well-known prefix of a translator to IPv4 (RFC 6052).
    ipaddress.IPv6Network("64:ff9b::/96"),
)
"""Where the last 32 bits of an address are the IPv4 address that it leads to."""
_LOCAL_TRANSLATION = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Leads where a network's own translator says (RFC 8215)."""


def _reached(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for; where it is none, itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.is_unspecified or address.is_loopback:
        return address
    if any(address in network for network in _LAST_IN):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # Site-local addresses are deprecated, and still private where they are used (RFC 3879).
        is_local = address.is_site_local or address in _LOCAL_TRANSLATION
        return address.is_global and not is_local
    return address.is_global


def _kind(address: _Address) -> str:
    # The unspecified address leads to this host.
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    return "link-local" if address.is_link_local else "private"
