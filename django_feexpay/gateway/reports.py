"""What the gateway said, in our words. Frozen values; FeexPay's field names end here.

Nothing here raises on a body: what cannot be read is absent (None, "", Word.UNKNOWN), never guessed. What of its texts
may be kept and logged, `redaction` says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS as DOUBTFUL_REFUSALS
from django_feexpay.catalogue.outcomes import REASON_CODES as REASON_CODES
from django_feexpay.catalogue.outcomes import REASONS as REASONS
from django_feexpay.catalogue.outcomes import UNKNOWN_REASON as UNKNOWN_REASON
from django_feexpay.catalogue.outcomes import Word as Word
from django_feexpay.catalogue.outcomes import same_reference as same_reference
from django_feexpay.catalogue.outcomes import spellings_of as spellings_of
from django_feexpay.gateway.redaction import (
    safe_echo,
    safe_id,
    safe_instant,
    safe_number,
    safe_page_name,
    safe_words,
)
from django_feexpay.private import PrivateDict, PrivateText, private

Body = Mapping[str, object]

HISTORY_ROW_LIMIT = 500
REFERENCE_MAX_LENGTH = 100
_LONGEST_TEXT = 200
_LONGEST_URL = 2048
_DEEPEST_NESTING = 3

# Starts with a letter or digit: "." and ".." would climb out of the path they are put in.
_REFERENCE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:~+=-]{{0,{REFERENCE_MAX_LENGTH - 1}}}")
_WHOLE_NUMBER = re.compile(r"([0-9]{1,15})(?:\.0{1,4})?")
_LONG_DIGITS = re.compile(r"[0-9]{7,}")


# Only the words that official material shows. CANCELLED, EXPIRED and the like were only ever seen in other
# people's defensive code: taking one for a failure would open a second charge.
_WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "PENDING": Word.PENDING,
        "IN PENDING STATE": Word.PENDING,
        "SUCCESSFUL": Word.SUCCESSFUL,
        "SUCCESS": Word.SUCCESSFUL,
        "FAILED": Word.FAILED,
    }
)

# Any of these, or a word above, in an answer says that there is a payment; which end it came to, only asking tells.
_WORDS_OF_A_PAYMENT = frozenset(_WORDS) | {
    *("TIMEOUT", "INSUFFICIENT_FUNDS", "CANCELLED", "CANCELED", "EXPIRED", "REJECTED"),
}
_NAMES_OF_A_REFERENCE = ("reference", "transref", "order_id", "transaction_id")
# Said of a payment that was SUCCESSFUL, these mean that its money was taken back. Only FAILED is documented; FeexPay's
# dashboard has refunds, and no source shows the word that the API then answers with. Of a payment that was never
# successful the others stay unknown words.
_TAKEN_BACK = frozenset({"FAILED", "REVERSED", "REFUNDED", "CANCELLED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """FeexPay's answer to a collect that it took on. Only asking settles, whatever `word` says.

    redirect_url: http(s) page where the payer goes on. otp_required: the payer was sent a code to give us.
    reason_code, reason_text: why, when the answer is already FAILED.
    """

    reference: str
    word: Word
    redirect_url: str | None = None
    otp_required: bool = False
    reason_code: str | None = None
    reason_text: str = ""


@dataclass(frozen=True, slots=True)
class HostedPage:
    """FeexPay's answer to a request for a payment page. url: where the payer pays, whose address only we were told."""

    url: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """FeexPay's authenticated answer about one attempt. Absent facts are None, never guessed.

    amount: integer in the currency's minor unit. currency: three capitals, or `?` for what is none.
    echo: our attempt id as it came back, `•••` for what is none.
    msisdn_ending: the last two digits only, enough to compare and too few to tell whose number it is.
    reason_code: one of REASON_CODES when the word is FAILED, else None.
    A success whose amount is there but unreadable is Word.UNKNOWN: it must not pass for one without an amount.
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
        """Whether this says, of a payment that was successful, that its money was taken back."""
        return self.word is Word.FAILED or takes_back(self.raw_word)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One payment of FeexPay's history. custom_id: the id a payment page was asked for with, None elsewhere."""

    report: StatusReport
    provider_wire_name: str = ""
    created_at: str = ""
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A period of FeexPay's history. `complete` is False when rows were cut (500 at most) or could not be read:
    absence then proves nothing. `cut`: a smaller question would show more.
    """

    rows: tuple[HistoryRow, ...]
    total: int
    complete: bool
    cut: bool = False


@dataclass(frozen=True, slots=True)
class WebhookHint:
    """What a webhook body claims. A hint only: nothing here may decide about money.

    reference: "" when the event carries none (a finished history export, for one). echo: our attempt id, perhaps.
    link: what the event says of the payment page it was paid on, "" for the others.
    dedupe_key: SHA-256 over reference, status and canonical body: FeexPay sends no event id. Keep it keyed only: the
    body holds a msisdn that could be found by trying.
    redacted: the body without names, mail, msisdn; safe to keep.
    """

    reference: str
    reported_status: str
    event_type: str
    dedupe_key: str
    redacted: dict[str, object]
    echo: str | None = None
    link: str = ""


def json_object(raw: bytes) -> dict[str, object] | None:
    """The JSON object in these bytes, masked; or None: not UTF-8, not JSON, twice a key, NaN, too deep, no object."""
    try:
        text = PrivateText(raw.decode("utf-8-sig"))
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_masked)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def accepted_from(body: Body, *, otp_expected: bool = False) -> Accepted | None:
    """The answer to a collect, or None if it holds no usable reference.

    otp_expected: the provider asks for a code in a second step, so a bare reference means it is waiting for one.
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
    """Whether an answer speaks of a payment, by a reference or a status word, at any depth that we read.

    A reference that we could not use counts, too. FeexPay's `"status": 400` of an error is no status word.
    """
    level: object = body
    for _ in range(_DEEPEST_NESTING + 1):
        if not isinstance(level, dict):
            return False
        if any(_is_given(level.get(name)) for name in _NAMES_OF_A_REFERENCE) or _is_word_of_a_payment(level):
            return True
        level = level.get("data")
    return False


