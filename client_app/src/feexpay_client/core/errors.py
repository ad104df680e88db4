"""Why a call brought no usable answer. Each error says what its caller may do next.

    ApiError
    ├─ Unanswered            whether the server did it is unknown
    │  ├─ Offline            ... but it surely did not: no connection was made
    │  ├─ Timeout
    │  ├─ ServerError        5xx that is no promise
    │  └─ Garbage            an answer, but none of our server's
    └─ Refused               the server answered with a problem: it did not do it
       ├─ Unauthorized       sign in again
       ├─ Throttled          wait, ask again
       ├─ Invalid            mend the fields
       ├─ Conflict           something else stands in the way
       ├─ Unavailable        503: not now
       └─ NotFound

Messages and reprs hold no token and no phone number: they end up in logs.
"""

from __future__ import annotations

from dataclasses import dataclass


class ApiError(Exception):
    """A call that brought no usable answer."""


class Unanswered(ApiError):
    """Whether the server acted is not known: never take it for a failure."""


class Offline(Unanswered):
    """No connection was made: the request never left this machine."""


class Timeout(Unanswered):
    """Connected, but no whole answer in time."""


class ServerError(Unanswered):
    """The server, or something in front of it, broke down while answering."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Garbage(Unanswered):
    """Not an answer of our server: a captive portal, a proxy's page, another version. `where` names the part."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclass(frozen=True)
class FieldProblem:
    """One value the server refused; `message` is in the language the request asked for."""

    field: str
    code: str
    message: str


class Refused(ApiError):
    """The server's own word, as RFC 9457 problem: what was asked for was not done."""

    def __init__(self, code: str, message: str = "", request_id: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.request_id = request_id


class Unauthorized(Refused):
    """No session, or it has ended."""


class NotFound(Refused):
    """There is no such thing for this user."""


class Throttled(Refused):
    """Too many requests; `retry_after` in seconds."""

    def __init__(self, retry_after: float, message: str = "", request_id: str = "") -> None:
        super().__init__("throttled", message, request_id)
        self.retry_after = retry_after


class Invalid(Refused):
    """Values to mend; `fields` may be empty where the whole request is meant."""

    def __init__(
        self, code: str, message: str = "", request_id: str = "", fields: tuple[FieldProblem, ...] = ()
    ) -> None:
        super().__init__(code, message, request_id)
        self.fields = fields


class Conflict(Refused):
    """409: `payment_id` names the payment that stands in the way, `retry_after` when to ask again."""

    def __init__(
        self,
        code: str,
        message: str = "",
        request_id: str = "",
        payment_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, request_id)
        self.payment_id = payment_id
        self.retry_after = retry_after


class Unavailable(Refused):
    """503 by the server itself: not now; `retry_after` in seconds."""

    def __init__(self, code: str, retry_after: float, message: str = "", request_id: str = "") -> None:
        super().__init__(code, message, request_id)
        self.retry_after = retry_after
