"""The errors of a gateway call, named after what the caller does next.

GatewayError
├── NotSentError          no byte of the request left: it may be sent again
├── OutcomeUnknownError   the request may have been processed: never send it again, poll its status
├── RefusedError          FeexPay refused the request: tell the payer
└── MisconfiguredError    our key, shop or IP address is wrong: nothing was processed, tell the operator

No message contains a key, a msisdn or a body, because messages are logged.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base class. `code` is a stable lower-case identifier.

    `retry_after_seconds`: the wait that FeexPay asked for, if it did.
    """

    code = "gateway_error"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        if code is not None:
            self.code = code


class NotSentError(GatewayError):
    """Sending again is safe: no byte of the request left, or no payer can reach the page that it asked for."""

    code = "not_sent"


class OutcomeUnknownError(GatewayError):
    """The request may have left, and FeexPay may have processed it. Never send it again.

    `code`: `outcome_unknown`, or by the reply: `payment_named` (it names a payment, so there may be a charge),
    `rate_limited` (a 429), `network_unavailable` (a 503: the operator is in maintenance).
    """

    code = "outcome_unknown"


class RefusedError(GatewayError):
    """A refusal in FeexPay's own error format.

    `code`: one of `outcomes.REASON_CODES`. Nothing was charged, unless the code is among `outcomes.DOUBTFUL_REFUSALS`:
    then FeexPay must still be asked. `text`: FeexPay's sentence, for staff.
    """

    code = "refused"

    def __init__(self, message: str = "", *, code: str | None = None, text: str = "") -> None:
        super().__init__(message, code=code)
        self.text = text


class MisconfiguredError(GatewayError):
    """Wrong key, unknown shop, an IP address that FeexPay does not allow, or a path that does not exist."""

    code = "misconfigured"


class WebhookRejectedError(Exception):
    """A webhook request that is not authenticated. Not a GatewayError, because no call to the gateway was made.

    The public message is the same for every cause; `cause_code` is for metrics and staff only.
    """

    public_message = "This request could not be authenticated."

    def __init__(self, cause_code: str) -> None:
        super().__init__(self.public_message)
        self.cause_code = cause_code
