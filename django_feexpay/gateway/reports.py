"""Parsers for FeexPay's replies and webhooks. Nothing outside gateway/ uses FeexPay's field names.

No parser raises on a body. A value that cannot be read becomes None, "" or Word.UNKNOWN and is never guessed.
`redaction` decides which texts may be stored and logged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from django_feexpay.catalogue.outcomes import REASONS, UNKNOWN_REASON, Word
from django_feexpay.gateway.redaction import safe_echo, safe_id, safe_instant, safe_number, safe_page_name, safe_words
from django_feexpay.private import PrivateDict, PrivateText, private

Body = Mapping[str, object]

HISTORY_ROW_LIMIT = 500
REFERENCE_MAX_LENGTH = 100
_LONGEST_TEXT = 200
_LONGEST_URL = 2048
_DEEPEST_NESTING = 3

# The first character is a letter or digit: "." and ".." would change the URL path.
_REFERENCE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:~+=-]{{0,{REFERENCE_MAX_LENGTH - 1}}}")
_WHOLE_NUMBER = re.compile(r"([0-9]{1,15})(?:\.0{1,4})?")
_LONG_DIGITS = re.compile(r"[0-9]{7,}")


# Only words in FeexPay's own documents. CANCELLED, EXPIRED and similar words appear only in defensive code of
# integrators: if one of them did not mean failure, a retry would charge the payer twice.
_WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "PENDING": Word.PENDING,
        "IN PENDING STATE": Word.PENDING,
        "SUCCESSFUL": Word.SUCCESSFUL,
        "SUCCESS": Word.SUCCESSFUL,
        "FAILED": Word.FAILED,
    }
)

# One of these words in a reply shows that a payment exists; its outcome must be polled.
_WORDS_OF_A_PAYMENT = {*_WORDS, "TIMEOUT", "INSUFFICIENT_FUNDS", "CANCELLED", "CANCELED", "EXPIRED", "REJECTED"}
_NAMES_OF_A_REFERENCE = ("reference", "transref", "order_id", "transaction_id")
# After SUCCESSFUL these words mean that the money was taken back. Only FAILED is documented; FeexPay's dashboard has
# refunds, and no source shows the API's word for them. Without an earlier SUCCESSFUL, all but FAILED stay unknown.
_TAKEN_BACK = frozenset({"FAILED", "REVERSED", "REFUNDED", "CANCELLED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """FeexPay's reply to an accepted collect. `word` settles nothing: only a status report does.

    redirect_url: http(s) page where the payer continues. otp_required: FeexPay sent the payer a code for us.
    reason_code, reason_text: the cause, if `word` is already FAILED.
    """

    reference: str
    word: Word
    redirect_url: str | None = None
    otp_required: bool = False
    reason_code: str | None = None
    reason_text: str = ""


@dataclass(frozen=True, slots=True)
class HostedPage:
    """FeexPay's reply to a request for a payment page. url: only we know it, so only our payer can pay there."""

    url: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """FeexPay's authenticated report on one attempt. Missing values are None, never guessed.

    amount: integer in the currency's minor unit. currency: three capitals, or `?` if unreadable.
    echo: our attempt id as FeexPay returned it, or `•••` if it is not a UUID.
    msisdn_ending: the last two digits, enough to compare and too few to identify the payer.
    reason_code: one of REASON_CODES if the word is FAILED, else None.
    A success with an unreadable amount is Word.UNKNOWN, so that it is not taken for a success without an amount.
    """

    word: Word
    reference: str | None = None
    amount: int | None = None
    echo: str | None = None
    msisdn_ending: str | None = None
    reason_code: str | None = None
    reason_text: str = ""
    raw_word: str = ""
    currency: str | None = None

    @property
    def takes_back(self) -> bool:
        """Whether this report, after a successful one, means that the money was taken back."""
        return self.word is Word.FAILED or takes_back(self.raw_word)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One payment of FeexPay's history. custom_id: our attempt id if it was paid on a payment page, else None."""

    report: StatusReport
    provider_wire_name: str = ""
    created_at: str = ""
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A period of FeexPay's history.

    complete: False if FeexPay cut rows (it returns 500 at most) or a row was unreadable. Then a missing row proves
    nothing. cut: a shorter period would show more rows.
    """

    rows: tuple[HistoryRow, ...]
    total: int
    complete: bool
    cut: bool = False


@dataclass(frozen=True, slots=True)
class WebhookHint:
    """The content of a webhook body, without proof. No decision about money may depend on it.

    reference: "" if the event has none, like the event of a finished history export. echo: our attempt id, if given.
    link: the name of the payment page, "" for other payments. Compared with ours, never stored.
    dedupe_key: SHA-256 over reference, status and canonical body, because FeexPay sends no event id. Store it only
    through a keyed hash: the body contains a msisdn that could be found by trying all numbers.
    redacted: the body without names, e-mail and msisdn; safe to store.
    """

    reference: str
    reported_status: str
    event_type: str
    dedupe_key: str
    redacted: dict[str, object]
    echo: str | None = None
    link: str = ""


def json_object(raw: bytes) -> dict[str, object] | None:
    """Parse a JSON object, masked. None for other encodings, invalid JSON, a duplicate key, NaN or deep nesting."""
    try:
        text = PrivateText(raw.decode("utf-8-sig"))
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_masked)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def accepted_from(body: Body, *, otp_expected: bool = False) -> Accepted | None:
    """Parse the reply to a collect; None without a usable reference.

    otp_expected: the provider takes a code in a second collect, so a reference alone means that it waits for the code.
    """
    body = _innermost(body)
    reference = _first_reference(body, _NAMES_OF_A_REFERENCE)
    if reference is None:
        return None
    word = word_from(body.get("status"))
    redirect_url = _web_address(body.get("payment_url"))
    code, text = _reason(body, word)
    return Accepted(
        reference=reference,
        word=word,
        redirect_url=redirect_url,
        otp_required=otp_expected and redirect_url is None and word not in (Word.SUCCESSFUL, Word.FAILED),
        reason_code=code,
        reason_text=text,
    )


def names_payment(body: Body) -> bool:
    """Whether a reply names a payment, by a reference or a status word, at any depth that we read.

    A reference in an unusable format counts too. `"status": 400` of FeexPay's error body is not a status word.
    """
    level: object = body
    for _ in range(_DEEPEST_NESTING + 1):
        if not isinstance(level, dict):
            return False
        references = [level.get(name) for name in _NAMES_OF_A_REFERENCE]
        if any(not isinstance(raw, bool) and isinstance(raw, str | int) and str(raw).strip() for raw in references):
            return True
        if _in_capitals(level.get("status")) in _WORDS_OF_A_PAYMENT:
            return True
        level = level.get("data")
    return False


def hosted_page_from(body: Body) -> HostedPage | None:
    """Parse the reply to a request for a payment page; None without a URL to open."""
    url = _web_address(_innermost(body).get("urlPay"))
    return None if url is None else HostedPage(url)


def status_report_from(body: Body) -> StatusReport | None:
    """Parse the status of one attempt; None if the body has no status."""
    body = _innermost(body)
    if "status" not in body:
        return None
    word = word_from(body["status"])
    amount = _whole_number(body.get("amount"))
    if word is Word.SUCCESSFUL and amount is None and body.get("amount") not in (None, ""):
        word = Word.UNKNOWN
    code, text = _reason(body, word)
    return StatusReport(
        word=word,
        reference=_first_reference(body, ("reference", "order_id")),
        amount=amount,
        echo=_echo(body.get("callback_info")),
        msisdn_ending=_msisdn_ending(body),
        reason_code=code,
        reason_text=text,
        raw_word=safe_words(body["status"]),
        currency=_currency(body.get("currency")),
    )


def history_page_from(body: Body) -> HistoryPage | None:
    """Parse a period of the history; None if the body has no list of rows."""
    found = _rows_and_total(body)
    if found is None:
        return None
    raw_rows, raw_total = found
    rows = tuple(row for raw in raw_rows if (row := _history_row(raw)) is not None)
    total = _whole_number(raw_total)
    cut = len(raw_rows) >= HISTORY_ROW_LIMIT or (total or 0) > len(raw_rows)  # a full page may have been cut
    return HistoryPage(
        rows=rows,
        total=len(raw_rows) if total is None else total,
        complete=total == len(raw_rows) == len(rows) and not cut,
        cut=cut,
    )


def balances_from(body: Body) -> dict[str, int] | None:
    """Parse the balances, by FeexPay's name of the provider and rounded down; None if the body has none.

    Unreadable balances are left out.
    """
    for _ in range(_DEEPEST_NESTING):
        balances = body.get("balances")
        if isinstance(balances, dict):
            return {clean_text(name): amount for name, raw in balances.items() if (amount := _balance(raw)) is not None}
        inner = body.get("data")
        if not isinstance(inner, dict):
            return None
        body = inner
    return None


def hint_from(body: Body) -> WebhookHint:
    """Parse a webhook's JSON object. Never raises; every field may be empty."""
    inner = _innermost(body)
    reference = _first_reference(inner, ("reference", "order_id")) or ""
    status = clean_text(inner.get("status"))
    canonical = PrivateText(json.dumps([reference, status, body], sort_keys=True, separators=(",", ":")))
    return WebhookHint(
        reference=reference,
        reported_status=safe_words(inner.get("status")),
        event_type=safe_words(inner.get("type")),
        dedupe_key=hashlib.sha256(canonical.encode("ascii")).hexdigest(),
        redacted=redacted(inner),
        echo=_echo(inner.get("callback_info")),
        link=PrivateText(safe_page_name(inner.get("ref_link"))),
    )


