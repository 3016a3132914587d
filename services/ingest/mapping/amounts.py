"""Which decimal is meant by what somebody wrote for an amount? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any, Final

DIGITS_MAX: Final = 15
DECIMALS_MAX: Final = 9

# ISO 4217:2015, list one, as published by SIX: the currencies whose minor unit is not a hundredth.
EXPONENTS: Final = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(),
        0,
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
EXPONENT_OF_MOST: Final = 2

_CURRENCY = re.compile(r"[A-Za-z]{3}\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?\Z", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,40}\Z", re.ASCII)
_EXACT = Context(prec=100)


def decimal_of(written: Any, grouping: str = "") -> Decimal:
    """A number or a text such as "1234.50"; ValueError says why not. `grouping` is what stands between thousands.

    A point divides the fraction off, always: whether "1,234" is a thousand or a bit more than one nobody can tell.
    """
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError(f"{_shown(written)} is neither a number nor a text")
    if isinstance(written, float):
        # The shortest text that reads as the same number is what stood in the document.
        text = format(Decimal(repr(written)), "f")
    elif isinstance(written, int):
        text = str(written) if abs(written) < 10**40 else "?"
    else:
        text = written.strip()
        if grouping:
            text = text.replace(grouping, "")
    if not _DECIMAL.match(text):
        raise ValueError(f'{_shown(written)} is no amount such as "1234.50"')
    return Decimal(text)


def canonical(amount: Decimal) -> str:
    """One way of writing for each amount: no exponent, no zeros that say nothing; ValueError for what is too long."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole) > DIGITS_MAX or len(fraction) > DECIMALS_MAX:
        raise ValueError(f"an amount has at most {DIGITS_MAX} digits before the point and {DECIMALS_MAX} after it")
    return "0" if text in ("-0", "") else text


def major_of(minor: Any, currency: Any) -> Decimal:
    """Minor units, such as cents, as the amount in the currency itself."""
    text = minor if isinstance(minor, str) else str(minor) if _is_small_integer(minor) else ""
    if not _INTEGER.match(text):
        raise ValueError(f"{_shown(minor)} is no whole number of minor units")
    if not isinstance(currency, str) or not _CURRENCY.match(currency):
        raise ValueError(f"{_shown(currency)} is no currency such as USD")
    return Decimal(text).scaleb(-EXPONENTS.get(currency.upper(), EXPONENT_OF_MOST), _EXACT)


def total_of(amounts: Iterable[Any]) -> Decimal:
    total = Decimal(0)
    for each in amounts:
        total = _EXACT.add(total, decimal_of(each))
    return total


def _is_small_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    return {dict: "an object", list: "a list", bool: "a truth value"}.get(type(value), "it")
