"""The shop's HTTP API in memory, for tests of screens. A test may replace, delay or drop any answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx

NOW = datetime(2026, 11, 23, 14, 32, 5, tzinfo=UTC)
_PROVIDERS = {lang: json.loads((Path(__file__).parent / f"providers.{lang}.json").read_text()) for lang in ("fr", "en")}
_PACKS = (
    ("mini", "Mini", 50, 500),
    ("standard", "Standard", 220, 2000),
    ("champion", "Champion", 650, 5000),
    ("maxi", "Maxi", 1200, 10000),
)
#: A provider whose payers dial for the one-time code first.
_CODE_FIRST = "orange_bf"
_CODE_MISSING = {
    "fr": "Ce moyen de paiement demande le code obtenu en composant d'abord le numéro indiqué.",
    "en": "This provider needs the code you got by dialling first.",
}
_WRONG_CODE = {
    "fr": "Le code n'est pas le bon. Demandez-en un nouveau.",
    "en": "The code is not right. Ask for a new one.",
}
_REASONS = {
    "low_balance": {
        "fr": "Il n'y avait pas assez d'argent, ou une limite est atteinte. Rechargez ou prenez un autre numéro.",
        "en": "There was not enough money, or a limit was reached. Top up or use another number.",
    },
    "otp_rejected": {
        "fr": "Le code n'a pas été accepté. Demandez-en un nouveau et réessayez.",
        "en": "The code was not accepted. Ask for a new one and try again.",
    },
    "expired": {
        "fr": "Le paiement n'a pas été confirmé à temps. Si vous avez tout de même été débité, la somme sera "
        "créditée automatiquement.",
        "en": "The payment was not confirmed in time. If money was taken after all, it will be credited automatically.",
    },
    "payer_declined": {
        "fr": "Le paiement a été refusé sur le téléphone. Rien n'a été prélevé.",
        "en": "The payment was declined on the phone. Nothing was taken.",
    },
}


class FakeShop:
    """answers: path ending → HTTP status or function of the request. offline: no connection. held: delays answers."""

    def __init__(self) -> None:
        self.offline = False
        self.held: asyncio.Event | None = None
        self.answers: dict[str, int | Callable[[httpx.Request], httpx.Response]] = {}
        self.payments: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []
        self.coins = 1_250
        self.fee_payer = "merchant"  # the server's default; "payer": the fee comes on top
        self.packs_shown = True
        self.passed = 0.0

    # --- for tests ---

    def expire(self) -> None:
        """Expire the newest payment without a confirmation; it may still be charged."""
        self.settle("failed", "expired", can_retry=False)
        self.payments[0]["detail"] = "expired"

    def settle(self, status: str = "successful", reason: str | None = None, can_retry: bool | None = None) -> None:
        """Settle the newest payment."""
        self.payments[0] |= {
            "status": status,
            "detail": "credited" if status == "successful" else "declined",
            "next_poll_seconds": None,
            "settled_at": _instant(NOW),
            "updated_at": _instant(NOW + timedelta(seconds=len(self.requests))),
            "_reason": reason,
            "can_retry": status == "failed" if can_retry is None else can_retry,
            "otp_required": False,
        }

    def change(self, **members: Any) -> None:
        self.payments[0] |= members | {"updated_at": _instant(NOW + timedelta(seconds=len(self.requests)))}

    def add(self, days_ago: float = 0, **members: Any) -> dict[str, Any]:
        """Add an older payment at the end of the list."""
        charged = {"charged_amount": members.get("amount", 5000)}
        payment = _payment(len(self.payments), NOW - timedelta(days=days_ago)) | charged | members
        self.payments.append(payment)
        return payment

    def posts(self, ending: str = "initiate/") -> list[httpx.Request]:
        return [request for request in self.requests if request.method == "POST" and request.url.path.endswith(ending)]

    # --- the server ---

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.held is not None:
            await self.held.wait()
        if self.offline:
            raise httpx.ConnectError("no connection", request=request)
        for ending, answer in self.answers.items():
            if request.url.path.endswith(ending):
                return problem(answer) if isinstance(answer, int) else answer(request)
        return self._route(request)

    def _route(self, request: httpx.Request) -> httpx.Response:
        path, language = request.url.path, request.headers.get("accept-language", "fr")[:2]
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        body = json.loads(request.content) if request.content else {}
        if path.endswith("auth/token/"):
            return self._token(body)
        if path.endswith("auth/logout/"):
            return httpx.Response(204)
        if path.endswith("shop/packs/"):
            return httpx.Response(200, json=[_pack(*pack) for pack in _PACKS] if self.packs_shown else [])
        if path.endswith("shop/balance/"):
            return httpx.Response(200, json={"coins": self.coins, "entries": []})
        if path.endswith("providers/"):
            return httpx.Response(200, json=_PROVIDERS.get(language, _PROVIDERS["fr"]), headers={"etag": 'W/"1"'})
        if path.endswith("quote/"):
            return self._quote(query)
        if path.endswith("history/"):
            return self._history(query, language)
        if path.endswith("initiate/"):
            return self._initiate(request, body, language)
        parts = path.rstrip("/").split("/")
        if parts[-1] in ("status", "otp"):
            return self._one(parts[-2], language, body)
        return self._retry(parts[-1], body, language)

    def _token(self, body: dict[str, Any]) -> httpx.Response:
        if body.get("password") != "secret":
            return problem(400, "validation_error", "Nom ou mot de passe incorrect.")
        return httpx.Response(200, json={"token": "t" * 40, "expires_at": _instant(NOW + timedelta(days=1))})

    def _quote(self, query: dict[str, str]) -> httpx.Response:
        amount = int(query["amount"])
        provider = next(p for p in _PROVIDERS["fr"] if p["code"] == query["provider"])
        fee = _fee(amount, provider)
        currency = provider["currency"]
        return httpx.Response(
            200,
            json={
                "amount": amount,
                "currency": currency,
                "charged_amount": self._charged(amount, fee),
                "charged_currency": currency,
                "fee": fee,
                "total": self._charged(amount, fee),
                "exchange_rate": None,
            },
        )

    def _charged(self, amount: int, fee: int) -> int:
        return amount + fee if self.fee_payer == "payer" else amount

    def _initiate(self, request: httpx.Request, body: dict[str, Any], language: str) -> httpx.Response:
        key = request.headers["idempotency-key"]
        for payment in self.payments:
            if payment["_key"] == key:
                return httpx.Response(201, json=shown(payment, language), headers={"idempotency-replayed": "true"})
        provider = next(p for p in _PROVIDERS["fr"] if p["code"] == body["provider"])
        if provider["code"] == _CODE_FIRST and not body.get("otp"):
            return invalid("otp", _CODE_MISSING.get(language, _CODE_MISSING["fr"]))
        fee = _fee(body["amount"], provider)
        payment = _payment(len(self.payments), NOW) | {
            "provider": provider["code"],
            "provider_name": provider["name"],
            "amount": body["amount"],
            "charged_amount": self._charged(body["amount"], fee),
            "fee": fee,
            "metadata": body.get("metadata", {}),
            "status": "pending",
            "next_poll_seconds": 2,
            "settled_at": None,
            "reference": None,
            "expires_at": _instant(NOW + timedelta(minutes=15)),
            "_key": key,
        }
        payment |= {
            "otp": {"detail": "otp_required", "otp_required": True} if "otp" not in body else _WAITING,
            "redirect": {"detail": "redirect", "redirect_url": "https://pay.example/s/4f2a"},
            "hosted": {"detail": "redirect", "redirect_url": "https://pay.example/s/4f2a"},
        }.get(provider["flow"], _WAITING)
        payment |= _code_result(body.get("otp", ""))
        self.payments.insert(0, payment)
        return httpx.Response(201, json=shown(payment, language), headers={"date": self._date()})

    def _one(self, payment_id: str, language: str, body: dict[str, Any]) -> httpx.Response:
        payment = next((p for p in self.payments if p["id"] == payment_id), None)
        if payment is None:
            return problem(404)
        if body.get("otp") == "000000":
            return problem(422, "otp_rejected", _WRONG_CODE.get(language, _WRONG_CODE["fr"]))
        if "otp" in body:
            payment |= {"detail": "waiting_for_payer", "otp_required": False}
        return httpx.Response(200, json=shown(payment, language), headers={"date": self._date()})

    def _date(self) -> str:
        return (NOW + timedelta(seconds=self.passed)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    def _retry(self, payment_id: str, body: dict[str, Any], language: str) -> httpx.Response:
        payment = next(p for p in self.payments if p["id"] == payment_id)
        if not payment["can_retry"]:
            return problem(409, "not_retryable")
        if payment["provider"] == _CODE_FIRST and not body.get("otp"):
            return invalid("otp", _CODE_MISSING.get(language, _CODE_MISSING["fr"]))
        payment |= {
            "status": "pending",
            "detail": "waiting_for_payer",
            "attempt_count": payment["attempt_count"] + 1,
            "can_retry": False,
            "_reason": None,
            "next_poll_seconds": 2,
            "updated_at": _instant(NOW + timedelta(seconds=len(self.requests))),
        } | _code_result(body.get("otp", ""))
        return httpx.Response(201, json=shown(payment, language), headers={"date": self._date()})

    def _history(self, query: dict[str, str], language: str) -> httpx.Response:
        found = [
            payment
            for payment in self.payments
            if query.get("status") in (None, "", payment["status"])
            and query.get("idempotency_key") in (None, payment["_key"])
        ]
        start, size = int(query.get("cursor", 0)), 20
        rest = len(found) > start + size
        return httpx.Response(
            200,
            json={
                "next": f"http://shop.example/api/v1/payments/feexpay/history/?cursor={start + size}" if rest else None,
                "previous": None,
                "results": [shown(payment, language) for payment in found[start : start + size]],
            },
        )


def shown(payment: dict[str, Any], language: str) -> dict[str, Any]:
    """The payment's JSON in that language."""
    body = {name: value for name, value in payment.items() if not name.startswith("_")}
    code = payment.get("_reason")
    body["reason"] = {"code": code, "message": _REASONS[code].get(language, _REASONS[code]["fr"])} if code else None
    return body