def echo_kept_in(body: Body) -> str | None:
    """Our attempt id in a stored webhook body, `WebhookHint.redacted`."""
    return _echo(body.get("callback_info"))


def word_from(raw: object) -> Word:
    """Translate FeexPay's status word, in any letter case and spacing. An unknown word is Word.UNKNOWN."""
    return _WORDS.get(_in_capitals(raw), Word.UNKNOWN)


def takes_back(raw: object) -> bool:
    """Whether a status word, after a success, means that the money was taken back."""
    return _in_capitals(raw) in _TAKEN_BACK


def _in_capitals(raw: object) -> str:
    # ASCII only: beyond it, upper() could turn another word into one of ours.
    return " ".join(raw.upper().split()) if isinstance(raw, str) and raw.isascii() else ""


def usable_reference(raw: object) -> str | None:
    """The reference if it fits a URL path and a column, in its own letter case; else None."""
    if not isinstance(raw, str):
        return None
    text = raw.strip(" ")
    return text if _REFERENCE.fullmatch(text) else None


def reason_code_from(raw: object) -> str | None:
    """Our code for a reason of FeexPay or of an operator; None for an unknown reason."""
    text = re.sub(r"[^A-Z0-9]+", "_", clean_text(raw).upper()).strip("_")
    if text in REASONS:
        return REASONS[text]
    # No source shows the reason for a wrong or expired one-time code, but it will contain the word OTP.
    return "otp_rejected" if "OTP" in text.split("_") else None


