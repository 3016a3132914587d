"""What must hold in what is defined of identity, consent, points and quality? What is wrong, place by place; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from libs.common.errors import Fault
from libs.common.events import CHANNELS_OF_CONTACT
from services.profile.identity.rules import PARTNER, IdentifierType, IdentityRules
from services.profile.person.consent_terms import MARKETING, ConsentTerms, Level
from services.profile.person.definition_checks import escaped, of_currency
from services.profile.person.points_terms import EarnRule, PointsTerms
from services.profile.person.quality_terms import QualityTerms

LIMIT_MAX: Final = 1_000
_PARTNER: Final = re.compile(rf"{PARTNER}:[a-z0-9][a-z0-9_.-]{{0,49}}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def identity(terms: IdentityRules) -> Iterator[Fault]:
    """What has kept people apart goes on doing so, and known identifiers are found as they were learned."""
    shipped = {each.type: each for each in IdentityRules().types}
    named = [each.type for each in terms.types]
    if [name for name in named if name in shipped] != list(shipped):
        yield Fault("/types", f"must have each of these once, in the order of their strength: {', '.join(shipped)}")
    for at, each in enumerate(terms.types):
        here = f"/types/{at}"
        if each.type not in shipped and not _PARTNER.fullmatch(each.type):
            yield Fault(f"{here}/type", "must be a type of identifier, or partner:<name> in small letters")
        if each.type not in shipped and each.type in named[:at]:
            yield Fault(f"{here}/type", f"{each.type!r} stands in the table already")
        yield from _held(here, each, shipped.get(each.type, shipped[PARTNER]))


def _held(here: str, each: IdentifierType, shipped: IdentifierType) -> Iterator[Fault]:
    for name in ("unique", "session", "ignored"):
        if (value := getattr(shipped, name)) != getattr(each, name):
            yield Fault(f"{here}/{name}", f"must stay {value!r}: people are known by this type as it is")
    if shipped.shared and not each.shared:
        yield Fault(f"{here}/shared", "must stay True: what several people share would join them")
    most = 1 if shipped.unique else LIMIT_MAX
    if not 1 <= each.limit <= most:
        yield Fault(f"{here}/limit", f"must lie between 1 and {most}" if most > 1 else "must be 1: nobody has two")


def consents(terms: ConsentTerms) -> Iterator[Fault]:
    marketing = terms.purposes.get(MARKETING)
    if marketing is None:
        yield Fault("/purposes", f"must say what {MARKETING} is: consents that name no purpose are for that")
    elif marketing.needs_marketing or marketing.falls_with_marketing:
        yield Fault(
            f"/purposes/{MARKETING}",
            "cannot follow from itself: neither needs_marketing nor falls_with_marketing may be true",
        )
    for name, purpose in terms.purposes.items():
        if purpose.needs_marketing and not purpose.falls_with_marketing:
            yield Fault(f"/purposes/{name}/falls_with_marketing", "must be true of what needs marketing")
    for channel in terms.double_opt_in:
        if channel not in CHANNELS_OF_CONTACT:
            yield Fault(f"/double_opt_in/{escaped(channel)}", f"is no channel: {', '.join(CHANNELS_OF_CONTACT)}")
    yield from _places(terms)
    yield from _duties(terms)
    yield from _levels(terms.levels)


def _places(terms: ConsentTerms) -> Iterator[Fault]:
    if terms.jurisdiction not in terms.duties:
        yield Fault("/jurisdiction", "must be one of those whose duties are defined")
    for part, found in (("jurisdictions", terms.jurisdictions), ("zones", terms.zones)):
        for name, place in found.items():
            if place not in terms.duties:
                yield Fault(f"/{part}/{escaped(name)}", f"{place!r} has no duties that are defined")
    for country in terms.jurisdictions:
        if not _COUNTRY.fullmatch(country):
            yield Fault(f"/jurisdictions/{escaped(country)}", "must be a country as two capital letters, such as FR")


def _duties(terms: ConsentTerms) -> Iterator[Fault]:
    for name, duties in terms.duties.items():
        if duties.reconfirm_years and duties.reconfirm_start_days > duties.reconfirm_years * 365:
            yield Fault(f"/duties/{escaped(name)}/reconfirm_start_days", "must not be more than reconfirm_years have")


def _levels(levels: Sequence[Level]) -> Iterator[Fault]:
    names = [each.name for each in levels]
    for at, level in enumerate(levels):
        if level.name in names[:at]:
            yield Fault(f"/levels/{at}/name", f"{level.name!r} stands on the ladder already")
        if any(_asks_no_more(above, level) for above in levels[:at]):
            yield Fault(f"/levels/{at}", "is nobody's: whoever meets it meets one above it as well")
    last = levels[-1]
    if last.acquainted or last.purchases or last.channels:
        yield Fault(f"/levels/{len(levels) - 1}", "must ask for nothing: everybody is on some rung")


def _asks_no_more(above: Level, level: Level) -> bool:
    """Whoever has bought is acquainted."""
    acquainted = not above.acquainted or level.acquainted or level.purchases > 0
    return acquainted and above.purchases <= level.purchases and above.channels <= level.channels


def points(terms: PointsTerms) -> Iterator[Fault]:
    for at, rule in enumerate(terms.earn):
        here = f"/earn/{at}"
        if not rule.business_unit.strip():
            yield Fault(f"{here}/business_unit", "must name the business unit that gives the points")
        yield from of_currency(f"{here}/currency", rule.currency)
        for name in ("branches", "channels", "sources"):
            for place, text in enumerate(getattr(rule, name)):
                if not text.strip():
                    yield Fault(f"{here}/{name}/{place}", "must not be empty")
        for earlier, above in enumerate(terms.earn[:at]):
            if above.currency == rule.currency and _takes_all_of(above, rule):
                yield Fault(here, f"never counts: whatever it is for is rule {earlier}'s already")
                break


def _takes_all_of(above: EarnRule, rule: EarnRule) -> bool:
    branches = not above.branches or bool(rule.branches) and set(rule.branches) <= set(above.branches)
    channels = not above.channels or bool(rule.channels) and set(rule.channels) <= set(above.channels)
    sources = not above.sources or bool(rule.sources) and all(each.startswith(above.sources) for each in rule.sources)
    return branches and channels and sources


def quality(terms: QualityTerms) -> Iterator[Fault]:
    wanted: dict[str, str] = {}
    for what, names in terms.expected.items():
        here = f"/expected/{escaped(what)}"
        if not what.strip():
            yield Fault(here, "must have a name")
        if not names:
            yield Fault(here, "must name at least one trait, else nobody is ever known")
        yield from _twice(here, what, names, wanted)


def _twice(here: str, what: str, names: Sequence[str], wanted: dict[str, str]) -> Iterator[Fault]:
    for at, name in enumerate(names):
        if not name.strip():
            yield Fault(f"{here}/{at}", "must not be empty")
        elif name in wanted:
            yield Fault(f"{here}/{at}", f"{name!r} is asked for already, under {wanted[name]!r}")
        wanted[name] = what
