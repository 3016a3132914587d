"""How do our services speak HTTP? Everything that an `api.py` needs, under one name."""

from libs.common.web.application import Readiness, create_app, require_guarded
from libs.common.web.edge import CORRELATION_HEADER, Edge, correlation_of
from libs.common.web.idempotency import IdempotencyKey, once
from libs.common.web.limits import BODY_BYTES_MAX, Limits, RequestLimits, StrictJson
from libs.common.web.preconditions import IfMatch, etag, expected_version, require_match
from libs.common.web.problems import MEDIA_TYPE, answer_to, problem
from libs.common.web.shapes import (
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    Cursor,
    Document,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_of,
)

__all__ = [
    "BODY_BYTES_MAX",
    "CORRELATION_HEADER",
    "MEDIA_TYPE",
    "PAGE_SIZE_DEFAULT",
    "PAGE_SIZE_MAX",
    "Cursor",
    "Document",
    "Edge",
    "IdempotencyKey",
    "IfMatch",
    "Limit",
    "Limits",
    "Page",
    "Readiness",
    "RequestLimits",
    "StrictJson",
    "answer_to",
    "correlation_of",
    "create_app",
    "decode_cursor",
    "encode_cursor",
    "etag",
    "expected_version",
    "once",
    "page_of",
    "problem",
    "require_guarded",
    "require_match",
]
