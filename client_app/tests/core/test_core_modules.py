"""Phone numbers, amounts, texts, receipts, preferences, tokens, catalogue, history and poller."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import string
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from feexpay_client.core import errors, money, phone, poller, ranking, receipts, system_locale
from feexpay_client.core.api import FeexPayClient
from feexpay_client.core.catalogue import Catalogue
from feexpay_client.core.history import History
from feexpay_client.core.i18n import LOCALES, Texts
from feexpay_client.core.models import Credentials, Payment, PhoneRule, Provider
from feexpay_client.core.preferences import PreferenceFile, Preferences
from feexpay_client.core.tokens import TokenStore
from hypothesis import given
from hypothesis import strategies as st

from tests.core import fake_server
from tests.core.fake_server import FakeServer, answer, page, payment, provider

CORE = Path(__file__).resolve().parents[2] / "src" / "feexpay_client" / "core"
BENIN = PhoneRule(True, "229", (10,), ("0196", "0197"), "0197000000")
SENEGAL = PhoneRule(True, "221", (9,), ("77", "78"), "770000000")
NB = "\u00a0"


# --- phone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("0197000050", "0197000050"),
        ("01 97 00 00 50", "0197000050"),
        ("+229 01 97 00 00 50", "0197000050"),
        ("0022901 97-00.00/50", "0197000050"),
        ("2290197000050", "0197000050"),
        ("22", "22"),
        ("2290", "2290"),
        ("", ""),
    ],
)
def test_national_digits_of_typed_and_pasted_numbers(typed: str, digits: str) -> None:
    assert phone.national(typed, BENIN) == digits


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("01 97 00 00 50", ""),
        ("+229 01 97 00 00 50", ""),
        ("", "missing"),
        ("   ", "missing"),
        ("01 97 00", "too_short"),
        ("01 97 00 00 50 1", "too_long"),
        ("+225 01 97 00 00 50", "other_country"),
        ("\u202a+229 01 97 00 00 50\u202c", ""),  # copied from an address book
        ("\u2068+225 01 97 00 00 50\u2069", "other_country"),
        ("\u202a\u202c", "missing"),
        ("my number", "not_a_number"),
        ("\u0660\u0661\u0669\u0667", "not_a_number"),
    ],
)
def test_each_wrong_number_has_its_error(typed: str, code: str) -> None:
    assert phone.problem(typed, BENIN) == code
    assert code == "" or Texts("fr").has(f"phone.{code}")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("0197000050", "01 97 00 00 50"),
        ("+", "+"),
        ("+22", "+22"),
        ("+229", ""),
        ("+229 01 97 00 00 50", "01 97 00 00 50"),
        ("0022901970000", "01 97 00 00"),
        ("+225 07 00", "+2250700"),
        ("\u202a+225 07 00\u202c", "+2250700"),
    ],
)
def test_a_number_with_a_country_code_can_be_typed_into_any_field(typed: str, shown: str) -> None:
    """Dropping the `+` would make a number with too many digits of it."""
    text = ""
    for character in typed:
        text = phone.as_typed(text + character, BENIN)
    assert text == shown
    assert phone.as_typed(typed, BENIN) == shown


def test_the_country_of_a_number_is_known_by_its_code() -> None:
    ivory = {**provider()["phone"], "calling_code": "225"}
    providers = [Provider.from_json(provider()), Provider.from_json(provider("wave_ci", country="CI", phone=ivory))]

    assert phone.country_of("+225 07 00 00 00 00", providers) == "CI"
    assert phone.country_of("0022901", providers) == "BJ"
    assert phone.country_of("+33 6", providers) == phone.country_of("07 00", providers) == ""


def test_the_full_number_is_shown_only_if_it_fits_the_masked_one() -> None:
    masked = "+229 01 •• •• •• 50"

    assert phone.fits_mask("+2290197000050", masked)
    assert not phone.fits_mask("+2290197000051", masked)
    assert not phone.fits_mask("", masked)
    assert not phone.fits_mask("+2290197000050", "")
    assert phone.in_groups("+2290197000050", BENIN) == "+229 01 97 00 00 50".replace(" ", NB)


def test_ways_to_pay_are_in_the_order_a_country_uses_them() -> None:
    rows = ("visa", "moov_ci", "mtn_ci", "other_ci", "orange_ci", "wave_ci")
    offered = [
        Provider.from_json(provider(code, kind="card" if code == "visa" else "mobile_money", country=code[-2:].upper()))
        for code in rows
    ]

    def order(last: str = "") -> list[str]:
        return [one.code for one in ranking.ranked(offered, "CI", last)]

    assert order() == ["wave_ci", "orange_ci", "mtn_ci", "moov_ci", "other_ci", "visa"]
    assert order("moov_ci")[:2] == ["moov_ci", "wave_ci"]
    assert order("visa")[0] == "visa"


def test_a_price_in_francs_is_asked_in_the_francs_of_the_provider() -> None:
    """MTN Congo charges in francs of Central Africa, which are worth as much."""
    congo = Provider.from_json(provider("mtn_cg", country="CG", currency="XAF"))

    assert ranking.accepts(congo, "XOF")
    assert ranking.currency_to_send(congo, "XOF") == "XAF"
    assert ranking.currency_to_send(congo, "EUR") == "EUR"


def test_countries_without_a_working_way_to_pay_are_not_offered() -> None:
    offered = [
        Provider.from_json(row)
        for row in (
            provider(),
            provider("mtn_cm", country="CM", enabled=False),
            provider("visa", country=None, kind="card"),
        )
    ]

    assert ranking.payable_countries(offered, "XOF") == {"BJ"}


@pytest.mark.parametrize(
    ("variables", "language", "country"),
    [
        ({"LANG": "en_GB.UTF-8"}, "en", "GB"),
        ({"LC_ALL": "fr_CI", "LANG": "en_US"}, "fr", "CI"),
        ({"LANG": "de-DE"}, "fr", "DE"),
        ({"LANG": "C.UTF-8"}, "fr", ""),
    ],
)
def test_language_and_country_come_from_the_system(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str, country: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert (system_locale.system_language(("fr", "en")), system_locale.system_country()) == (language, country)


def test_optional_number_may_be_missing() -> None:
    assert phone.problem("", PhoneRule(False, "", (), (), "")) == ""


def test_numbers_are_grouped_by_country() -> None:
    assert phone.grouped("0197000050", BENIN) == "01 97 00 00 50"
    assert phone.grouped("770000050", SENEGAL) == "77 000 00 50"
    assert phone.grouped("019", BENIN) == "01 9"


def test_a_prefix_suggests_an_available_provider() -> None:
    mtn = Provider.from_json(provider("mtn_bj"))
    moov_phone = provider()["phone"] | {"prefixes": ["0195"]}
    moov = Provider.from_json(provider("moov_bj", phone=moov_phone))
    closed = Provider.from_json(provider("celtiis_bj", phone=moov_phone, enabled=False))

    assert phone.suggestion("01 95 00", mtn, [mtn, closed, moov]) is moov
    assert phone.suggestion("01 97 00", mtn, [mtn, moov]) is None
    assert phone.suggestion("01 00", mtn, [mtn, moov]) is None
    assert phone.suggestion("", mtn, [mtn, moov]) is None


# --- money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "language", "text"),
    [
        (5100, "XOF", "fr", f"5{NB}100{NB}F{NB}CFA"),
        (5100, "XAF", "en", f"5{NB}100{NB}F{NB}CFA"),
        (0, "XOF", "fr", f"0{NB}F{NB}CFA"),
        (1250, "EUR", "fr", f"12,50{NB}€"),
        (123456, "USD", "en", "$1,234.56"),
        (-5, "EUR", "en", "-€0.05"),
        (7, "GNF", "fr", f"7{NB}GNF"),
    ],
)
def test_amount_is_formatted_by_currency_and_language(amount: int, currency: str, language: str, text: str) -> None:
    assert money.formatted(amount, currency, language) == text


@given(st.integers(0, money.LARGEST))
def test_an_amount_that_was_grouped_reads_back(amount: int) -> None:
    assert money.from_typed(money.grouped(amount)) == amount


def test_amount_is_checked_against_the_providers_limits() -> None:
    mtn = Provider.from_json(provider())
    assert [money.problem(amount, mtn) for amount in (0, 99, 100, 2_000_000, 2_000_001)] == [
        "missing", "too_small", "", "", "too_large",
    ]  # fmt: skip
    assert money.from_typed("9" * 40) == money.LARGEST


# --- texts -------------------------------------------------------------------------------------------


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_keys_and_placeholders() -> None:
    parts = sorted({path.name.split(".")[0] for path in LOCALES.glob("*.json")})
    assert "core" in parts
    for part in parts:
        french, english = (json.loads((LOCALES / f"{part}.{code}.json").read_text()) for code in ("fr", "en"))
        assert sorted(french) == sorted(english), part
        assert {key for key in french if placeholders(french[key]) != placeholders(english[key])} == set(), part
        assert [key for key, text in (french | english).items() if not text.strip()] == []


def test_parts_do_not_overwrite_each_other() -> None:
    keys = [key for path in LOCALES.glob("*.fr.json") for key in json.loads(path.read_text())]
    assert len(keys) == len(set(keys))


def test_every_notice_has_a_text() -> None:
    sources = "".join((CORE / f"{name}.py").read_text() for name in ("machine", "transitions"))
    codes = set(re.findall(r'Notice\("(\w+)"', sources)) | {"server_trouble", "slow"}
    codes |= {f"journal_{code}" for code in ("disk", "busy", "newer", "damaged")}
    codes |= {"duplicate_payment", "payment_open", "not_retryable", "idempotency_mismatch", "idempotency_conflict"}
    codes |= {"gateway_unavailable", "rate_unavailable", "throttled", "not_found", "permission_denied"}
    codes |= {"provider_unavailable", "validation_error", "too_many_prompts"}
    texts = Texts("fr")

    assert [code for code in sorted(codes) if not texts.has(f"notice.{code}")] == []


def test_a_change_of_language_notifies_once() -> None:
    texts, told = Texts("fr"), []
    leave = texts.subscribe(lambda: told.append(texts("status.pending")))
    texts.switch("en")
    texts.switch("en")
    leave()
    texts.switch("fr")

    assert told == ["Under way"]
    assert texts("no.such.key") == "no.such.key"


def test_receipt_leaves_out_unknown_values() -> None:
    paid = Payment.from_json(payment("successful", "credited"))
    text = receipts.as_text(paid, Texts("fr"), "Boutique", UTC)
    assert text.splitlines()[0] == "Boutique"
    for part in (
        "Payé",
        f"5{NB}000{NB}F{NB}CFA",
        "MTN Mobile Money",
        "+229 01 •• •• •• 50",
        "26 novembre 2026 à 10\u00a0h\u00a001",
        "FXP-1",
    ):
        assert part in text

    unknown = Payment.from_json(payment(reference=None, fee=None))
    assert "Référence" not in receipts.as_text(unknown, Texts("fr"), "Boutique", UTC)
    other = Payment.from_json(payment(currency="EUR", amount=762))
    assert ("Total", f"5{NB}000{NB}F{NB}CFA") in receipts.lines(other, Texts("en"), UTC)


# --- stored data ------------------------------------------------------------------------------------


def test_preferences_are_stored_and_a_damaged_file_means_defaults(tmp_path: Path) -> None:
    path = tmp_path / "home" / "preferences.json"
    kept = PreferenceFile(path)
    kept.change(language="en", text_size=130, server="https://shop.test")
    assert PreferenceFile(path).value == Preferences(server="https://shop.test", language="en", text_size=130)

    path.write_text('{"theme": "pink", "language": "en", "text_size": true, "reduced_motion": "yes", "more": 1}')
    assert PreferenceFile(path).value == Preferences(language="en")
    path.write_text("[]")
    assert PreferenceFile(path).value == Preferences()
    with pytest.raises(ValueError, match="theme"):
        kept.change(theme="pink")


class MemoryVault:
    """A vault in memory; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.broken = False

    def read(self, address: str) -> str | None:
        self._check()
        return self.kept.get(address)

    def write(self, address: str, secret: str) -> None:
        self._check()
        self.kept[address] = secret

    def remove(self, address: str) -> None:
        self._check()
        self.kept.pop(address, None)

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError("locked")


