"""Errors of the API calls. The class tells the caller what to do next.

    ApiError
    ├─ OutcomeUnknown        the server may have acted
    │  ├─ Offline            no connection: the server certainly did not act
    │  ├─ Timeout
    │  ├─ ServerError        HTTP 5xx, or a broken connection
    │  └─ MalformedAnswer    an answer that our server does not send
    └─ Refused               the server answered with a problem and did not act
       ├─ Unauthorized       sign in again
       ├─ Throttled          wait, ask again
       ├─ Invalid            correct the fields
       ├─ Conflict           another payment or request prevents it
       ├─ Unavailable        HTTP 503: try later
       └─ NotFound

Messages and reprs contain no token and no phone number, because they are logged.
"""

from __future__ import annotations

from dataclasses import dataclass


class ApiError(Exception):
    """A call that brought no usable answer."""


class OutcomeUnknown(ApiError):
    """The server may have acted: do not treat it as a failed payment."""


class Offline(OutcomeUnknown):
    """No connection was made: the request never left this machine."""


class Timeout(OutcomeUnknown):
    """Connected, but no whole answer in time."""


class ServerError(OutcomeUnknown):
    """The server or a proxy failed while answering."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class MalformedAnswer(OutcomeUnknown):
    """Not an answer of our server: a captive portal, a proxy's page, another version. `where`: the bad part."""

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
    """The server refused with an RFC 9457 problem and did not act."""

    def __init__(self, code: str, message: str = "", request_id: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.request_id = request_id


class Unauthorized(Refused):
    """No session, or it has ended."""


class NotFound(Refused):
    """The server has no such object for this user."""


class Throttled(Refused):
    """Too many requests; `retry_after` in seconds."""

    def __init__(self, retry_after: float, message: str = "", request_id: str = "") -> None:
        super().__init__("throttled", message, request_id)
        self.retry_after = retry_after


class Invalid(Refused):
    """Wrong values. `fields` is empty if the request as a whole is wrong."""

    def __init__(
        self, code: str, message: str = "", request_id: str = "", fields: tuple[FieldProblem, ...] = ()
    ) -> None:
        super().__init__(code, message, request_id)
        self.fields = fields


class Conflict(Refused):
    """HTTP 409. `payment_id`: the payment that prevents it. `retry_after`: seconds until the next try."""

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
    """HTTP 503 from the server itself. `retry_after` in seconds."""

    def __init__(self, code: str, retry_after: float, message: str = "", request_id: str = "") -> None:
        super().__init__(code, message, request_id)
        self.retry_after = retry_after
