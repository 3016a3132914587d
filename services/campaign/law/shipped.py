"""Which rows ship? What the law of Korea, of the European Union and of the United States asks of advertising.

A reading for machines and no legal advice; each row names its source, and a company may put its own in its place.
The product asks for consent by every channel besides, of service messages too, and its quiet hours are stricter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_DISTURBING = ["sms", "push", "webhook", "call"]
"""All but e-mail; a webhook may end in a messenger."""

SHIPPED: Final[Sequence[Mapping[str, Any]]] = (
    {
        "id": "kr.ad.consent",
        "source": "Korea, Network Act Art. 50(1) and (8), Decree 62-3: explicit consent by the medium, to be confirmed "
        "anew every two years, before the same day of the calendar. The exception for deals ended within six months is "
        "left out, which is stricter.",
        "where": ["KR"],
        "consent": {"scope": "marketing", "months_max": 24},
    },
    {
        "id": "kr.ad.night",
        "source": "Korea, Network Act Art. 50(3), Decree 61(2): between 21:00 and 08:00 only with a consent of its "
        "own; e-mail alone is exempt.",
        "where": ["KR"],
        "channels": _DISTURBING,
        "hours": {"open": {"mon-sun": ["08:00-21:00"]}, "unless": {"scope": "night", "months_max": 24}},
    },
    {
        "id": "eu.ad.consent",
        "source": "European Union, ePrivacy Directive Art. 13(1) with GDPR Art. 7 and 21: consent before. The soft "
        "opt-in of Art. 13(2) is left out, which is stricter; hours are a matter of each country.",
        "where": ["EU"],
        "consent": {"scope": "marketing"},
    },
    {
        "id": "us.ad.consent",
        "source": "United States, TCPA with 47 CFR 64.1200(a): express written consent before automated calls "
        "and texts.",
        "where": ["US"],
        "channels": ["sms", "call"],
        "consent": {"scope": "marketing"},
    },
    {
        "id": "us.ad.hours",
        "source": "United States, 47 CFR 64.1200(c)(1): no solicitation before 8 a.m. or after 9 p.m., local time of "
        "the called party; texts count as calls.",
        "where": ["US"],
        "channels": ["sms", "call"],
        "hours": {"open": {"mon-sun": ["08:00-21:00"]}},
    },
    {
        "id": "us-tx.ad.hours",
        "source": "Texas, SB 140 of 2025: Monday to Saturday from 9 a.m. to 9 p.m., Sunday from noon to 9 p.m.; texts "
        "count.",
        "where": ["US-TX"],
        "channels": ["sms", "call"],
        "hours": {"open": {"mon-sat": ["09:00-21:00"], "sun": ["12:00-21:00"]}},
    },
    {
        "id": "us-fl.ad.hours",
        "source": "Florida, Telephone Solicitation Act: 8 a.m. to 8 p.m.",
        "where": ["US-FL"],
        "channels": ["sms", "call"],
        "hours": {"open": {"mon-sun": ["08:00-20:00"]}},
    },
    {
        "id": "us-fl.ad.cap",
        "source": "Florida, Telephone Solicitation Act: three in 24 hours.",
        "where": ["US-FL"],
        "channels": ["sms", "call"],
        "cap": {"times": 3, "per": "24h"},
    },
)
