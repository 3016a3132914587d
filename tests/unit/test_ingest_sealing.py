"""Does a sealed secret open where it should, and nowhere else?"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from libs.common.errors import Misconfigured
from services.ingest.refusals import Unsealable
from services.ingest.sealing import Sealer
from services.ingest.settings import IngestSettings

OLD = "an-old-secret-of-the-tests-0123456789"
NEW = "a-new-secret-of-the-tests-9876543210-x"
CONTEXT = "identity-secret/key-1"


@pytest.mark.parametrize("plain", [b"", b"\x00", b"whsec_0123456789", bytes(range(256)) * 40])
def test_what_was_sealed_opens_again(plain: bytes) -> None:
    assert Sealer([OLD]).open(Sealer([OLD]).seal(plain, CONTEXT), CONTEXT) == plain


def test_the_secret_cannot_be_read_in_what_is_kept_and_no_two_seals_are_alike() -> None:
    sealer = Sealer([OLD])
    first, second = sealer.seal(b"whsec_0123456789", CONTEXT), sealer.seal(b"whsec_0123456789", CONTEXT)
    assert b"whsec" not in first and first != second


def test_it_opens_for_nothing_else_than_it_was_sealed_for() -> None:
    sealed = Sealer([OLD]).seal(b"secret", CONTEXT)
    with pytest.raises(Unsealable):
        Sealer([OLD]).open(sealed, "identity-secret/key-2")


def test_a_new_secret_seals_while_the_old_one_still_opens() -> None:
    old = Sealer([OLD]).seal(b"secret", CONTEXT)
    both = Sealer([NEW, OLD])
    assert both.open(old, CONTEXT) == b"secret"
    assert Sealer([NEW]).open(both.seal(b"secret", CONTEXT), CONTEXT) == b"secret"
    with pytest.raises(Unsealable):
        Sealer([NEW]).open(old, CONTEXT)


def test_a_changed_byte_anywhere_opens_nothing() -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(b"secret", CONTEXT)
    for place in range(len(sealed)):
        damaged = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(Unsealable):
            sealer.open(damaged, CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 12, 28])
def test_what_is_too_short_to_be_sealed_is_said_to_be_no_sealed_secret(length: int) -> None:
    with pytest.raises(Unsealable, match="no sealed secret"):
        Sealer([OLD]).open(Sealer([OLD]).seal(b"", CONTEXT)[:length], CONTEXT)


def test_without_any_secret_nothing_starts() -> None:
    with pytest.raises(Misconfigured):
        Sealer([])


def settings(**given: Any) -> IngestSettings:
    return IngestSettings(database_url="postgresql://nowhere/x", token_secret=SecretStr(OLD), **given)


def test_the_secret_of_the_settings_seals_and_the_token_secret_stands_in_for_it() -> None:
    assert settings().sealing_secrets == (OLD,)
    chosen = settings(sealing_secret=SecretStr(NEW), sealing_secrets_previous=SecretStr("a , b,"))
    assert chosen.sealing_secrets == (NEW, OLD, "a", "b")


def test_a_weak_sealing_secret_is_refused() -> None:
    with pytest.raises(ValidationError):
        settings(sealing_secret=SecretStr("short"))