SESSION = Credentials("ama", "secret-token", datetime(2030, 1, 1, tzinfo=UTC))


def test_token_is_stored_per_server() -> None:
    async def act() -> None:
        vault = MemoryVault()
        await TokenStore(lambda: vault).save("https://a.test", SESSION)
        fresh = TokenStore(lambda: vault)
        assert await fresh.load("https://a.test") == SESSION
        assert await fresh.load("https://b.test") is None
        await fresh.clear("https://a.test")
        assert vault.kept == {}

    asyncio.run(act())


def test_without_secure_storage_the_token_stays_in_memory() -> None:
    async def act() -> None:
        def none() -> MemoryVault:
            raise RuntimeError("no keyring")

        store = TokenStore(none)
        await store.save("https://a.test", SESSION)
        assert not store.persistent
        assert await store.load("https://a.test") == SESSION
        vault = MemoryVault()
        vault.kept["https://a.test"] = "no session"
        assert await TokenStore(lambda: vault).load("https://a.test") is None
        vault.broken = True
        broken = TokenStore(lambda: vault)
        assert await broken.load("https://a.test") is None
        assert not broken.persistent

    asyncio.run(act())


def test_a_hanging_keyring_does_not_block_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feexpay_client.core.tokens._TIMEOUT_SECONDS", 0.05)
    released = threading.Event()

    class Hanging(MemoryVault):
        def read(self, address: str) -> str | None:
            released.wait()
            return None

    async def act() -> None:
        store = TokenStore(Hanging)
        assert await store.load("https://a.test") is None
        assert not store.persistent
        released.set()

    asyncio.run(act())


