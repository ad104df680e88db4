"""Why payments refuses. The door translates: `code` is the problem code of the API."""

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
    """The request may not go on; nothing was written and nothing was sent.

    `payment_id` names the payment that stands in the way. `retry_after_seconds`: when asking again makes sense.
    """

    code: str
    message: str = ""
    errors: Sequence[FieldError] = field(default_factory=tuple)
    payment_id: UUID | None = None
    retry_after_seconds: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def invalid(field_name: str, code: str, message: str) -> NotAllowedError:
    """A `validation_error` about one field."""
    return NotAllowedError("validation_error", message, (FieldError(field_name, code, message),))
