"""What does the HTTP side of every service have in common? One function that makes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Lifespan

from libs.common import logs
from libs.common.auth import Authenticator, unguarded
from libs.common.errors import DangolError, Misconfigured
from libs.common.metrics import CONTENT_TYPE, Metrics
from libs.common.settings import VERSION
from libs.common.web import problems
from libs.common.web.edge import Edge
from libs.common.web.limits import Limits, RequestLimits, StrictJson

READINESS_SECONDS_MAX = 2.0

Readiness = Callable[[], Awaitable[Sequence[str]]]
"""The reasons why the service cannot work now; none when it can."""


def create_app(
    service: str,
    *,
    authenticator: Authenticator,
    metrics: Metrics,
    readiness: Readiness,
    lifespan: Lifespan[FastAPI] | None = None,
    limits: Limits | None = None,
    description: str = "",
) -> FastAPI:
    """FastAPI with problems, limits, ids, health and metrics; with an open route it does not start.

    `app.state.starting` and `app.state.draining` are set by the runtime; both make the service unready.
    """
    app = FastAPI(
        title=f"Dangol {service}",
        version=VERSION,
        description=description,
        lifespan=_checked(lifespan),
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
        # Its spans carry whole addresses, and people are looked up by telephone number in them.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.authenticator = authenticator
    app.state.starting = app.state.draining = ""
    problems.install(app)
    _add_health(app, readiness, metrics)
    # The last one added is the outermost.
    app.add_middleware(StrictJson)
    app.add_middleware(RequestLimits, limits=limits or Limits())
    app.add_middleware(Edge, metrics=metrics)
    return app


def require_guarded(app: FastAPI) -> None:
    """Misconfigured when a /v1 route is open to anybody and nobody has said that it should be."""
    if holes := unguarded(app):
        raise Misconfigured(
            f"nothing guards {', '.join(holes)}: add Depends(requires(...)) or mark the endpoint @public(reason)"
        )


async def reasons_unready(app: FastAPI, readiness: Readiness) -> list[str]:
    if reason := app.state.draining or app.state.starting:
        return [reason]
    try:
        async with asyncio.timeout(READINESS_SECONDS_MAX):
            return list(await readiness())
    except TimeoutError:
        return [f"the check itself did not end within {READINESS_SECONDS_MAX:g} s"]
    except (DangolError, OSError) as error:
        return [logs.mask(f"{type(error).__name__}: {error}")]


def _add_health(app: FastAPI, readiness: Readiness, metrics: Metrics) -> None:
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(request: Request) -> Response:
        reasons = await reasons_unready(app, readiness)
        if not reasons:
            return JSONResponse({"status": "ready", "reasons": []})
        return JSONResponse({"status": "unready", "reasons": reasons}, status_code=503)

    async def measured() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    for path, endpoint in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", measured)):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def _checked(lifespan: Lifespan[FastAPI] | None) -> Lifespan[FastAPI]:
    @contextlib.asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[Any]:
        require_guarded(app)
        if lifespan is None:
            yield
        else:
            async with lifespan(app) as state:
                yield state

    return live


_PROBLEM: dict[str, Any] = {
    "description": "A problem (RFC 9457).",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["title", "status"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "trace_id": {"type": "string"},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                        },
                    },
                },
            }
        }
    },
}
