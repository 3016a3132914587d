"""Is a browser believed only what anybody may say, and what its site has proven?"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from libs.common import clock
from libs.common.errors import Unauthenticated
from services.ingest.intake import Accepted, Form, Rejected, decode_batch
from services.ingest.keys.book import Scope, WriteKey
from services.ingest.keys.proof import proven
from tests.ingest_events import NOW, event, terms

SECRET, OLD = b"the-identity-secret-of-a-site-0123456789", b"the-secret-that-was-replaced-0123456789"
NOW_SECONDS = clock.to_ms(NOW) // 1000
HOUR = 3_600


def browser(*secrets: bytes) -> WriteKey:
    return WriteKey("site-1", "web", ["shop/*"], [], Scope(kind="browser"), secrets or (SECRET,))


def token(secret: bytes = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """What a site's server signs; a claim of `...` is left out."""
    claims = {"sub": "kim", "aud": "site-1", "exp": NOW_SECONDS + HOUR} | changes
    kept = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode({"alg": algorithm}, kept, OctKey.import_key(secret), algorithms=[algorithm])


def judged(sent: Mapping[str, Any], proof: Mapping[str, str] | None = None) -> Accepted | Rejected:
    held = msgspec.structs.replace(terms(browser()), proven=proof or {})
    (verdict,) = decode_batch(json.dumps(sent).encode(), Form.NATIVE, held).verdicts
    return verdict


def visit(**changes: Any) -> dict[str, Any]:
    return event(**{"source": "shop/page", "type": "visit", "data": {"page": "/tea"}} | changes)


def accepted(sent: Mapping[str, Any], proof: Mapping[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    """What goes on of the event, and the pointers to what was left out."""
    verdict = judged(sent, proof)
    assert isinstance(verdict, Accepted), verdict
    assert {violation.reason for violation in verdict.violations} <= {"unproven-identity"}
    return json.loads(verdict.value), [violation.pointer for violation in verdict.violations]


def test_a_token_of_the_sites_server_proves_the_account_and_what_stands_beside_it() -> None:
    assert proven(browser(), token(), NOW) == {"account": "kim"}
    signed = token(email="kim@example.org", phone="+821012345678", loyalty_card="8801", customer_id="c", shoe_size="42")
    assert proven(browser(), signed.encode(), NOW) == {
        "account": "kim",
        "email": "kim@example.org",
        "phone": "+821012345678",
        "loyalty_card": "8801",
        "customer_id": "c",
    }


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"secret": b"somebody-elses-secret-0123456789-abcdef"}, "signed"),
        ({"aud": "site-2"}, "aud"),
        ({"aud": ...}, "aud"),
        ({"sub": ...}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "k" * 257}, "sub"),
        ({"exp": ...}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": NOW_SECONDS}, "expired"),
        ({"exp": -5}, "expired"),
        ({"exp": NOW_SECONDS + 25 * HOUR}, "24 hours"),
        ({"exp": 1e300}, "exp"),
        ({"nbf": NOW_SECONDS + HOUR}, "nbf"),
        ({"email": ["a"]}, "email"),
        ({"algorithm": "HS384"}, "signed"),
    ],
)
def test_a_token_that_proves_nothing_is_refused_with_the_reason(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(Unauthenticated, match=word):
        proven(browser(), token(**changes), NOW)


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "a" * 5_000, "é", b"\xff\xfe", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_refused(garbage: str | bytes) -> None:
    with pytest.raises(Unauthenticated):
        proven(browser(), garbage, NOW)


@pytest.mark.parametrize("claims", [b"[]", b"null", b"5", b"\xff", b"{}", b'{"aud":{"site-1":1}}', b"[" * 2_000])
def test_a_signature_does_not_make_claims_of_anything(claims: bytes) -> None:
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims)]
    signature = hmac.digest(SECRET, b".".join(parts), "sha256")
    with pytest.raises(Unauthenticated):
        proven(browser(), b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]), NOW)


def test_without_an_identity_secret_nothing_is_proven_and_the_remedy_is_named() -> None:
    with pytest.raises(Unauthenticated, match="identity-secret"):
        proven(WriteKey("site-1", "web", [], [], Scope(kind="browser")), token(), NOW)


def test_a_list_of_audiences_may_name_the_key() -> None:
    assert proven(browser(), token(aud=["elsewhere", "site-1"]), NOW) == {"account": "kim"}


def test_a_token_signed_before_the_secret_was_replaced_still_holds() -> None:
    assert proven(browser(SECRET, OLD), token(OLD), NOW) == {"account": "kim"}
    with pytest.raises(Unauthenticated):
        proven(browser(SECRET), token(OLD), NOW)


def test_a_token_that_was_verified_once_still_expires() -> None:
    key, signed = browser(), token()
    assert proven(key, signed, NOW) is proven(key, signed, NOW)
    with pytest.raises(Unauthenticated, match="expired"):
        proven(key, signed, NOW + timedelta(hours=2))


def test_what_an_attacker_invents_does_not_fill_the_memory() -> None:
    key = browser()
    for number in range(50):
        with pytest.raises(Unauthenticated):
            proven(key, f"a.b.{number}", NOW)
    assert not key.proofs


def test_a_browser_speaks_for_its_cookie_and_device_and_its_bytes_go_on_unchanged() -> None:
    sent = visit(identifiers={"cookie": "c-1", "device": "d-1"})
    verdict = judged(sent)
    assert isinstance(verdict, Accepted)
    assert json.loads(verdict.value) == sent and verdict.violations == ()
    assert verdict.value == json.dumps(sent).encode()


