"""What stands for a code of a product or a branch, and what does that add to events? A copy in memory; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

PRODUCTS_MAX: Final = 200_000
"""That many are kept in memory by every process; half of them take some forty megabytes."""

CODE_LENGTH_MAX: Final = 200
ITEMS_LOOKED_AT_MAX: Final = 1_000


class Product(Struct, frozen=True, gc=False, array_like=True):
    """`category` is the path in the tree, from the root, with slashes; `margin` the share of the price, if known."""

    category: str = ""
    brand: str = ""
    margin: float | None = None

    def absent_from(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """What it adds to an item of an event."""
        found: dict[str, Any] = {}
        if self.category and item.get("category") is None:
            found["category"] = self.category
        if self.brand and item.get("brand") is None:
            found["brand"] = self.brand
        if self.margin is not None and item.get("margin") is None:
            found["margin"] = self.margin
        return found


class Branch(Struct, frozen=True, gc=False, array_like=True):
    """Any place of the organisation; `region` is the code of the region that it lies in, or is."""

    kind: str = "branch"
    parent: str = ""
    region: str = ""


class Context(Struct, gc=False, array_like=True, omit_defaults=True):
    """What the catalogue adds to an event; it is kept beside the event, so that a refold adds the same.

    `region` is of the event's branch. `fields` belong to the data itself, `items` to the places of its list.
    """

    region: str = ""
    fields: dict[str, Any] = {}
    items: dict[int, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.region or self.fields or self.items)

    def added_to(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """An event's data with what was added; the data itself stays as it is."""
        whole = {**data, **self.fields}
        held = whole.get("items")
        if self.items and isinstance(held, list):
            whole["items"] = [
                {**item, **self.items[at]} if at in self.items and isinstance(item, dict) else item
                for at, item in enumerate(held)
            ]
        return whole


Unknown = tuple[str, str]
"""The kind and the code of something that an event names and nobody has told us of."""


class Catalogue:
    """All of it as of one number; the parts are changed by the one who watches, between two batches."""

    def __init__(self) -> None:
        self.number = 0
        self.products: dict[str, Product] = {}
        self.places: dict[str, Branch] = {}
        self.staff: set[str] = set()

    def look_up(self, branch: str, data: Mapping[str, Any], unknown: list[Unknown]) -> Context:
        """Events say what they know themselves: only what is absent is added. `unknown` is added to."""
        found = Context()
        if branch:
            place = self.places.get(branch)
            if place is None:
                unknown.append(("place", branch[:CODE_LENGTH_MAX]))
            else:
                found.region = place.region
        if "product" in data:
            found.fields = self._facts_of(data, unknown)
        items = data.get("items")
        if isinstance(items, list):
            for at, item in enumerate(items[:ITEMS_LOOKED_AT_MAX]):
                if isinstance(item, dict) and (added := self._facts_of(item, unknown)):
                    found.items[at] = added
        return found

    def _facts_of(self, item: Mapping[str, Any], unknown: list[Unknown]) -> dict[str, Any]:
        code = item.get("product")
        if type(code) is int:
            code = str(code)
        if type(code) is not str or not code:
            return {}
        product = self.products.get(code)
        if product is None:
            unknown.append(("product", code[:CODE_LENGTH_MAX]))
            return {}
        return product.absent_from(item)

    def knows(self, kind: str, code: str) -> bool:
        if kind == "product":
            return code in self.products
        return code in self.places if kind == "place" else code in self.staff

    def settle_regions(self) -> None:
        """Say of every place in which region it lies; call it when places have changed."""
        for code, place in self.places.items():
            region = next((above for above, each in self._upwards(code) if each.kind == "region"), "")
            self.places[code] = Branch(place.kind, place.parent, region)

    def _upwards(self, code: str) -> Iterator[tuple[str, Branch]]:
        seen: set[str] = set()
        while code in self.places and code not in seen:
            seen.add(code)
            yield code, self.places[code]
            code = self.places[code].parent
