"""What do the services tell one another? Every shape that crosses a boundary, and nothing else.

A class is a fact, named in the past tense; its topic and key stand in `topics.py`. A new optional field changes
nothing for anybody; any other change is a new class on a new topic. Instants are RFC 3339 with an offset, money is
a decimal with a currency beside it, ids are strings.
"""

from __future__ import annotations

from libs.common.events.contacts import Conditions, ContactRequested, LawfulHours, MessageSettled, ResponseReceived
from libs.common.events.customers import (
    Change,
    CommandIssued,
    Consent,
    EventIdentified,
    EventReceived,
    EventRejected,
    EventResolved,
    LinkOrdered,
    ProfileUpdated,
)
from libs.common.events.erasures import CampaignErased, NotifyErased, RulesErased
from libs.common.events.fact import CHANNELS_OF_CONTACT, EMPTY, ERASED, ERASED_VERSION, HOPS_MAX, IDENTIFIER_TYPES, Fact
from libs.common.events.triggers import ContactsCounted, Decided, GateVerdict, RuleTriggered, SegmentMoved, SwitchSet

__all__ = [
    "CHANNELS_OF_CONTACT",
    "CampaignErased",
    "Change",
    "CommandIssued",
    "Conditions",
    "Consent",
    "ContactRequested",
    "ContactsCounted",
    "Decided",
    "EMPTY",
    "ERASED",
    "ERASED_VERSION",
    "EventIdentified",
    "EventReceived",
    "EventRejected",
    "EventResolved",
    "Fact",
    "GateVerdict",
    "HOPS_MAX",
    "IDENTIFIER_TYPES",
    "LawfulHours",
    "LinkOrdered",
    "MessageSettled",
    "NotifyErased",
    "ProfileUpdated",
    "ResponseReceived",
    "RuleTriggered",
    "RulesErased",
    "SegmentMoved",
    "SwitchSet",
]
