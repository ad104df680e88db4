"""What can go wrong with a call to the gateway, named after what the caller does next.

GatewayError
├── NotSentError          nothing of the request left: it may be sent again
├── OutcomeUnknownError   it left, and may have been acted on: never send it again, ask later
├── RefusedError          the gateway said no, finally: tell the payer
└── MisconfiguredError    our key, shop or address list is wrong: nothing was acted on, tell the operator

No message carries a key, a msisdn or a body: they end in logs.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Root of the tree. `code` is a stable lower-case word for machines.

    `retry_after_seconds`: how long the gateway asks to be left alone, if it said so.
    """

    code = "gateway_error"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        if code is not None:
            self.code = code


class NotSentError(GatewayError):
    """Surely not acted on, because no byte of it left (a page: because nobody can pay on it); sending again is safe."""

    code = "not_sent"


class OutcomeUnknownError(GatewayError):
    """The request, or part of it, left; whether it was acted on is not known. Never send it again.

    `code`: `outcome_unknown`; or what the answer was: `payment_named` (it speaks of a payment, so one may have been
    made), `rate_limited` (a bare 429), `network_unavailable` (503, the operator is in maintenance).
    """

    code = "outcome_unknown"


class RefusedError(GatewayError):
    """A refusal with FeexPay's own error body. Named by FeexPay's sources, it was not and will not be charged; a code
    among `catalogue.outcomes.DOUBTFUL_REFUSALS` says that nothing names it, so it is asked about all the same.

    `code` is one of `catalogue.outcomes.REASON_CODES`; `text` is FeexPay's own sentence, kept for staff.
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
