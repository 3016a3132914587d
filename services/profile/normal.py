"""When are two identifiers, or two names, the same? One written form for each; what was sent stays as it was.

Each form is a fixed point: what is in it stays as it is when it is looked at again.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import idna

from services.profile.identity.rules import IdentityRules, Table

SHIPPED: Final = Table(IdentityRules())
_CLEAN_PHONE: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_SEPARATORS: Final = str.maketrans("", "", " -.()/\t\u00a0\u2010\u2011\u2012\u2013")
_PHONES_KEPT_MAX: Final = 50_000


def normalised(identifiers: Mapping[str, str], region: str, table: Table = SHIPPED) -> dict[str, str]:
    """Identifiers by type in the form that is compared; what is empty after that is left out.

    Phones are E.164 (numbers without a country code belong to `region`, ISO 3166), e-mail addresses are lower case
    with the domain as the name system writes it; of other types the characters are dropped that the table ignores. A
    phone that is no possible number is kept as it came: it still tells two people apart, though nobody can be called
    by it.
    """
    forms = {}
    for kind, value in identifiers.items():
        if kind == "phone":
            form = phone(value, region)
        elif kind == "email":
            form = email(value)
        else:
            form = _plain(value, table.ignored.get(kind))
        if form:
            forms[kind] = form
    return forms


def _plain(value: str, ignored: dict[int, int | None] | None) -> str:
    if ignored is None:
        return _composed(value)
    if not value.isascii():
        # Full-width digits are what an input method makes of the same card.
        value = unicodedata.normalize("NFKC", value)
        return unicodedata.normalize("NFC", value.translate(ignored)).strip()
    return value.translate(ignored).strip()


def _composed(value: str) -> str:
    return value.strip() if value.isascii() else unicodedata.normalize("NFC", value.strip())


def name(value: str) -> str:
    """A name as it is compared and shown: in NFC, with single blanks."""
    return unicodedata.normalize("NFC", " ".join(value.split()))


def email(value: str) -> str:
    """Lower case, without blanks around it and dots behind it; what a provider makes of dots and tags is its affair."""
    plain = _composed(value).lower()
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain)
    local, at, domain = plain.rpartition("@")
    if not at:
        return plain
    return f"{local.strip()}@{_domain(domain.strip().rstrip('.').strip())}"


def _domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode().rstrip(".")
    except (idna.IDNAError, UnicodeError):
        return domain


def phone(value: str, region: str) -> str:
    """E.164 where the number is possible; clean numbers of the region itself take a fast path."""
    squeezed = value.replace("(0)", "").translate(_SEPARATORS)
    code, clean = _clean_of(region)
    if squeezed.startswith(f"00{code}"):
        squeezed = squeezed[1:].replace("0", "+", 1)
    if clean.fullmatch(squeezed):
        return squeezed
    return _parsed(squeezed, region) or _composed(value)


@lru_cache(maxsize=300)
def _clean_of(region: str) -> tuple[str, re.Pattern[str]]:
    """The region's country code, and what its numbers in E.164 look like: a trunk 0 is none of theirs."""
    import phonenumbers

    code = str(phonenumbers.country_code_for_region(region))
    return code, re.compile(rf"\+{code}[1-9][0-9]{{6,11}}")


@lru_cache(maxsize=_PHONES_KEPT_MAX)
def _parsed(squeezed: str, region: str) -> str:
    """Empty where it is no possible number, or none that is read again as what it was written as."""
    import phonenumbers

    found = squeezed
    for _ in range(2):
        try:
            number = phonenumbers.parse(found, region)
        except phonenumbers.NumberParseException:
            return ""
        if not phonenumbers.is_possible_number(number):
            return ""
        before, found = found, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return found if before == found else ""


def is_phone(value: str) -> bool:
    return _CLEAN_PHONE.fullmatch(value) is not None


def record_id_in(value: str) -> str:
    """The id in its usual form, when a text can be the id of one of our records; else nothing."""
    if len(value) != 36:
        return ""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        return ""
