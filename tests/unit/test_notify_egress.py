"""Can no address of a customer lead a webhook into our own network?"""

from __future__ import annotations

import pytest

from libs.common import clock
from services.notify.delivery import Rejected
from services.notify.egress import Target, refusal_of, target_of
from services.notify.providers.port import Outgoing
from services.notify.providers.web import Webhook

NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "address",
    """127.0.0.1 127.9.9.9 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.0.8 198.18.0.1
    224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1 :: ::1 fe80::1 fc00::1 fd12::1 ff02::1 fec0::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1::1
    2001:0:7f00:1::1 2001:db8::1 fe80::1%eth0 nonsense""".split(),
)
def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    assert refusal_of(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_pass(address: str) -> None:
    assert not refusal_of(address)


REFUSED = [
    "http://example.org/",
    "https://example.org:8443/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://user:pass@example.org/",
    "https://example.org@127.0.0.1/",
    "https://127.0.0.1\\@example.org/",
    "https://１２７.0.0.1/",
    "https://ⓛocalhost/",
    "https://127。0。0。1/",
    "https://exa mple.org/",
    "https://example.org\r\nHost:evil/",
    "https://",
    "https:///path",
    "https://%31%32%37.0.0.1/",
    "https://example.org:99999/",
    "//example.org/",
    "javascript:alert(1)",
    "https://example.org/" + "a" * 2_000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_addresses_that_mislead_are_refused(url: str) -> None:
    assert isinstance(target_of(url, NOBODY), str)


def test_a_plain_address_passes_and_a_named_exception_too() -> None:
    assert target_of("https://hooks.example.org/a?b=c", NOBODY) == Target("hooks.example.org", 443)
    assert target_of("http://127.0.0.1:18080/webhook", frozenset({"127.0.0.1:18080"})) == Target("127.0.0.1", 18080)
    assert isinstance(target_of("http://127.0.0.1:18081/webhook", frozenset({"127.0.0.1:18080"})), str)


@pytest.mark.parametrize(
    "url",
    [*REFUSED, "https://localhost/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/"],
)
async def test_the_sender_itself_goes_nowhere_that_is_refused(url: str) -> None:
    provider = Webhook(b"s", NOBODY, demo_url="", connections_max=1, timeout_seconds=2.0)
    await provider.start()
    try:
        outgoing = Outgoing("m", "webhook", "marketing", "c", "k", url, "", "", "")
        answer = await provider.send(outgoing, clock.now())
        assert answer in (Rejected("address_forbidden"), Rejected("address_invalid", permanent=True))
    finally:
        await provider.stop()