def invalid(field: str, message: str) -> httpx.Response:
    """A 400 answer about that field."""
    answer = problem(400, "validation_error", message)
    body = json.loads(answer.content) | {"errors": [{"field": field, "code": "required", "message": message}]}
    return httpx.Response(400, headers={"content-type": "application/problem+json"}, json=body)


def problem(status: int, code: str = "", detail: str = "") -> httpx.Response:
    known = {
        401: "not_authenticated",
        404: "not_found",
        429: "throttled",
        500: "server_error",
        503: "gateway_unavailable",
    }
    return httpx.Response(
        status,
        headers={"content-type": "application/problem+json"} | ({"retry-after": "3"} if status in (429, 503) else {}),
        json={
            "type": "about:blank",
            "title": detail or "Problem",
            "status": status,
            "detail": detail or "Problem",
            "code": code or known.get(status, "server_error"),
            "errors": [],
            "request_id": "4be1c2",
        },
    )


_WAITING = {"detail": "waiting_for_payer"}


def _code_result(code: str) -> dict[str, Any]:
    """The changes of a payment after a one-time code: 000000 is refused."""
    if code != "000000":
        return {}
    refused = {"status": "failed", "detail": "refused", "_reason": "otp_rejected", "can_retry": True}
    return refused | {"next_poll_seconds": None, "settled_at": _instant(NOW)}


