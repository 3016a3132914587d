"""Who may do what? The whole table, so that a role that may do more, or less, is a line that somebody reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import Request

from libs.common.auth import ROLES, Access, Guard, issue_token, routes, unguarded
from libs.common.errors import Forbidden, Unauthenticated
from libs.common.runtime import App

ANYBODY = "viewer marketer approver operator agent privacy"
READERS = "viewer marketer approver operator"
PUBLIC = "(no token)"

# Administrators may do everything, so they are not repeated. `POST /v1/events` is not a route of FastAPI: the door of
# ingest stands in front of it and asks for a write key, not for a token.
ACCESS: dict[str, dict[str, str]] = {
    "campaign": {
        "GET /v1/campaigns": READERS,
        "POST /v1/campaigns": "marketer",
        "POST /v1/campaigns/validate": "marketer",
        "GET /v1/campaigns/{id}": READERS,
        "PUT /v1/campaigns/{id}": "marketer",
        "POST /v1/campaigns/{id}/activate": "marketer approver operator",
        "GET /v1/campaigns/{id}/changes": READERS,
        "POST /v1/campaigns/{id}/approve": "approver",
        "GET /v1/campaigns/{id}/diff": READERS,
        "POST /v1/campaigns/{id}/reject": "approver",
        "GET /v1/campaigns/{id}/reviews": READERS,
        "POST /v1/campaigns/{id}/rollback": "marketer approver operator",
        "POST /v1/campaigns/{id}/submit": "marketer",
        "POST /v1/campaigns/{id}/pause": "marketer approver operator",
        "GET /v1/campaigns/{id}/guards": READERS,
        "POST /v1/campaigns/{id}/ramp": "marketer approver operator",
        "GET /v1/campaigns/{id}/results": ANYBODY,
        "GET /v1/campaigns/{id}/report": READERS,
        "POST /v1/campaigns/{id}/resume": "marketer approver operator",
        "POST /v1/campaigns/{id}/retire": "marketer approver operator",
        "GET /v1/campaigns/{id}/versions": READERS,
        "GET /v1/campaigns/{id}/versions/{version}": READERS,
        "GET /v1/company": READERS,
        "PUT /v1/company": "",
        "GET /v1/company/versions": READERS,
        "GET /v1/decisions": ANYBODY,
        "GET /v1/decisions/{id}": ANYBODY,
        "GET /v1/policies": READERS,
        "POST /v1/policies": "approver",
        "POST /v1/policies/check": "marketer approver operator",
        "GET /v1/policies/in-force": READERS,
        "GET /v1/policies/shipped": READERS,
        "POST /v1/policies/validate": "approver",
        "GET /v1/policies/{id}": READERS,
        "PUT /v1/policies/{id}": "approver",
        "POST /v1/policies/{id}/activate": "approver",
        "GET /v1/policies/{id}/changes": READERS,
        "GET /v1/policies/{id}/diff": READERS,
        "POST /v1/policies/{id}/pause": "approver",
        "POST /v1/policies/{id}/resume": "approver",
        "POST /v1/policies/{id}/retire": "approver",
        "POST /v1/policies/{id}/rollback": "approver",
        "GET /v1/policies/{id}/versions": READERS,
        "GET /v1/policies/{id}/versions/{version}": READERS,
        "POST /v1/simulations": "marketer approver",
        "GET /v1/switches": "viewer marketer approver operator agent",
        "PUT /v1/switches/{scope}": "operator",
        "GET /v1/workers": "viewer operator",
        "POST /v1/workers/{name}/redrive": "operator",
    },
    "ingest": {
        "GET /v1/hook-endpoints": "",
        "POST /v1/hook-endpoints": "",
        "GET /v1/hook-endpoints/{hook_id}": "",
        "PATCH /v1/hook-endpoints/{hook_id}": "",
        "DELETE /v1/hook-endpoints/{hook_id}": "",
        "POST /v1/hook-endpoints/{hook_id}/secrets": "",
        "DELETE /v1/hook-endpoints/{hook_id}/secrets/{secret_id}": "",
        # By a token. A write key sees the imports that came by it, and may cancel and accept them.
        "GET /v1/imports": "viewer marketer operator",
        "GET /v1/imports/expected": "viewer marketer operator",
        "DELETE /v1/imports/expected/{branch:path}": "operator",
        "PUT /v1/imports/expected/{branch:path}": "operator",
        "GET /v1/imports/owed": "viewer marketer operator",
        "GET /v1/imports/{import_id}": "viewer marketer operator",
        "POST /v1/imports/{import_id}/accept": "operator",
        "POST /v1/imports/{import_id}/cancel": "operator",
        "GET /v1/imports/{import_id}/rejects": "viewer marketer operator",
        "GET /v1/keys": "",
        "POST /v1/keys": "",
        "DELETE /v1/keys/{key_id}": "",
        "GET /v1/keys/{key_id}": "",
        "PATCH /v1/keys/{key_id}": "",
        "POST /v1/keys/{key_id}/identity-secret": "",
        "DELETE /v1/keys/{key_id}/identity-secret": "",
        "POST /v1/keys/{key_id}/secrets": "",
        "DELETE /v1/keys/{key_id}/secrets/{secret_id}": "",
        "GET /v1/mappings": READERS,
        "POST /v1/mappings": "marketer",
        "GET /v1/mappings/shipped": READERS,
        "POST /v1/mappings/validate": "viewer marketer approver",
        "GET /v1/mappings/{id}": READERS,
        "PUT /v1/mappings/{id}": "marketer",
        "POST /v1/mappings/{id}/activate": "marketer approver",
        "GET /v1/mappings/{id}/changes": READERS,
        "GET /v1/mappings/{id}/diff": READERS,
        "POST /v1/mappings/{id}/rollback": "marketer approver",
        "POST /v1/mappings/{id}/pause": "marketer approver operator",
        "POST /v1/mappings/{id}/resume": "marketer approver",
        "POST /v1/mappings/{id}/retire": "marketer approver operator",
        "POST /v1/mappings/{id}/test": "marketer approver operator",
        "GET /v1/mappings/{id}/versions": READERS,
        "GET /v1/mappings/{id}/versions/{version}": READERS,
        "GET /v1/rejects": "viewer marketer operator",
        "POST /v1/rejects/replay": "marketer operator",
        "GET /v1/rejects/summary": "viewer marketer operator",
        "GET /v1/rejects/{reject_id}": "operator privacy",
        "POST /v1/rejects/{reject_id}/dismiss": "marketer operator",
        "GET /v1/schemas": ANYBODY,
        "POST /v1/schemas": "marketer",
        "POST /v1/schemas/validate": READERS,
        "GET /v1/schemas/violations": READERS,
        "GET /v1/schemas/{type}": ANYBODY,
        "POST /v1/schemas/{type}/check": READERS,
        "GET /v1/schemas/{type}/versions": ANYBODY,
        "GET /v1/schemas/{type}/versions/{version}": ANYBODY,
        "GET /v1/sources": READERS,
        "DELETE /v1/sources/{source:path}": "marketer operator",
        "PUT /v1/sources/{source:path}": "marketer operator",
        "GET /v1/workers": "viewer operator",
        "POST /v1/workers/{name}/redrive": "operator",
    },
    "notify": {
        "GET /v1/inbox": ANYBODY,
        "GET /v1/messages": ANYBODY,
        "GET /v1/messages/{message_id}": ANYBODY,
        "POST /v1/receipts/local": PUBLIC,
        "GET /v1/tasks": "viewer agent",
        "POST /v1/tasks/{task_id}/outcome": "agent",
        "GET /v1/templates": READERS,
        "POST /v1/templates": "marketer",
        "POST /v1/templates/validate": "marketer",
        "GET /v1/templates/{id}": READERS,
        "PUT /v1/templates/{id}": "marketer",
        "POST /v1/templates/{id}/activate": "marketer approver operator",
        "POST /v1/templates/{id}/approve": "approver",
        "GET /v1/templates/{id}/diff": READERS,
        "POST /v1/templates/{id}/reject": "approver",
        "GET /v1/templates/{id}/reviews": READERS,
        "POST /v1/templates/{id}/rollback": "marketer approver operator",
        "POST /v1/templates/{id}/submit": "marketer",
        "POST /v1/templates/{id}/pause": "marketer approver operator",
        "POST /v1/templates/{id}/preview": "viewer marketer approver",
        "POST /v1/templates/{id}/resume": "marketer approver operator",
        "POST /v1/templates/{id}/retire": "marketer approver operator",
        "GET /v1/templates/{id}/versions": READERS,
        "GET /v1/templates/{id}/versions/{version}": READERS,
        "GET /v1/workers": "viewer operator",
        "POST /v1/workers/{name}/redrive": "operator",
    },
    "profile": {
        "GET /v1/conflicts": "operator",
        "GET /v1/audit": "privacy",
        "POST /v1/customers/{customer_id}/erase": "privacy",
        "GET /v1/customers/{customer_id}/export": "privacy",
        "GET /v1/erasures": "privacy",
        "GET /v1/erasures/{erasure_id}": "privacy",
        "GET /v1/privacy-requests": "privacy",
        "POST /v1/privacy-requests/{request_id}/confirm": "privacy",
        "POST /v1/privacy-requests/{request_id}/refuse": "privacy",
        "GET /v1/customers": ANYBODY,
        "GET /v1/customers/search": "operator agent privacy",
        "GET /v1/customers/{customer_id}": ANYBODY,
        "GET /v1/consent-duties": "operator privacy",
        "GET /v1/consent-wordings": ANYBODY,
        "GET /v1/consent-wordings/unknown": "operator privacy",
        "GET /v1/consent-wordings/{wording_id}": ANYBODY,
        "PUT /v1/consent-wordings/{wording_id}": "privacy",
        "GET /v1/consent-wordings/{wording_id}/versions": ANYBODY,
        "GET /v1/consent-wordings/{wording_id}/versions/{version}": ANYBODY,
        "POST /v1/customers/{customer_id}/consent-duties/{duty}": "agent privacy",
        "GET /v1/customers/{customer_id}/consents": ANYBODY,
        "PUT /v1/customers/{customer_id}/consents": "agent privacy",
        "GET /v1/customers/{customer_id}/consents/ledger": "operator agent privacy",
        "POST /v1/customers/{customer_id}/refold": "operator",
        "GET /v1/customers/{customer_id}/links": "operator agent privacy",
        # Agents propose; who joins people, or parts them, answers for the service or for the people.
        "POST /v1/customers/{customer_id}/merge": "operator privacy",
        "POST /v1/customers/{customer_id}/unmerge": "operator privacy",
        "GET /v1/customers/{customer_id}/points": ANYBODY,
        "POST /v1/customers/{customer_id}/points": "operator agent",
        "GET /v1/customers/{customer_id}/points/ledger": ANYBODY,
        "GET /v1/branches": ANYBODY,
        "POST /v1/branches": "marketer operator",
        "DELETE /v1/branches/{code:path}": "marketer operator",
        "GET /v1/branches/{code:path}": ANYBODY,
        "PUT /v1/branches/{code:path}": "marketer operator",
        "PUT /v1/customers/{customer_id}/responsible": "operator agent",
        "GET /v1/enrichments": "viewer marketer approver operator privacy",
        "POST /v1/enrichments": "marketer privacy",
        "GET /v1/enrichments/{enrichment_id}": "viewer marketer approver operator privacy",
        "GET /v1/products": ANYBODY,
        "POST /v1/products": "marketer operator",
        "DELETE /v1/products/{code:path}": "marketer operator",
        "GET /v1/products/{code:path}": ANYBODY,
        "PUT /v1/products/{code:path}": "marketer operator",
        "GET /v1/staff": ANYBODY,
        "POST /v1/staff": "marketer operator",
        "DELETE /v1/staff/{code:path}": "marketer operator",
        "GET /v1/staff/{code:path}": ANYBODY,
        "PUT /v1/staff/{code:path}": "marketer operator",
        "GET /v1/unknown-codes": ANYBODY,
        "GET /v1/points/discrepancies": "operator agent",
        "POST /v1/points/discrepancies/{name}/settle": "operator",
        "GET /v1/points/summary": READERS,
        "POST /v1/customers/{customer_id}/addresses": "agent privacy",
        "GET /v1/customers/{customer_id}/notes": ANYBODY,
        "POST /v1/customers/{customer_id}/notes": "agent privacy",
        "DELETE /v1/customers/{customer_id}/notes/{note_id}": "agent privacy",
        "POST /v1/customers/{customer_id}/relations": "agent privacy",
        "DELETE /v1/customers/{customer_id}/relations/{relation}": "agent privacy",
        "PUT /v1/customers/{customer_id}/restrictions/{channel}": "agent privacy",
        "DELETE /v1/customers/{customer_id}/restrictions/{channel}": "agent privacy",
        "GET /v1/quality": ANYBODY,
        "GET /v1/quality/customers": "marketer operator agent privacy",
        "GET /v1/customers/{customer_id}/timeline": ANYBODY,
        "PATCH /v1/customers/{customer_id}/traits": "agent privacy",
        # Which of them may change a subject, each subject says for itself.
        "GET /v1/definitions": ANYBODY,
        "GET /v1/definitions/{subject}": ANYBODY,
        "PUT /v1/definitions/{subject}": "marketer operator privacy",
        "GET /v1/definitions/{subject}/versions": ANYBODY,
        "GET /v1/duplicates": "operator agent privacy",
        "GET /v1/duplicates/learning": "viewer operator",
        "POST /v1/duplicates/learning": "operator",
        "GET /v1/duplicates/learning/{job}": "viewer operator",
        "GET /v1/duplicates/passes": "viewer operator",
        "POST /v1/duplicates/passes": "operator",
        "GET /v1/duplicates/passes/{job}": "viewer operator",
        "GET /v1/duplicates/{pair_id}": "operator agent privacy",
        "POST /v1/duplicates/{pair_id}/decide": "agent privacy",
        "GET /v1/refolds": "viewer operator",
        "POST /v1/refolds": "operator",
        "GET /v1/refolds/{job}": "viewer operator",
        "POST /v1/refolds/{job}/stop": "operator",
        "GET /v1/workers": "viewer operator",
        "POST /v1/workers/{name}/redrive": "operator",
    },
    "rules": {
        "GET /v1/company": READERS,
        "PUT /v1/company": "",
        "GET /v1/company/versions": READERS,
        "GET /v1/library": READERS,
        "GET /v1/library/{id}": READERS,
        "POST /v1/library/{id}/install": "marketer",
        "GET /v1/rules": READERS,
        "POST /v1/rules": "marketer",
        "GET /v1/rules/backtests": READERS,
        "POST /v1/rules/backtests": "marketer approver",
        "GET /v1/rules/backtests/{backtest_id}": READERS,
        "POST /v1/rules/backtests/{backtest_id}/cancel": "marketer approver operator",
        "POST /v1/rules/validate": "viewer marketer approver",
        "GET /v1/rules/{id}": READERS,
        "PUT /v1/rules/{id}": "marketer",
        "POST /v1/rules/{id}/activate": "marketer approver",
        "GET /v1/rules/{id}/changes": READERS,
        "POST /v1/rules/{id}/approve": "approver",
        "GET /v1/rules/{id}/diff": READERS,
        "POST /v1/rules/{id}/reject": "approver",
        "GET /v1/rules/{id}/reviews": READERS,
        "POST /v1/rules/{id}/rollback": "marketer approver",
        "POST /v1/rules/{id}/submit": "marketer",
        "POST /v1/rules/{id}/test": "viewer marketer approver",
        "GET /v1/rules/{id}/customers/{customer_id}": READERS,
        "POST /v1/rules/{id}/customers/{customer_id}/explain": READERS,
        "GET /v1/rules/{id}/stats": READERS,
        "GET /v1/rules/fanouts": READERS,
        "GET /v1/rules/fanouts/{id}": READERS,
        "POST /v1/rules/fanouts/{id}/cancel": "marketer approver operator",
        "GET /v1/segments": READERS,
        "POST /v1/segments": "marketer",
        "POST /v1/segments/validate": "viewer marketer approver",
        "GET /v1/segments/{id}": READERS,
        "PUT /v1/segments/{id}": "marketer",
        "POST /v1/segments/{id}/activate": "marketer approver",
        "GET /v1/segments/{id}/changes": READERS,
        "GET /v1/segments/{id}/diff": READERS,
        "GET /v1/segments/{id}/members": READERS,
        "POST /v1/segments/{id}/pause": "marketer approver operator",
        "POST /v1/segments/{id}/resume": "marketer approver",
        "POST /v1/segments/{id}/retire": "marketer approver operator",
        "POST /v1/segments/{id}/rollback": "marketer approver",
        "GET /v1/segments/{id}/stats": READERS,
        "GET /v1/segments/{id}/versions": READERS,
        "GET /v1/segments/{id}/versions/{version}": READERS,
        "GET /v1/customers/{customer_id}/segments": READERS,
        "GET /v1/triggers": READERS,
        "GET /v1/triggers/{trigger_id}": READERS,
        "POST /v1/rules/{id}/pause": "marketer approver operator",
        "POST /v1/rules/{id}/resume": "marketer approver",
        "GET /v1/rules/{id}/guards": READERS,
        "POST /v1/rules/{id}/ramp": "marketer approver",
        "POST /v1/rules/{id}/retire": "marketer approver operator",
        "GET /v1/rules/{id}/versions": READERS,
        "GET /v1/rules/{id}/versions/{version}": READERS,
        "GET /v1/workers": "viewer operator",
        "POST /v1/workers/{name}/redrive": "operator",
    },
}


def test_no_route_is_open_without_a_reason(built: dict[str, App]) -> None:
    assert not {service: unguarded(app.web) for service, app in built.items() if unguarded(app.web)}


def test_every_role_may_do_exactly_what_the_table_says(built: dict[str, App], token_secret: str) -> None:
    real = {
        service: {call: _allowed(app, access, token_secret) for call, access in _calls(app)}
        for service, app in built.items()
    }
    for service, calls in real.items():
        assert calls == ACCESS[service], service
    assert real.keys() == ACCESS.keys()


def test_an_administrator_may_do_everything(built: dict[str, App], token_secret: str) -> None:
    for app in built.values():
        for _, access in _calls(app):
            assert _passes(app, access, "admin", token_secret)


@pytest.mark.parametrize("token", [None, "", "x.y.z"])
def test_without_a_valid_token_nothing_that_is_guarded_opens(built: dict[str, App], token: str | None) -> None:
    for app in built.values():
        for _, access in _calls(app):
            for roles in access.roles:
                with pytest.raises(Unauthenticated):
                    Guard(roles)(_request(app), _bearer(token))


def _calls(app: App) -> Iterator[tuple[str, Access]]:
    for access in routes(app.web):
        for method in access.methods:
            yield f"{method} {access.path}", access


def _allowed(app: App, access: Access, secret: str) -> str:
    if not access.roles:
        return PUBLIC
    return " ".join(role for role in ROLES if role != "admin" and _passes(app, access, role, secret))


def _passes(app: App, access: Access, role: str, secret: str) -> bool:
    """What the guards of a route say to a real token of this role, asked as FastAPI asks them."""
    bearer = _bearer(issue_token(secret, subject="somebody", roles=[role]))
    try:
        for roles in access.roles:
            Guard(roles)(_request(app), bearer)
    except Forbidden:
        return False
    return True


def _bearer(token: str | None) -> HTTPAuthorizationCredentials | None:
    return None if token is None else HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)


def _request(app: App) -> Request:
    return Request({"type": "http", "app": app.web, "headers": []})
