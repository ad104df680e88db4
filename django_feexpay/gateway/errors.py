"""What can go wrong with a call to the gateway, named after what the caller does next.

GatewayError
├── NotSentError          nothing of the request left, or it was turned away unread: may be sent again
├── OutcomeUnknownError   it may have been acted on: never send it again, ask later
├── RefusedError          the gateway said no, finally: tell the payer
└── MisconfiguredError    our key, shop or address list is wrong: nothing was acted on, tell the operator

No message carries a key, a msisdn or a body: they end in logs.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Root of the tree. `code` is a stable lower-case word for machines."""

    code = "gateway_error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class NotSentError(GatewayError):
    """Surely not acted on; sending again is safe. `retry_after_seconds` is the gateway's wish, if it gave one."""

    code = "not_sent"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class OutcomeUnknownError(GatewayError):
    """The request, or part of it, left; whether it was acted on is not known. Never send it again."""

    code = "outcome_unknown"


class RefusedError(GatewayError):
    """A documented refusal with a body: this attempt was not and will not be charged.

    `code` is one of `reports.REASON_CODES`; `text` is FeexPay's own sentence, kept for staff.
    """

    code = "refused"

    def __init__(self, message: str = "", *, code: str | None = None, text: str = "") -> None:
        super().__init__(message, code=code)
        self.text = text


class MisconfiguredError(GatewayError):
    """Wrong key, unknown shop, our address not on FeexPay's list, or a path that does not exist."""

    code = "misconfigured"


class WebhookRejectedError(Exception):
    """A webhook request that did not prove where it comes from. Not a GatewayError: the gateway was never asked.

    The public text is the same for every cause; `cause_code` is for counters and staff only.
    """

    public_message = "This request could not be authenticated."

    def __init__(self, cause_code: str) -> None:
        super().__init__(self.public_message)
        self.cause_code = cause_code
