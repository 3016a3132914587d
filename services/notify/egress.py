"""May a customer's address on the web be called from in here? Pure: addresses in, the reason for refusal out."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

# Python calls some of these global: addresses that carry another one inside, and ranges shared by carriers.
_CARRIERS = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",
        "::/96",
    )
)
URL_LENGTH_MAX = 2_000
# Anything else may be turned into another name, or into an address, by whoever reads it next: IDNA makes digits of
# full-width digits.
_HOST = re.compile(r"^(?:[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45})$", re.ASCII)


class Target(NamedTuple):
    host: str
    port: int


def target_of(url: str, allowed: frozenset[str]) -> Target | str:
    """Where the address leads, or why it is refused. `allowed` names host:port pairs that are exempt."""
    if len(url) > URL_LENGTH_MAX or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        return "the address is too long or has characters that no address has"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "the address cannot be read"
    if reason := _fault_of(parts, host):
        return reason
    target = Target(host, port or (443 if parts.scheme == "https" else 80))
    if f"{target.host}:{target.port}" in allowed:
        return target
    if parts.scheme != "https" or target.port != 443:
        return "only https on port 443 is called"
    literal = _literal(host)
    reason = refusal_of(literal) if literal is not None else ""
    return reason or target


def _fault_of(parts: SplitResult, host: str) -> str:
    if parts.scheme not in ("https", "http") or not host:
        return "the address does not begin with https://"
    if "@" in parts.netloc or "\\" in parts.geturl():
        return "the address carries a name or a password before its host"
    if not _HOST.match(host):
        return "the host is not written in plain letters and digits; write an international name in its xn-- form"
    return ""


def refusal_of(address: str) -> str:
    """Empty for an address of the public internet."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if not found.is_global or found.is_multicast or found.is_reserved or found.is_unspecified:
        return "the address is not of the public internet"
    if any(_inside(found, network) for network in _CARRIERS):
        return "the address can stand for one that is not of the public internet"
    return ""


def _inside(address: IPv4Address | IPv6Address, network: object) -> bool:
    return getattr(network, "version", 0) == address.version and address in network  # type: ignore[operator]


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None
