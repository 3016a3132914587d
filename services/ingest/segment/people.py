"""Whom does an item speak of? Pure: its ids as identifiers of ours.

userId is the `account`, anonymousId the `cookie`. What an app says of its device is a `device` only where it has a push
token: that is what the platform can reach a device by, and the other ids of a device (`id`, `advertisingId`) say no
more than the anonymousId does. An alias joins its previousId, as a cookie, to its userId. The email and the phone among
the traits of an identify call lead to people, so they are identifiers where a server says them, and never where
anybody's browser does.
"""

from __future__ import annotations

from typing import Final

from services.ingest.envelope import IDENTIFIER_LENGTH_MAX
from services.ingest.refusals import MISSING_USER_ID, Reject
from services.ingest.segment.context import Context
from services.ingest.segment.items import Item
from services.ingest.segment.objects import members, text_in

_CONTACTS: Final = ("email", "phone")


def identifiers_of(call: str, item: Item, context: Context) -> dict[str, str]:
    """Reject for an item that speaks of nobody."""
    found: dict[str, str] = {}
    account, cookie = item.user_id, item.previous_id if call == "alias" else item.anonymous_id
    if account is not None and (named := str(account).strip()):
        found["account"] = named
    if cookie is not None and (named := str(cookie).strip()):
        found["cookie"] = named
    if not found:
        raise Reject(MISSING_USER_ID, "/userId", "An item has a userId or an anonymousId, or both.")
    if "device" in context.held and (token := text_in(members(context.held["device"]), "token")):
        found["device"] = token
    return found


def contacts_in(traits: bytes) -> dict[str, str]:
    """What leads to a person among the traits of an identify call."""
    held = members(traits)
    said = {name: (text_in(held, name) or "").strip() for name in _CONTACTS if name in held}
    # A trait may be anything; what is no contact point must not cost the item.
    return {name: value for name, value in said.items() if 0 < len(value) <= IDENTIFIER_LENGTH_MAX}
