"""What has every shape in common, and which words stand in several of them?"""

from __future__ import annotations

from msgspec import Raw, Struct

HOPS_MAX = 3
EMPTY = Raw(b"{}")

ERASED = "profile.erased"
"""The type of the last resolved event of a customer: whoever keeps anything of them forgets it."""

ERASED_VERSION = 1 << 62
"""A version of a profile that nothing overtakes: what a reader of `profile.updated` keeps of an erased customer."""

IDENTIFIER_TYPES = ("customer_id", "account", "loyalty_card", "phone", "email", "device", "cookie")
"""The types that ship, strongest first; `partner:<name>` stands between email and device."""

CHANNELS_OF_CONTACT = ("email", "sms", "push", "webhook", "call")


class Fact(Struct, frozen=True, omit_defaults=True, gc=False):
    """The root of all shapes: immutable, and defaults are not written.

    Facts hold no cycles, so the collector need not look at them: there are many, and some live long in caches.
    """
