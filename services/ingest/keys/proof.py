"""Who is logged in at a site, in the word of its server? A token that the server signs and the browser carries.

It is a JWT (HS256) signed with the identity secret of the site's browser key: `aud` is the id of that key, `sub` the
account, `exp` at most a day ahead; `email`, `phone`, `loyalty_card` and `customer_id` may stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from libs.common import clock
from libs.common.errors import Unauthenticated
from services.ingest.envelope import IDENTIFIER_LENGTH_MAX
from services.ingest.keys.book import Proof, WriteKey

ALGORITHM: Final = "HS256"
LIFETIME_MAX: Final = timedelta(hours=24)
TOKEN_LENGTH_MAX: Final = 4_096
CLAIMED: Final = ("email", "phone", "loyalty_card", "customer_id")

_LEEWAY_SECONDS: Final = 60
"""By how much the clocks of two servers may differ."""
_REMEMBERED_MAX: Final = 10_000


def proven(key: WriteKey, token: str | bytes, now: datetime) -> Mapping[str, str]:
    """Identifiers by type that this token proves; Unauthenticated with the reason when it proves none.

    A token is verified once and remembered with its key until it expires or the key's rights change.
    """
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    known = key.proofs.get(text)
    if known is None:
        known = _verified(key, text, now)
        if len(key.proofs) >= _REMEMBERED_MAX:
            key.proofs.clear()
        key.proofs[text] = known
    if known.expires_at <= now:
        raise Unauthenticated("The identity token has expired; have your server sign a new one.")
    return known.identifiers


def _verified(key: WriteKey, token: str, now: datetime) -> Proof:
    if not key.identity_secrets:
        remedy = f"make one by POST /v1/keys/{key.key_id}/identity-secret"
        raise Unauthenticated(f"The key has no identity secret to verify tokens with; {remedy}.")
    claims = _claims(key, token)
    audience = claims.get("aud")
    if key.key_id not in (audience if isinstance(audience, list) else [audience]):
        raise Unauthenticated(f"The identity token was not made for this key; its aud has to be {key.key_id}.")
    expires_at = _expiry(claims, clock.to_ms(now) // 1000)
    subject = claims.get("sub")
    if not _is_identifier(subject):
        raise Unauthenticated("The identity token has no sub, which names the account that is logged in.")
    identifiers = {"account": subject}
    for name in CLAIMED:
        value = claims.get(name)
        if value is None:
            continue
        if not _is_identifier(value):
            detail = f"{name} in the identity token is not a text of 1 to {IDENTIFIER_LENGTH_MAX} characters."
            raise Unauthenticated(detail)
        identifiers[name] = value
    return Proof(identifiers, expires_at)


def _claims(key: WriteKey, token: str) -> dict[str, Any]:
    if len(token) > TOKEN_LENGTH_MAX:
        raise Unauthenticated(f"The identity token is longer than {TOKEN_LENGTH_MAX} characters.")
    for secret in key.identity_secrets:
        try:
            return jwt.decode(token, OctKey.import_key(secret), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, RecursionError):
            # The secret that it replaced may fit. Which step failed is nobody's business.
            continue
    raise Unauthenticated(f"The identity token is not signed with this key's identity secret by {ALGORITHM}.")


def _expiry(claims: Mapping[str, Any], now_seconds: int) -> datetime:
    expires = claims.get("exp")
    if not _is_moment(expires):
        raise Unauthenticated("The identity token has no exp, in seconds since 1970; it may be at most 24 hours ahead.")
    if expires > now_seconds + LIFETIME_MAX.total_seconds() + _LEEWAY_SECONDS:
        raise Unauthenticated("The identity token holds for too long; exp may be at most 24 hours ahead.")
    starts = claims.get("nbf", 0)
    if not _is_moment(starts) or starts > now_seconds + _LEEWAY_SECONDS:
        raise Unauthenticated("The identity token does not hold yet; check nbf and the clock of your server.")
    return clock.from_ms(max(0, int(expires)) * 1000)


def _is_moment(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _is_identifier(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= IDENTIFIER_LENGTH_MAX and not value.isspace()