def hosted_page_from(body: Body) -> HostedPage | None:
    """The answer to a request for a payment page, or None if it holds no address to open."""
    url = _web_address(_innermost(body).get("urlPay"))
    return None if url is None else HostedPage(url)


def status_report_from(body: Body) -> StatusReport | None:
    """The status of one attempt, or None if the body holds no status at all."""
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
    """A period's rows, or None if the body holds no list of rows."""
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
    """Balance by FeexPay's name of the provider, rounded down; None if the body holds none.

    A balance that cannot be read is left out.
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
    """What a webhook's JSON object claims. Never raises; every field may be empty."""
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
        link=safe_page_name(inner.get("ref_link")),
    )


def echo_kept_in(body: Body) -> str | None:
    """Our attempt id in a webhook's body as it is kept, `WebhookHint.redacted`."""
    return _echo(body.get("callback_info"))


def word_from(raw: object) -> Word:
    """FeexPay's status word in ours; letter case and outer spaces do not matter, anything else is UNKNOWN."""
    return _WORDS.get(_in_capitals(raw), Word.UNKNOWN)


def takes_back(raw: object) -> bool:
    """Whether a status word, said of a payment that was successful, means that its money was taken back."""
    return _in_capitals(raw) in _TAKEN_BACK


def _in_capitals(raw: object) -> str:
    """A status word without regard to letter case and outer spaces; "" for what is none."""
    # Beyond ASCII, upper() could turn another word into one of ours.
    return " ".join(raw.upper().split()) if isinstance(raw, str) and raw.isascii() else ""


def usable_reference(raw: object) -> str | None:
    """The reference if it can go into a URL and a column, its letter case kept; else None."""
    if not isinstance(raw, str):
        return None
    text = raw.strip(" ")
    return text if _REFERENCE.fullmatch(text) else None


def reason_code_from(raw: object) -> str | None:
    """Our code for one of FeexPay's or the operators' reasons, None for one we do not know."""
    text = re.sub(r"[^A-Z0-9]+", "_", clean_text(raw).upper()).strip("_")
    if text in REASONS:
        return REASONS[text]
    # No source shows the words for a wrong or an old code; whatever they are, they name it.
    return "otp_rejected" if "OTP" in text.split("_") else None