def clean_text(raw: object, limit: int = _LONGEST_TEXT) -> str:
    """A short single line that is safe in a log and in any database, without digits long enough to be an msisdn."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return ""
    text = PrivateText(str(raw)[: 4 * limit])
    printable = PrivateText("".join(sign if sign.isprintable() else " " for sign in text))
    return _LONG_DIGITS.sub("•••", " ".join(printable.split()))[:limit]


def _masked(pairs: list[tuple[str, object]]) -> PrivateDict:
    # Parsers differ on which of two equal keys counts, so such a body is unreadable.
    masked = PrivateDict((name, private(value)) for name, value in pairs)
    if len(masked) != len(pairs):
        raise ValueError("duplicate key")
    return masked


def _refuse_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _innermost(body: Body) -> Body:
    """The object that describes the payment: some replies wrap it in `data`, once or more."""
    for _ in range(_DEEPEST_NESTING):
        inner = body.get("data")
        # The outer object has a `status` of its own ("success"), which is not the payment's.
        if not isinstance(inner, dict) or ("reference" in body and "reference" not in inner):
            break
        body = inner
    return body


def _first_reference(body: Body, names: tuple[str, ...]) -> str | None:
    return next((reference for name in names if (reference := usable_reference(body.get(name)))), None)


def _whole_number(raw: object) -> int | None:
    """Read 5000, 5000.0, "5000" and "5000.00"; None for anything else and below zero."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, int):
        return raw if 0 <= raw < 10**15 else None
    match = _WHOLE_NUMBER.fullmatch(raw) if isinstance(raw, str) else None
    return int(match[1]) if match else None


