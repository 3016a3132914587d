"""Who is calling, and may they? Bearer tokens with roles; what no role opens stays shut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.routing import Mount

from libs.common import clock
from libs.common.errors import Forbidden, Misconfigured, Unauthenticated
from libs.common.settings import TOKEN_SECRET_LENGTH_MIN

ROLES = ("viewer", "marketer", "approver", "operator", "agent", "privacy", "admin")
AUDIENCE = "dangol"
ALGORITHMS = ("HS256",)
TOKEN_LENGTH_MAX = 4_096

_PUBLIC_MARK = "dangol_public_because"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a verified token speaks for. `branch` confines a person to the customers of one branch."""

    subject: str
    roles: frozenset[str]
    branch: str | None = None

    def has(self, *roles: str) -> bool:
        return "admin" in self.roles or not self.roles.isdisjoint(roles)

    def covers(self, branch: str | None) -> bool:
        return self.branch is None or self.branch == branch


def issue_token(
    secret: str,
    *,
    subject: str,
    roles: Sequence[str],
    branch: str | None = None,
    lifetime: timedelta | None = None,
) -> str:
    """A signed token; without `lifetime` it holds until its secret is retired."""
    if unknown := sorted(set(roles).difference(ROLES)):
        raise ValueError(f"unknown role {unknown[0]!r}: the roles are {', '.join(ROLES)}")
    if not subject or not roles:
        raise ValueError("a token needs a subject and at least one role")
    now = clock.now()
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "sub": subject,
        "roles": sorted(set(roles)),
        "iat": _seconds(now),
    }
    if branch is not None:
        claims["branch"] = branch
    if lifetime is not None:
        claims["exp"] = _seconds(now + lifetime)
    return jwt.encode({"alg": ALGORITHMS[0]}, claims, _key(secret), algorithms=list(ALGORITHMS))


class Authenticator:
    """Verifies tokens against each secret in turn, so that a secret can be replaced without a cut."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise Misconfigured("no token secret is set: set DANGOL_TOKEN_SECRET")
        self._keys = tuple(_key(secret) for secret in secrets)

    def verify(self, token: str) -> Principal:
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated("The token is too long.")
        for key in self._keys:
            try:
                claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
            except (JoseError, ValueError):
                # The next secret may fit. Which step failed is nobody's business.
                continue
            return _principal(claims)
        raise Unauthenticated("The token is not valid.")


class Guard:
    """The dependency that `requires` makes; a class so that the walk over the routes can recognise it."""

    def __init__(self, roles: Sequence[str]) -> None:
        self.roles = tuple(roles)

    def __call__(
        self, request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Principal:
        if bearer is None:
            raise Unauthenticated("Send the header 'Authorization: Bearer <token>'.")
        principal = _verified(request, bearer.credentials)
        if self.roles and not principal.has(*self.roles):
            raise Forbidden(
                f"This needs the role {' or '.join(self.roles)}; the token has {', '.join(sorted(principal.roles))}."
            )
        request.state.principal = principal
        return principal


def principal_of(request: Request) -> Principal | None:
    """Whoever asks, for what stands before or around the endpoints; None without a token. Unauthenticated."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return _verified(request, credentials) if scheme.lower() == "bearer" and credentials else None


def _verified(request: Request, credentials: str) -> Principal:
    """Looked at once for each request, however many ask."""
    known: tuple[str, Principal] | None = getattr(request.state, "verified", None)
    if known is None or known[0] != credentials:
        authenticator: Authenticator = request.app.state.authenticator
        known = request.state.verified = credentials, authenticator.verify(credentials)
    return known[1]


BEARER = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token with roles.")


def requires(*roles: str) -> Guard:
    """`Depends(requires("marketer"))` lets marketers and admins in; without roles, any valid token."""
    if unknown := sorted(set(roles).difference(ROLES)):
        raise ValueError(f"unknown role {unknown[0]!r}: the roles are {', '.join(ROLES)}")
    return Guard(roles)


def public(reason: str) -> Callable[[F], F]:
    """Marks an endpoint that needs no token, and says why; stands below the route's decorator."""
    if callable(reason) or not reason:
        raise TypeError("write @public('the reason why no token is needed')")

    def mark(endpoint: F) -> F:
        setattr(endpoint, _PUBLIC_MARK, reason)
        return endpoint

    return mark


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a route: one entry of `roles` per guard, each to be passed."""

    path: str
    methods: tuple[str, ...]
    roles: tuple[tuple[str, ...], ...]
    public_because: str | None

    @property
    def is_open(self) -> bool:
        return not self.roles and self.public_because is None


def routes(app: FastAPI) -> Iterator[Access]:
    """Every /v1 route with what guards it, for the test of roles against endpoints."""
    for context in iter_route_contexts(app.routes):
        path = context.path or ""
        if isinstance(context.original_route, Mount):
            # What is mounted guards itself in ways that cannot be seen from here, so it does not count.
            if "/v1/".startswith(f"{path}/") or path.startswith("/v1/"):
                yield Access(f"{path}/*", ("*",), (), None)
            continue
        if not f"{path}/".startswith("/v1/"):
            continue
        dependant = getattr(context, "dependant", None)
        guards = tuple(guard.roles for guard in _guards(dependant)) if dependant is not None else ()
        because = getattr(context.endpoint, _PUBLIC_MARK, None)
        yield Access(path, tuple(sorted(context.methods or ())), guards, because)


def unguarded(app: FastAPI) -> list[str]:
    """Every /v1 route that nobody guards and nobody declared public, as "POST /v1/rules"."""
    return [f"{','.join(access.methods)} {access.path}" for access in routes(app) if access.is_open]


def _guards(dependant: Dependant) -> Iterator[Guard]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Guard):
            yield dependency.call
        yield from _guards(dependency)


def _principal(claims: dict[str, Any]) -> Principal:
    subject, roles, branch = claims.get("sub"), claims.get("roles"), claims.get("branch")
    now = _seconds(clock.now())
    if claims.get("aud") != AUDIENCE or not isinstance(subject, str) or not subject:
        raise Unauthenticated("The token was not made for this system.")
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        raise Unauthenticated("The token carries no role of this system.")
    if branch is not None and not isinstance(branch, str):
        raise Unauthenticated("The token names no usable branch.")
    expires = claims.get("exp")
    if expires is not None and (not isinstance(expires, int) or expires <= now):
        raise Unauthenticated("The token has expired.")
    starts = claims.get("nbf")
    if starts is not None and (not isinstance(starts, int) or starts > now):
        raise Unauthenticated("The token does not hold yet.")
    return Principal(subject, frozenset(roles), branch)


def _key(secret: str) -> OctKey:
    if len(secret) < TOKEN_SECRET_LENGTH_MIN:
        raise Misconfigured(f"a token secret needs at least {TOKEN_SECRET_LENGTH_MIN} characters")
    return OctKey.import_key(secret)


def _seconds(instant: Any) -> int:
    return clock.to_ms(instant) // 1000