def test_providers_come_from_the_cache_until_refreshed(tmp_path: Path) -> None:
    async def act() -> None:
        shop = FakeServer()
        api = FeexPayClient("https://shop.test", transport=shop.transport())
        first = Catalogue(api, tmp_path, "https://shop.test", "fr")
        assert first.providers == ()
        await first.refresh()
        shop.on("GET providers/", answer([provider("visa", country=None, country_name=None)]))
        second = Catalogue(api, tmp_path, "https://shop.test", "fr")
        assert [one.code for one in second.providers] == ["mtn_bj"]
        assert [(one.code, one.name) for one in second.countries()] == [("BJ", "Bénin")]
        await second.refresh()
        assert shop.requests[-1].headers["If-None-Match"] == 'W/"p1"'
        assert [one.code for one in second.in_country("BJ")] == ["visa"]
        for path in tmp_path.iterdir():
            path.write_text("{")
        assert Catalogue(api, tmp_path, "https://shop.test", "fr").providers == ()

    asyncio.run(act())


def test_history_loads_page_by_page_and_keeps_its_list_on_failure() -> None:
    async def act() -> None:
        shop = FakeServer()
        older = payment(id="older", created_at="2026-11-25T23:59:00.000Z")
        internal = "http://10.0.0.1/api/v1/payments/feexpay/history/?cursor=abc%3D"
        shop.on(
            "GET history/",
            answer(page(payment(), following=internal)),
            answer(page(payment(), older)),
            fake_server.problem(500, "server_error"),
        )
        history = History(FeexPayClient("https://shop.test", transport=shop.transport()))
        await history.refresh({"status": "", "provider": "mtn_bj"})
        await history.more()
        assert shop.requests[1].url.params["cursor"] == "abc="
        assert str(shop.requests[1].url).startswith("https://shop.test/")
        assert [one.id for one in history.payments] == [fake_server.PAYMENT_ID, "older"]
        assert history.complete
        assert [(day.day, len(rows)) for day, rows in history.by_day(UTC)] == [(26, 1), (25, 1)]
        await history.more()
        assert len(shop.requests) == 2
        with pytest.raises(errors.ApiError):
            await history.refresh()
        assert len(history.payments) == 2

    asyncio.run(act())