@pytest.mark.parametrize("kind", ["account", "customer_id", "loyalty_card", "phone", "email", "partner:mall"])
def test_an_identity_that_nobody_proved_is_left_out_and_the_event_goes_on_without_it(kind: str) -> None:
    sent = visit(identifiers={kind: "victim", "cookie": "c-1"})
    kept, left_out = accepted(sent)
    assert kept == sent | {"identifiers": {"cookie": "c-1"}}
    assert left_out == [f"/identifiers/{kind}"]
    verdict = judged(sent)
    assert isinstance(verdict, Accepted) and verdict.key == b"cookie:c-1"


def test_the_same_bytes_come_out_each_time() -> None:
    sent = visit(identifiers={"email": "a@b.kr", "cookie": "c", "device": "d"}, data={"z": 1, "a": [1.50, "é"]})
    first, second = judged(sent), judged(sent)
    assert isinstance(first, Accepted) and isinstance(second, Accepted)
    assert first.value == second.value
    assert b"1.5" in first.value and b"victim" not in first.value


def test_an_event_that_speaks_of_nobody_but_the_unproven_is_refused() -> None:
    verdict = judged(visit(identifiers={"email": "victim@example.org"}))
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.pointer) == ("identity-not-proven", "/identifiers/email")
    assert "X-Identity-Token" in verdict.detail


def test_an_event_without_any_person_is_a_browsers_to_send() -> None:
    assert accepted(visit(identifiers=...))[1] == []


def test_what_was_proven_passes_and_nothing_beside_it() -> None:
    proof = {"account": "kim", "email": "Kim@Example.org", "phone": "+82 10-1234-5678"}
    sent = visit(identifiers={"account": "kim", "email": "kim@example.org ", "phone": "+821012345678", "cookie": "c"})
    assert accepted(sent, proof) == (sent, [])
    sent["identifiers"]["account"] = "lee"
    kept, left_out = accepted(sent, proof)
    assert left_out == ["/identifiers/account"] and "account" not in kept["identifiers"]


@pytest.mark.parametrize("wrap", [lambda traits: {"traits": traits}, lambda traits: traits])
def test_traits_that_would_become_a_contact_or_an_identity_are_left_out(wrap: Any) -> None:
    traits = {
        "email": "v@e.kr",
        "phone": "1",
        "webhook": "https://x",
        "account": "v",
        "partner:mall": "7",
        "city": "Seoul",
    }
    sent = visit(type="identify", identifiers={"cookie": "c"}, data=wrap(traits))
    kept, left_out = accepted(sent)
    assert kept["data"] == wrap({"city": "Seoul"})
    assert sorted(where.rsplit("/", 1)[1] for where in left_out) == sorted(traits.keys() - {"city"})
    assert accepted(sent, {"email": "v@e.kr"})[0]["data"] == wrap({"email": "v@e.kr", "city": "Seoul"})


def test_no_trait_of_a_browser_stands_where_its_consent_would() -> None:
    sent = visit(type="identify", identifiers={"cookie": "c"}, data={"traits": {"consent_email": True, "tier": "gold"}})
    kept, left_out = accepted(sent, {"consent_email": "true"})
    assert (kept["data"], left_out) == ({"traits": {"tier": "gold"}}, ["/data/traits/consent_email"])


def test_a_trait_is_found_however_its_name_is_written() -> None:
    raw = json.dumps(visit(type="identify", identifiers={"cookie": "c"}, data={"traits": {"email": "victim@x.kr"}}))
    held = terms(browser())
    (verdict,) = decode_batch(raw.replace('"email"', '"\\u0065mail"').encode(), Form.NATIVE, held).verdicts
    assert isinstance(verdict, Accepted) and b"victim" not in verdict.value


def test_a_repeated_name_hides_nothing() -> None:
    raw = json.dumps(visit(identifiers={"cookie": "c"})).replace(
        '"identifiers":', '"identifiers": {"email": "victim@x.kr"}, "identifiers":'
    )
    (verdict,) = decode_batch(raw.encode(), Form.NATIVE, terms(browser())).verdicts
    assert isinstance(verdict, Accepted)
    assert json.loads(verdict.value)["identifiers"] == {"cookie": "c"}


def test_a_proven_trait_of_another_type_than_text_is_no_proof() -> None:
    sent = visit(type="identify", identifiers={"cookie": "c"}, data={"traits": {"email": ["v@e.kr"]}})
    assert accepted(sent, {"email": "v@e.kr"})[1] == ["/data/traits/email"]


def test_the_data_of_other_types_is_a_browsers_to_say() -> None:
    sent = visit(type="search", identifiers={"cookie": "c"}, data={"query": "tea", "email": "typed@into.search"})
    assert accepted(sent) == (sent, [])


def test_a_server_is_believed_whom_it_names() -> None:
    (verdict,) = decode_batch(json.dumps(event()).encode(), Form.NATIVE, terms()).verdicts
    assert isinstance(verdict, Accepted) and verdict.value == json.dumps(event()).encode()


def test_a_cloud_event_of_a_browser_is_treated_alike() -> None:
    sent = {
        "specversion": "1.0",
        "id": "1",
        "source": "shop/page",
        "type": "visit",
        "time": event()["time"],
        "data": {"identifiers": {"email": "v@e.kr", "cookie": "c"}},
    }
    (verdict,) = decode_batch(json.dumps(sent).encode(), Form.NATIVE, terms(browser())).verdicts
    assert isinstance(verdict, Accepted) and b"v@e.kr" not in verdict.value


def test_the_recipe_of_the_page_about_keys_makes_a_token_that_proves() -> None:
    page = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
    (recipe,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(recipe, names)
    made = names["identity_token"](SECRET.decode(), "site-1", "kim", email="kim@example.org")
    assert proven(browser(), made, clock.now()) == {"account": "kim", "email": "kim@example.org"}
