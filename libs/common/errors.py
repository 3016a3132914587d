"""What can go wrong, and what does each kind of trouble mean for the caller?

DangolError
├── Transient            try the same thing again; nothing is wrong with the input
│   ├── BrokerAway         Kafka did not acknowledge in time
│   ├── StoreAway          PostgreSQL did not answer, or asked to try again
│   └── NotCaughtUp        an effect that was waited for is not visible yet
├── Fenced               somebody else owns this unit now; drop what is cached and let go
├── Poison               this message can never be handled; bury it with its reason
│   ├── Undecodable        the bytes are not the shape that the topic promises
│   └── TooManyHops        an effect of an effect of an effect …; the circle is cut here
├── Misconfigured        refuse to start; a person has to change something
└── Refused              the caller's fault; `status` says how HTTP names it
    ├── Invalid            422, with a pointer to each fault
    ├── NotFound           404
    ├── Conflict           409
    ├── Stale              412, the document has changed since it was read
    ├── Unauthenticated    401
    └── Forbidden          403
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DangolError(Exception):
    """The root: catch it to catch everything that this product raises by itself."""


class Transient(DangolError):
    pass


class BrokerAway(Transient):
    pass


class StoreAway(Transient):
    pass


class NotCaughtUp(Transient):
    pass


class Fenced(DangolError):
    pass


class Poison(DangolError):
    pass


class Undecodable(Poison):
    pass


class TooManyHops(Poison):
    pass


class Misconfigured(DangolError):
    pass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a document: where (an RFC 6901 pointer) and what."""

    pointer: str
    detail: str


class Refused(DangolError):
    status = 400
    title = "Bad request"

    def __init__(self, detail: str, errors: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class Invalid(Refused):
    status = 422
    title = "The document is not valid"


class NotFound(Refused):
    status = 404
    title = "Not found"


class Conflict(Refused):
    status = 409
    title = "Conflict"


class Stale(Refused):
    status = 412
    title = "The document has changed"


class Unauthenticated(Refused):
    status = 401
    title = "Authentication is required"


class Forbidden(Refused):
    status = 403
    title = "Not allowed"
