"""Which rules service do files of rules go to, and as whom?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.demo.settings import access

ZONE = "Asia/Seoul"


@dataclass(frozen=True)
class Target:
    url: str
    token: str


def target(source: Mapping[str, str] | None = None) -> Target:
    """DANGOL_RULES_URL and DANGOL_TOKEN; where they are not set, the local stack and its marketer. StackFailure."""
    variables = os.environ if source is None else source
    url, token = variables.get("DANGOL_RULES_URL", ""), variables.get("DANGOL_TOKEN", "")
    if url and token:
        return Target(url.rstrip("/"), token)
    local = access()
    return Target((url or local.urls["rules"]).rstrip("/"), token or local.tokens["marketer"])


def company_zone(source: Mapping[str, str] | None = None) -> str:
    """Where days begin for customers whose zone is unknown, as the rules service is told it."""
    return (os.environ if source is None else source).get("DANGOL_COMPANY_ZONE") or ZONE