def _fee(amount: int, provider: dict[str, Any]) -> int:
    return round(amount * float(provider["fee_percent"]) / 100)


def _payment(number: int, at: datetime) -> dict[str, Any]:
    return {
        "id": f"0192f0a4-0000-7000-8000-{number:012d}",
        "status": "successful",
        "detail": "credited",
        "provider": "mtn_bj",
        "provider_name": "MTN Mobile Money",
        "country": "BJ",
        "amount": 5000,
        "currency": "XOF",
        "charged_amount": 5000,
        "charged_currency": "XOF",
        "exchange_rate": None,
        "fee": 85,
        "phone": "+229 01 •• •• •• 00",
        "merchant_reference": "",
        "reference": f"FXP{84120 + number}",
        "redirect_url": None,
        "otp_required": False,
        "can_retry": False,
        "next_poll_seconds": None,
        "attempt_count": 1,
        "created_at": _instant(at),
        "updated_at": _instant(at),
        "expires_at": _instant(at + timedelta(minutes=15)),
        "settled_at": _instant(at),
        "metadata": {"pack": "champion"},
        "_key": f"old-{number}",
        "_reason": None,
    }


def _pack(code: str, name: str, coins: int, price: int) -> dict[str, Any]:
    return {"code": code, "name": name, "coins": coins, "price": price, "currency": "XOF", "metadata": {"pack": code}}


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
