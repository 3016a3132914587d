"""What must hold between the parts of a definition? What is wrong with one, place by place; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from libs.common.errors import Fault
from services.profile.person.duplicate_terms import DuplicateTerms
from services.profile.person.life_stage import STAGE_LENGTH_MAX
from services.profile.person.measure_terms import Grades, Lifecycle, Rfm
from services.profile.person.panes import RUN_GAP_DAYS
from services.profile.person.series import KEPT_DAYS
from services.profile.person.trait_terms import LifeStages, TraitTerms

GRADES_MAX: Final = 20
_CURRENCY = re.compile(r"[A-Z]{3}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")


def lifecycle(terms: Lifecycle) -> Iterator[Fault]:
    if terms.new_days < 1:
        yield Fault("/new_days", "must be at least 1")
    if terms.won_back_days < 1:
        yield Fault("/won_back_days", "must be at least 1")
    if terms.at_risk_days < RUN_GAP_DAYS:
        yield Fault("/at_risk_days", f"must be at least {RUN_GAP_DAYS}: shorter silences are not kept")
    if terms.new_days > terms.at_risk_days:
        yield Fault("/new_days", f"must not be more than at_risk_days, which is {terms.at_risk_days}")
    if terms.lapsed_days <= terms.at_risk_days:
        yield Fault("/lapsed_days", f"must be more than at_risk_days, which is {terms.at_risk_days}")


def duplicates(terms: DuplicateTerms) -> Iterator[Fault]:
    if not 0.5 <= terms.merge_probability <= 1:
        yield Fault("/merge_probability", "must lie between 0.5 and 1")
    if not 0 < terms.review_probability <= terms.merge_probability:
        yield Fault("/review_probability", "must be more than 0 and not more than merge_probability")


def rfm(terms: Rfm) -> Iterator[Fault]:
    if not 1 <= terms.window_days <= KEPT_DAYS:
        yield Fault("/window_days", f"must lie between 1 and {KEPT_DAYS}: sums by day are kept that long")
    yield from _ascending("/recency_days", terms.recency_days)
    yield from _ascending("/frequency", terms.frequency)
    for currency, steps in terms.monetary.items():
        yield from of_currency(f"/monetary/{escaped(currency)}", currency)
        yield from _ascending(f"/monetary/{escaped(currency)}", steps)
    for at, count in enumerate(terms.frequency):
        if count < 1:
            yield Fault(f"/frequency/{at}", "must be at least 1")


def grades(terms: Grades) -> Iterator[Fault]:
    if len(terms.ladder) > GRADES_MAX:
        yield Fault("/ladder", f"may have at most {GRADES_MAX} grades")
    names = [each.name for each in terms.ladder]
    for at, grade in enumerate(terms.ladder):
        here = f"/ladder/{at}"
        if not _NAME.fullmatch(grade.name):
            yield Fault(f"{here}/name", "must be a short name such as gold: small letters, digits, _ and -")
        if grade.name in names[:at]:
            yield Fault(f"{here}/name", f"{grade.name!r} stands on the ladder already")
        if grade.window_days < 1:
            yield Fault(f"{here}/window_days", "must be at least 1")
        if grade.window_days + grade.keeps_days > KEPT_DAYS:
            yield Fault(f"{here}/keeps_days", f"and window_days must not be more than {KEPT_DAYS} together")
        yield from _spend(f"{here}/spend_min", grade.spend_min)


def _spend(here: str, least: Mapping[str, float]) -> Iterator[Fault]:
    if not least:
        yield Fault(here, "must name an amount in at least one currency")
    for currency, amount in least.items():
        yield from of_currency(f"{here}/{escaped(currency)}", currency)
        if amount <= 0:
            yield Fault(f"{here}/{escaped(currency)}", "must be more than 0")


def life_stages(terms: LifeStages) -> Iterator[Fault]:
    for kind, declared in terms.events.items():
        here = f"/events/{escaped(kind)}"
        if not 1 <= len(declared.stage) <= STAGE_LENGTH_MAX:
            yield Fault(f"{here}/stage", f"must have 1 to {STAGE_LENGTH_MAX} characters")
        if declared.confidence is not None and not 0 <= declared.confidence <= 1:
            yield Fault(f"{here}/confidence", "must lie between 0 and 1")
    for name in ("hand", "rule", "event", "said"):
        if not 0 <= getattr(terms, name).confidence <= 1:
            yield Fault(f"/{name}/confidence", "must lie between 0 and 1")


def traits(terms: TraitTerms) -> Iterator[Fault]:
    places = {"/other": terms.other, **{f"/rules/{escaped(name)}": rule for name, rule in terms.rules.items()}}
    for here, rule in places.items():
        if rule.keep == "most_trusted" and not rule.trusted:
            yield Fault(f"{here}/trusted", "must name the sources that are trusted, such as crm or store-*")
        if rule.keep != "most_trusted" and rule.trusted:
            yield Fault(f"{here}/trusted", f"says nothing where keep is {rule.keep}")


def _ascending(here: str, steps: Sequence[float]) -> Iterator[Fault]:
    for at, (earlier, later) in enumerate(pairwise(steps), 1):
        if later <= earlier:
            yield Fault(f"{here}/{at}", f"must be more than the one before it, which is {earlier:g}")


def of_currency(here: str, currency: str) -> Iterator[Fault]:
    if not _CURRENCY.fullmatch(currency):
        yield Fault(here, "must be named by a currency as three capital letters, such as KRW")


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
