"""Why `payments` refuses a request. The API answers with `code` as its problem code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong input, by its public name."""

    field: str
    code: str
    message: str


@dataclass(eq=False)
class NotAllowedError(Exception):
    """The request is refused: no payment and no attempt was started, and no payer was asked.

    FeexPay may have been asked first, and its answer may have settled a payment. With `otp_rejected` the payer's code
    was sent. `payment_id` names the payment that is the reason. `retry_after_seconds`: when to ask again.
    """

    code: str
    message: str = ""
    errors: Sequence[FieldError] = field(default_factory=tuple)
    payment_id: UUID | None = None
    retry_after_seconds: int | None = None

    def __str__(self) -> str:
        fields = ", ".join(error.field for error in self.errors)
        return f"{self.message or 'Not allowed.'} ({self.code}{': ' + fields if fields else ''})"


class InsideAtomicError(RuntimeError):
    """The host called from inside a database transaction; nothing was written and nothing was sent.

    A mistake in the host's code, so no NotAllowedError: the payer can do nothing about it. The text names the remedy.
    """

    def __init__(self, problem: str = "FeexPay must not be called inside a database transaction") -> None:
        super().__init__(
            f"{problem}. Put @transaction.non_atomic_requests on the view (ATOMIC_REQUESTS), or call outside of"
            ' `transaction.atomic`. To start a payment inside a transaction, set FEEXPAY["DISPATCH"] = "queue".'
        )


def invalid(field_name: str, code: str, message: str) -> NotAllowedError:
    """A `validation_error` about one field."""
    return NotAllowedError("validation_error", message, (FieldError(field_name, code, message),))
