"""What does an identifier of each type say of a person? A table that its owners may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

PARTNER = "partner"
CARD_SEPARATORS = " -."


class IdentifierType(Struct, frozen=True):
    """One type of identifier.

    unique    nobody has two values of it: people with different ones are never made one
    shared    several people may have one value (a family's telephone): where it is seen with people who must stay
              apart, that value joins nobody any more; a value of another type is then taken for a mistake
    session   names a browser or a device: never joins two people of whom anything stronger is known
    limit     so many values of a person join; one that comes on top is noted and joins nobody
    ignored   characters that do not count when two values are compared
    """

    type: str
    unique: bool = False
    shared: bool = False
    session: bool = False
    limit: int = 20
    ignored: str = ""


class IdentityRules(Struct, frozen=True):
    """`types` are in the order of their strength; `partner` stands for each `partner:<name>` that is not named itself.

    A type that is not in the table is the weakest, and otherwise like a partner's. What is `ignored` takes effect on
    identifiers that are met from then on: those that are known keep the form in which they were learned.
    """

    types: tuple[IdentifierType, ...] = (
        IdentifierType("customer_id", unique=True, limit=1),
        IdentifierType("account", unique=True, limit=1),
        IdentifierType("loyalty_card", ignored=CARD_SEPARATORS),
        IdentifierType("phone", shared=True, limit=10),
        IdentifierType("email"),
        IdentifierType(PARTNER, limit=10),
        IdentifierType("device", session=True, limit=50),
        IdentifierType("cookie", session=True, limit=50),
    )


def kind_of(key: str) -> str:
    """The type of a key `<type>:<value>`; the type of a partner's has a colon of its own."""
    head, _, rest = key.partition(":")
    return head if head != PARTNER else f"{head}:{rest.partition(':')[0]}"


class Table:
    """The rules, looked into by type."""

    __slots__ = ("_known", "_partner", "_rank", "ignored", "rules", "sessions", "uniques")

    def __init__(self, rules: IdentityRules) -> None:
        self.rules = rules
        self._known = {each.type: each for each in rules.types}
        self._rank = {each.type: at for at, each in enumerate(rules.types)}
        self._partner = self._known.get(PARTNER, IdentifierType(PARTNER))
        self.uniques = frozenset(each.type for each in rules.types if each.unique)
        self.sessions = frozenset(each.type for each in rules.types if each.session)
        self.ignored = {each.type: str.maketrans("", "", each.ignored) for each in rules.types if each.ignored}

    def of(self, kind: str) -> IdentifierType:
        return self._known.get(kind, self._partner)

    def is_session(self, key: str) -> bool:
        return kind_of(key) in self.sessions

    def uniques_of(self, keys: Iterable[str]) -> dict[str, str]:
        """The keys of types that nobody has two of, by type."""
        return {kind: key for key in keys if (kind := kind_of(key)) in self.uniques}

    def keys_of(self, identifiers: Mapping[str, str]) -> list[str]:
        """`<type>:<value>`, strongest first."""
        if len(identifiers) == 1:
            return [f"{kind}:{value}" for kind, value in identifiers.items()]
        return [f"{kind}:{identifiers[kind]}" for kind in sorted(identifiers, key=self._strength)]

    def _strength(self, kind: str) -> tuple[int, str]:
        rank = self._rank.get(kind)
        if rank is None:
            rank = self._rank.get(kind.partition(":")[0], len(self._rank))
        return rank, kind