def clean_text(raw: object, limit: int = _LONGEST_TEXT) -> str:
    """A short single line that a log and any database take, without numbers long enough to be a msisdn."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return ""
    text = PrivateText(str(raw)[: 4 * limit])
    printable = PrivateText("".join(sign if sign.isprintable() else " " for sign in text))
    return _LONG_DIGITS.sub("•••", " ".join(printable.split()))[:limit]


def _masked(pairs: list[tuple[str, object]]) -> PrivateDict:
    """Which of two equal keys counts is a matter of the parser: a body that has them says nothing."""
    masked = PrivateDict((name, private(value)) for name, value in pairs)
    if len(masked) != len(pairs):
        raise ValueError("a key is given twice")
    return masked


def _refuse_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _is_given(raw: object) -> bool:
    return (isinstance(raw, str) and bool(raw.strip())) or (isinstance(raw, int) and not isinstance(raw, bool))


def _is_word_of_a_payment(body: Body) -> bool:
    raw = body.get("status")
    return isinstance(raw, str) and raw.isascii() and " ".join(raw.upper().split()) in _WORDS_OF_A_PAYMENT


def _innermost(body: Body) -> Body:
    """The object that speaks about the payment: some answers wrap it in `data`, once or more."""
    for _ in range(_DEEPEST_NESTING):
        inner = body.get("data")
        # An envelope has a `status` of its own ("success"): never read it for the payment's.
        if not isinstance(inner, dict) or ("reference" in body and "reference" not in inner):
            break
        body = inner
    return body


def _first_reference(body: Body, names: tuple[str, ...]) -> str | None:
    for name in names:
        reference = usable_reference(body.get(name))
        if reference is not None:
            return reference
    return None


def _whole_number(raw: object) -> int | None:
    """5000, 5000.0, "5000" and "5000.00"; nothing else, and nothing below zero."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, int):
        return raw if 0 <= raw < 10**15 else None
    match = _WHOLE_NUMBER.fullmatch(raw) if isinstance(raw, str) else None
    return int(match[1]) if match else None


def _currency(raw: object) -> str | None:
    """No alias is known, so "FCFA" is none: staff decide. The v2 answers name no currency at all."""
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
    """Our attempt id; history gives it as an object, from which the only text is taken."""
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
    """Why it failed: the first field with a known reason, and the first text that says anything."""
    if word is not Word.FAILED:
        return None, ""
    fields = _reason_fields(body)
    said = [text for raw in fields if (text := safe_words(raw))]
    codes = [code for raw in fields if (code := reason_code_from(raw))]
    return (codes[0] if codes else UNKNOWN_REASON), (said[0] if said else "")


def _reason_fields(body: Body) -> list[object]:
    raw = [body.get("reason"), body.get("response_operator")]
    found = [part for value in raw for part in _parts(value)]
    names = ("responsemsg", "statusCode", "responsecode", "message")
    return found + [body.get(name) for name in names]


def _parts(value: object) -> list[object]:
    """A reason comes as text, as an object of code and message, or as an object of lists."""
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
    report = status_report_from(raw) if isinstance(raw, dict) else None
    if report is None or not isinstance(raw, dict):
        return None
    return HistoryRow(
        report=report,
        provider_wire_name=clean_text(raw.get("reseau")),
        created_at=safe_instant(raw.get("date")),
        custom_id=_echo(raw.get("custom_id")),
    )


# What may be kept of a webhook body, and in which shape: a list of what is harmless, so that a new field is personal
# until shown otherwise. The history file's address is left out on purpose: it opens everybody's payments.
_KEPT: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "reference": lambda raw: usable_reference(raw) or "",
        "order_id": safe_id,
        "transref": safe_id,
        "ref_operator": safe_id,
        "request_id": safe_id,
        "callback_info": lambda raw: safe_echo(raw) or "",
        "ref_link": safe_page_name,
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
    """What is kept of a webhook's JSON object. Safe to repeat: yes, on what it returned."""
    return {name: keep(body[name]) for name, keep in _KEPT.items() if name in body}
