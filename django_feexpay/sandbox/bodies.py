"""FeexPay's answers, as its documentation and its integrators show them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.networks import NETWORKS, Network
from django_feexpay.sandbox.store import Export, Link, Payment

HTML_502 = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

HTML_503 = HTML_502.replace("502 Bad Gateway", "503 Service Unavailable")

_CELTIIS_SOAP = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope'
    ' xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><Response>'
    "<ResponseCode>0</ResponseCode><ConversationID>{reference}</ConversationID>"
    "</Response></soapenv:Body></soapenv:Envelope>"
)

_CELTIIS_ACCEPTED = "Accept the service request successfully."

_MOOV_MESSAGES = {
    scenarios.SUCCESSFUL: "SUCCESS",
    scenarios.LOW_BALANCE: "INSUFFICIENT FUNDS",
    scenarios.DECLINED: "CANCELLED",
}


def iso(at: float) -> str:
    """A time as FeexPay writes it: UTC, milliseconds, Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_reference(network: Network, now: float) -> str:
    """A reference in the network's format: AG_… for Celtiis, an upper-case UUID for Moov Benin, else a UUID."""
    if network.suffix == "celtiis_bj":
        return f"AG_{datetime.fromtimestamp(now, UTC):%Y%m%d}_{uuid.uuid4().hex[:20]}"
    reference = str(uuid.uuid4())
    return reference.upper() if network.suffix == "moov" else reference


class ApiError(Exception):
    """An error answer in FeexPay's format; `code` only where FeexPay documents one, `more` where it adds fields."""

    def __init__(self, status_code: int, message: str, code: str | None = None, **more: object) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.body = {"statusCode": status_code, "message": message} | ({"code": code} if code else {}) | more


def no_such_path(method: str, path: str) -> ApiError:
    return ApiError(404, f"Cannot {method} {path}", error="Not Found")


def accepted(payment: Payment) -> dict[str, Any]:
    """The answer to a request to collect that waits for the payer."""
    body = {
        "reference": payment.reference,
        "message": "Accepted",
        "status": scenarios.PENDING,
        "amount": payment.amount,
        "description": payment.details["description"],
        "callback_info": _echo(payment),
        "phoneNumber": payment.msisdn,
    }
    if payment.suffix != "celtiis_bj":
        return body
    soap = _CELTIIS_SOAP.format(reference=payment.reference)
    return body | {"message": _CELTIIS_ACCEPTED, "normal_response": soap, "response_operator": soap}


def otp_sent(payment: Payment) -> dict[str, Any]:
    """Coris, first step: the code was sent by SMS; the caller repeats the request with it."""
    return accepted(payment) | {"message": "OTP sent to the customer"}


def redirect_fields(payment: Payment, url: str) -> dict[str, Any]:
    """The extra fields of a redirect network's answer."""
    return {"payment_url": url, "order_id": payment.reference, "transref": payment.reference}


def link(link: Link, url: str, request: dict[str, Any]) -> dict[str, Any]:
    """A new link's address and the fields of the request."""
    names = ("shop", "amount", "description", "paymentMethod", "range", "expireIn", "custom_id")
    urls = {"callback_url": link.success_url, "callback_error": link.error_url}
    return {"urlPay": url} | {name: request.get(name) for name in names} | urls


def moov_synchronous(payment: Payment) -> dict[str, Any]:
    """Moov Benin's answer after it waited for the payer's decision, which may still be missing."""
    return accepted(payment) if payment.status == scenarios.PENDING else final(payment)


def final(payment: Payment) -> dict[str, Any]:
    """An answer with the final status. The operator's own fields are lists."""
    code = "0" if payment.status == scenarios.SUCCESSFUL else scenarios.STATUS_CODES.get(payment.reason or "", "1")
    message = _MOOV_MESSAGES.get(payment.reason or payment.status, payment.reason or "")
    return accepted(payment) | {
        "message": message,
        "status": payment.status,
        "statusCode": code,
        "response_operator": {"description": [message], "status": [code]},
    }


def status(payment: Payment, *, in_pending_state: bool = False) -> dict[str, Any]:
    """The 14 fields of a status. Magic number 15 wraps them in `data`, with the amount as a string."""
    paid = payment.status == scenarios.SUCCESSFUL
    waiting = in_pending_state and payment.status == scenarios.PENDING
    body: dict[str, Any] = {
        "reference": payment.reference,
        "amount": _amount(payment),
        "phoneNumber": payment.msisdn,
        "status": "IN PENDING STATE" if waiting else payment.status,
        "callback_info": _echo(payment),
        "responsecode": "0" if paid else scenarios.STATUS_CODES.get(payment.reason or ""),
        "responsemsg": "Successfully processed" if paid else payment.reason,
        "transref": payment.reference,
        "serviceref": operator_id(payment),
        "comment": "",
        "reason": payment.reason,
        "description": payment.details["description"],
        "date": iso(payment.settled_at or payment.created_at),
        "operator_id": operator_id(payment),
    }
    if payment.odd_status_body:
        return {"data": body | {"amount": str(body["amount"])}}
    return body


