"""When are two identifiers the same? One written form for each; what was sent stays as it was in the event."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_CLEAN_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_SEPARATORS = str.maketrans("", "", " -.()\t")


def normalised(identifiers: Mapping[str, str], region: str) -> dict[str, str]:
    """Identifiers by type in the form that is compared; what is empty after that is left out.

    Phones are E.164 (numbers without a country code belong to `region`, ISO 3166), e-mail addresses are lower case in
    NFC, anything else is stripped of the blanks around it. A phone that is no valid number is kept as it came: it
    still tells two people apart, though nobody can be called by it.
    """
    forms = {kind: _FORMS.get(kind, _plain)(value, region) for kind, value in identifiers.items()}
    return {kind: form for kind, form in forms.items() if form}


def _plain(value: str, region: str) -> str:
    del region
    return value.strip()


def email(value: str, region: str = "") -> str:
    del region
    return unicodedata.normalize("NFC", value.strip()).lower()


def phone(value: str, region: str) -> str:
    """E.164 where the number is possible; the fast path takes nineteen numbers of twenty."""
    squeezed = value.translate(_SEPARATORS)
    if _CLEAN_PHONE.fullmatch(squeezed):
        return squeezed
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return value.strip()
    if not phonenumbers.is_possible_number(number):
        return value.strip()
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_phone(value: str) -> bool:
    return _CLEAN_PHONE.fullmatch(value) is not None


_FORMS = {"phone": phone, "email": email}