# --- poller -----------------------------------------------------------------------------------------


def test_the_servers_poll_interval_is_used_within_limits() -> None:
    assert [poller.after_answer(hint) for hint in (None, 0, 2, 60, 10_000)] == [5.0, 1.0, 2.0, 60.0, 300.0]
    assert [poller.after_answer(2, still) for still in (1, 5, 50)] == [3.0, 7.0, 10.0]
    assert poller.after_answer(60, 50) == 60.0


def test_errors_back_off_and_never_stop() -> None:
    delays = [poller.after_failure(count) for count in range(1, 50)]
    assert delays == sorted(delays)
    assert delays[0] == 2.0
    assert delays[-1] == 30.0
    assert poller.after_failure(3, 40.0) == 40.0


# --- what the core imports ---------------------------------------------------------------------------


def test_the_core_imports_no_kivy_and_nothing_of_the_server() -> None:
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"kivy", "django", "django_feexpay"}, path.name
            assert not any(name.startswith(("feexpay_client.ui", "feexpay_client.presenters")) for name in names), (
                path.name
            )


def test_importing_the_core_loads_neither_kivy_nor_httpx() -> None:
    code = "import sys, feexpay_client.core.session; print([name for name in ('kivy', 'httpx') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "[]", "httpx is imported by the first request: it would cost the first frame 80 ms"