def v1_status(payment: Payment) -> dict[str, Any]:
    """The status in the v1 format, like MTN's."""
    return {
        "financialTransactionId": operator_id(payment),
        "externalId": payment.reference,
        "amount": str(_amount(payment)),
        "currency": payment.network.currency,
        "payer": {"partyIdType": "MSISDN", "partyId": payment.msisdn},
        "payerMessage": payment.details["description"],
        "payeeNote": "",
        "status": payment.status,
        "reason": payment.reason,
    }


def payout_accepted(payment: Payment) -> dict[str, Any]:
    """The answer to a payout: always PENDING. FeexPay writes these fields in snake case."""
    return {
        "reference": payment.reference,
        "status": scenarios.PENDING,
        "message": "Payout request accepted",
        "description": payment.details["description"],
        "phone_number": payment.msisdn,
        "amount": payment.amount,
        "callback_info": payment.echo,
    }


def export_pending(export: Export, expires_at: float) -> dict[str, Any]:
    return {
        "request_id": export.request_id,
        "status": "PENDING",
        "created_at": iso(export.created_at),
        "expires_at": iso(expires_at),
    }


def export_ended(export: Export, result_url: str) -> dict[str, Any]:
    """The extra fields of a finished export."""
    if export.failed:
        return {"status": "FAILED", "error": "Export failed", "completed_at": iso(export.ready_at)}
    return {
        "status": "COMPLETED",
        "row_count": export.row_count,
        "processed_rows": export.row_count,
        "result_format": "json",
        "result_url": result_url,
        "error": None,
        "completed_at": iso(export.ready_at),
    }


def history_webhook(export: Export, result_url: str, rows: list[dict[str, Any]], expires_at: float) -> dict[str, Any]:
    """The webhook of a finished export, which names no reference."""
    return {
        "request_id": export.request_id,
        "status": "COMPLETED",
        "amount": 0,
        "type": "PAYMENT_HISTORY",
        "date": iso(export.ready_at),
        "row_count": export.row_count,
        "result_format": "json",
        "result_url": result_url,
        "expires_at": iso(expires_at),
        "data": rows,
    }


def in_v1_format(body: dict[str, Any]) -> dict[str, Any]:
    """A webhook in the v1 format: the phone as a number, no `ref_operator`."""
    body = {name: value for name, value in body.items() if name != "ref_operator"}
    number = body.get("phoneNumber")
    return body | {"phoneNumber": int(number)} if number else body


def _amount(payment: Payment) -> int:
    """The amount paid, or before that the amount requested."""
    return payment.paid_amount if payment.status == scenarios.SUCCESSFUL else payment.amount


def _echo(payment: Payment) -> Any:
    """The caller's own `callback_info`, as the text or the object that it was."""
    return json.loads(payment.echo) if payment.echo and payment.echo_is_json else payment.echo


def history_row(payment: Payment, *, echo_as_object: bool = False) -> dict[str, Any]:
    """One row of a history answer.

    FeexPay's docs show `callback_info` as an object here, and as a text everywhere else. No source shows what becomes
    of a text, so by default it comes back as the caller sent it. The name in the object is our assumption.
    """
    echo = _echo(payment)
    if echo_as_object and isinstance(echo, str):
        echo = {"callback_info": echo}
    return {
        "reference": payment.reference,
        "type": payment.kind,
        "status": payment.status,
        "amount": _amount(payment),
        "reseau": payment.network.reseau,
        "phone_number": payment.msisdn,
        "financial_transaction_id": operator_id(payment),
        "custom_id": payment.custom_id,
        "description": payment.details["description"],
        "callback_info": echo,
        "reason": payment.reason,
        "date": iso(payment.created_at),
    }


def balance(shop_id: str, shop_name: str, by_suffix: dict[str, int], opening: int) -> dict[str, Any]:
    """The balance of every network, nested twice as at FeexPay."""
    balances = {network.reseau: opening + by_suffix.get(network.suffix, 0) for network in NETWORKS}
    shop = {"shop_public_id": shop_id, "shop_name": shop_name, "shop_id": shop_id, "balances": balances}
    return {"success": True, "data": {"success": True, "data": shop}}


def webhook(payment: Payment, event_status: str, now: float) -> dict[str, Any]:
    """The 16 fields of a webhook with the status `event_status`, true or forged."""
    forged = event_status != payment.status
    return {
        "reference": payment.reference,
        "order_id": payment.reference,
        "status": event_status,
        "amount": _amount(payment),
        "callback_info": _echo(payment) or "",
        "last_name": payment.details["last_name"],
        "first_name": payment.details["first_name"],
        "email": payment.details["email"],
        # FeexPay's docs mention payout events and show none: `Payout` is our assumption.
        "type": "Payout" if payment.is_payout else "Paiement",
        "phoneNumber": payment.msisdn,
        "date": iso(now),
        "reseau": payment.network.reseau,
        "ref_link": payment.link or "",
        "description": payment.details["description"],
        "reason": "" if forged else payment.reason or "",
        "ref_operator": operator_id(payment) or "",
    }


def operator_id(payment: Payment) -> str | None:
    """The operator's transaction number; None unless the payment is successful."""
    return f"{7_000_000_000 + payment.number}" if payment.status == scenarios.SUCCESSFUL else None
