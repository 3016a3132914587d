"""How is an error said over HTTP? As problem+json (RFC 9457), whatever went wrong and wherever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from libs.common import logs
from libs.common.errors import DangolError, Fault, Fenced, Poison, Refused, Transient, Unauthenticated

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
_CHALLENGE = 'Bearer realm="dangol"'
_FAULTS_MAX = 100


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """`errors` points into the body by "#/items/3/total", elsewhere by "query/limit"."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    errors: tuple[dict[str, str], ...] = ()
    trace_id: str = ""


def problem(
    status: int,
    detail: str = "",
    *,
    title: str = "",
    errors: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that carries the problem and the id under which the log knows the request."""
    body = Problem(
        title=title or _phrase(status),
        status=status,
        detail=detail,
        errors=tuple({"pointer": _fragment(fault.pointer), "detail": fault.detail} for fault in errors),
        trace_id=logs.correlation(),
    )
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(DangolError, _on_own_error)


def answer_to(error: DangolError) -> Response:
    """What the caller is told about one of our own errors; the internals stay in the log."""
    if isinstance(error, Refused):
        headers = {"WWW-Authenticate": _CHALLENGE} if isinstance(error, Unauthenticated) else None
        return problem(error.status, error.detail, title=error.title, errors=error.errors, headers=headers)
    log = logs.get(__name__)
    if isinstance(error, Transient | Fenced):
        log.warning("request could not be served now", error=f"{type(error).__name__}: {error}")
        return problem(
            503,
            "A part that this needs does not answer at the moment. Try again.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if isinstance(error, Poison):
        log.warning("request carries what cannot be stored", error=f"{type(error).__name__}: {error}")
        return problem(422, "The request carries a value that cannot be stored.")
    log.error("request failed", error=f"{type(error).__name__}: {error}", exc_info=error)
    return unexpected()


def unexpected() -> Response:
    return problem(500, "Something went wrong here. The log knows it by the trace id.")


def faults_of(errors: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """Pydantic's findings as pointers; the refused values themselves are not repeated."""
    return [
        Fault(_pointer(error["loc"]), str(error["msg"]).removeprefix("Value error, ")) for error in errors[:_FAULTS_MAX]
    ]


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if detail == _phrase(error.status_code):
        detail = _explained(error.status_code, request)
    return problem(error.status_code, detail, headers=error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = faults_of(error.errors())
    return problem(422, _summary(faults), title="The request is not valid", errors=faults)


async def _on_own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DangolError)
    return answer_to(error)


def _summary(faults: Sequence[Fault]) -> str:
    first = faults[0]
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{_fragment(first.pointer) or 'the body'}: {first.detail}{more}"


def _explained(status: int, request: Request) -> str:
    if status == 404:
        return f"There is nothing at {request.url.path}."
    if status == 405:
        return f"{request.method} is not possible at {request.url.path}."
    return ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _pointer(location: Sequence[int | str]) -> str:
    """("body", "items", 3) becomes "/items/3"; ("query", "limit") becomes "query/limit"."""
    place, *path = location or ("body",)
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    if place == "body":
        return "".join(f"/{part}" for part in parts)
    return "/".join([str(place), *parts])


def _fragment(pointer: str) -> str:
    return f"#{pointer}" if pointer.startswith("/") else pointer