def _currency(raw: object) -> str | None:
    # Only ISO codes: "FCFA" could be XOF or XAF, so staff decide. The v2 replies name no currency.
    if raw is None or raw == "":
        return None
    text = raw.strip().upper() if isinstance(raw, str) and raw.isascii() else ""
    return text if re.fullmatch("[A-Z]{3}", text) else "?"


def _balance(raw: object) -> int | None:
    if isinstance(raw, float) and abs(raw) < 1e15:
        return int(raw // 1)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    return _whole_number(raw)


def _echo(raw: object) -> str | None:
    # The history returns the echo as an object with one text.
    if isinstance(raw, dict):
        texts = [value for value in raw.values() if isinstance(value, str)]
        raw = texts[0] if len(texts) == 1 else None
    return safe_echo(raw)


def _msisdn_ending(body: Body) -> str | None:
    payer = body.get("payer")
    party = payer.get("partyId") if isinstance(payer, dict) else None
    for raw in (body.get("phoneNumber"), body.get("phone_number"), party):
        digits = PrivateText(re.sub(r"[^0-9]", "", str(raw)) if isinstance(raw, str | int) else "")
        if len(digits) >= 8:
            return digits[-2:]
    return None


def _reason(body: Body, word: Word) -> tuple[str | None, str]:
    """The cause of a failure: the first known reason code, and the first text that is not empty."""
    if word is not Word.FAILED:
        return None, ""
    fields = [part for name in ("reason", "response_operator") for part in _parts(body.get(name))]
    fields += [body.get(name) for name in ("responsemsg", "statusCode", "responsecode", "message")]
    code = next((code for raw in fields if (code := reason_code_from(raw))), UNKNOWN_REASON)
    return code, next((text for raw in fields if (text := safe_words(raw))), "")


def _parts(value: object) -> list[object]:
    # A reason comes as text, as an object of code and message, or as an object of lists.
    if isinstance(value, dict):
        names = ("code", "description", "message", "status")
        return [part for name in names for part in _parts(value.get(name))]
    if isinstance(value, list):
        return [part for part in value[:4] if isinstance(part, str | int)]
    return [value]


def _web_address(raw: object) -> str | None:
    if not isinstance(raw, str) or len(raw) > _LONGEST_URL or not raw.isascii() or not raw.isprintable():
        return None
    try:
        parts = urlsplit(raw.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in raw.strip()
    except ValueError:  # a broken IPv6 host
        return None
    return raw.strip() if usable else None


def _rows_and_total(body: Body) -> tuple[list[object], object] | None:
    for _ in range(_DEEPEST_NESTING):
        inner = body.get("data")
        if isinstance(inner, list):
            return inner, body.get("total")
        if not isinstance(inner, dict):
            return None
        body = inner
    return None


def _history_row(raw: object) -> HistoryRow | None:
    if not isinstance(raw, dict) or (report := status_report_from(raw)) is None:
        return None
    return HistoryRow(
        report=report,
        provider_wire_name=clean_text(raw.get("reseau")),
        created_at=safe_instant(raw.get("date")),
        custom_id=_echo(raw.get("custom_id")),
    )


# The webhook fields that may be stored, and how. An allow-list: a new field counts as personal data until it is added
# here. The URL of a history file is left out on purpose: it opens the payments of all payers.
_KEPT: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "reference": lambda raw: usable_reference(raw) or "",
        "order_id": safe_id,
        "transref": safe_id,
        "ref_operator": safe_id,
        "request_id": safe_id,
        "callback_info": lambda raw: safe_echo(raw) or "",
        "ref_link": safe_id,  # a sender may put a person's name here, which would pass as a page name
        "amount": safe_number,
        "row_count": safe_number,
        "date": safe_instant,
        "expires_at": safe_instant,
        "status": safe_words,
        "type": safe_words,
        "reseau": safe_words,
        "result_format": safe_words,
        "reason": safe_words,
    }
)


def redacted(body: Body) -> dict[str, object]:
    """The part of a webhook's JSON object that may be stored. Safe to repeat on its own result."""
    return {name: keep(body[name]) for name, keep in _KEPT.items() if name in body}
