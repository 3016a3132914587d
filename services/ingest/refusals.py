"""For which reasons is an event or a request not accepted, and how does HTTP name each?"""

from __future__ import annotations

from msgspec import Struct

from libs.common.errors import DangolError, Refused

NOT_JSON = "not-json"
TOO_LARGE = "too-large"
UNSAFE_VALUE = "unsafe-value"
MALFORMED = "malformed"
UNKNOWN_ATTRIBUTE = "unknown-attribute"
UNKNOWN_IDENTIFIER = "unknown-identifier"
UNKNOWN_TYPE = "unknown-type"
RESERVED_TYPE = "reserved-type"
INVALID_DATA = "invalid-data"
WRONG_TIME = "wrong-time"
WRONG_CHANNEL = "wrong-channel"
SOURCE_NOT_ALLOWED = "source-not-allowed"
HISTORY_NOT_ALLOWED = "history-not-allowed"
MAPPING_FAILED = "mapping-failed"
MISSING_USER_ID = "missing-user-id"
TYPE_NOT_ALLOWED = "type-not-allowed"
BRANCH_NOT_ALLOWED = "branch-not-allowed"
CONSENT_NOT_ALLOWED = "consent-not-allowed"
IDENTITY_NOT_PROVEN = "identity-not-proven"
UNPROVEN_IDENTITY = "unproven-identity"

_STATUS = {
    NOT_JSON: 400,
    TOO_LARGE: 413,
    WRONG_CHANNEL: 403,
    SOURCE_NOT_ALLOWED: 403,
    HISTORY_NOT_ALLOWED: 403,
    TYPE_NOT_ALLOWED: 403,
    BRANCH_NOT_ALLOWED: 403,
    CONSENT_NOT_ALLOWED: 403,
    IDENTITY_NOT_PROVEN: 403,
}


def status_of(reason: str) -> int:
    """The status of a request whose only event is refused for this reason."""
    return _STATUS.get(reason, 422)


class Reject(DangolError):
    """Ends the examination of one event; `pointer` is relative to that event, empty for the whole of it."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.pointer = pointer
        self.detail = detail


class Violation(Struct, frozen=True):
    """What is not as it should be in an event that was accepted all the same; `pointer` is relative to the event."""

    pointer: str
    reason: str
    detail: str


class TooLarge(Refused):
    status = 413
    title = "Too large"


class TooSlow(Refused):
    status = 408
    title = "The body took too long"


class TooFast(Refused):
    """More than a key's share; `retry_after_seconds` says when there is some of it again."""

    status = 429
    title = "Too many events"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnsupportedEncoding(Refused):
    status = 415
    title = "The encoding is not supported"


class NotPossible(Refused):
    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, allow: str = "POST") -> None:
        super().__init__(detail)
        self.allow = allow


class Unsealable(DangolError):
    """A sealed secret that no secret of the settings opens: an operator's matter, never the caller's."""


class TooManyHeaders(Refused):
    status = 431
    title = "Too many headers"
