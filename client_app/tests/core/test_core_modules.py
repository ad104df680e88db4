"""Numbers, amounts, texts, receipts, preferences, tokens, lists: the rooms around the machine."""

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
from feexpay_client.core import errors, money, phone, poller, receipts
from feexpay_client.core.api import Hooks, HttpxApi
from feexpay_client.core.catalogue import Catalogue
from feexpay_client.core.history import History
from feexpay_client.core.i18n import LOCALES, Texts
from feexpay_client.core.models import Credentials, Payment, PhoneRule, Provider
from feexpay_client.core.preferences import PreferenceFile, Preferences
from feexpay_client.core.tokens import TokenStore
from hypothesis import given
from hypothesis import strategies as st

from tests.core import server
from tests.core.server import Server, answer, page, payment, provider

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
def test_national_digits_of_what_people_type_and_paste(typed: str, digits: str) -> None:
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
        ("my number", "not_a_number"),
        ("\u0660\u0661\u0669\u0667", "not_a_number"),
    ],
)
def test_what_is_wrong_with_a_number(typed: str, code: str) -> None:
    assert phone.problem(typed, BENIN) == code
    assert code == "" or Texts("fr").has(f"phone.{code}")


def test_where_no_number_is_wanted_none_is_missed() -> None:
    assert phone.problem("", PhoneRule(False, "", (), (), "")) == ""


def test_numbers_are_grouped_as_the_country_does() -> None:
    assert phone.grouped("0197000050", BENIN) == "01 97 00 00 50"
    assert phone.grouped("770000050", SENEGAL) == "77 000 00 50"
    assert phone.grouped("019", BENIN) == "01 9"


def test_a_prefix_suggests_and_never_forces() -> None:
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
def test_amounts_as_people_write_them(amount: int, currency: str, language: str, text: str) -> None:
    assert money.formatted(amount, currency, language) == text


@given(st.integers(0, money.LARGEST))
def test_an_amount_that_was_grouped_reads_back(amount: int) -> None:
    assert money.from_typed(money.grouped(amount)) == amount


def test_limits_are_the_providers() -> None:
    mtn = Provider.from_json(provider())
    assert [money.problem(amount, mtn) for amount in (0, 99, 100, 2_000_000, 2_000_001)] == [
        "missing", "too_small", "", "", "too_large",
    ]  # fmt: skip
    assert money.from_typed("9" * 40) == money.LARGEST


# --- texts -------------------------------------------------------------------------------------------


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_keys_and_places() -> None:
    parts = sorted({path.name.split(".")[0] for path in LOCALES.glob("*.json")})
    assert "core" in parts
    for part in parts:
        french, english = (json.loads((LOCALES / f"{part}.{code}.json").read_text()) for code in ("fr", "en"))
        assert sorted(french) == sorted(english), part
        assert {key for key in french if places(french[key]) != places(english[key])} == set(), part
        assert [key for key, text in (french | english).items() if not text.strip()] == []


def test_parts_do_not_overwrite_each_other() -> None:
    keys = [key for path in LOCALES.glob("*.fr.json") for key in json.loads(path.read_text())]
    assert len(keys) == len(set(keys))


def test_every_notice_the_core_can_give_has_a_text() -> None:
    sources = "".join((CORE / f"{name}.py").read_text() for name in ("machine", "transitions"))
    codes = set(re.findall(r'Notice\("(\w+)"', sources)) | {"server_trouble", "slow"}
    codes |= {f"journal_{code}" for code in ("disk", "busy", "newer", "damaged")}
    codes |= {"duplicate_payment", "payment_open", "not_retryable", "idempotency_mismatch", "idempotency_conflict"}
    codes |= {"gateway_unavailable", "rate_unavailable", "throttled", "not_found", "permission_denied"}
    codes |= {"provider_unavailable", "validation_error", "too_many_prompts"}
    texts = Texts("fr")

    assert [code for code in sorted(codes) if not texts.has(f"notice.{code}")] == []


def test_a_change_of_language_is_told_once() -> None:
    texts, told = Texts("fr"), []
    leave = texts.subscribe(lambda: told.append(texts("status.pending")))
    texts.switch("en")
    texts.switch("en")
    leave()
    texts.switch("fr")

    assert told == ["Under way"]
    assert texts("no.such.key") == "no.such.key"


def test_a_receipt_tells_what_was_paid_and_leaves_out_what_is_not_known() -> None:
    paid = Payment.from_json(payment("successful", "credited"))
    text = receipts.as_text(paid, Texts("fr"), "Boutique", UTC)
    assert text.splitlines()[0] == "Boutique"
    for part in (
        "Payé",
        f"5{NB}000{NB}F{NB}CFA",
        "MTN Mobile Money",
        "+229 01 •• •• •• 50",
        "26 novembre 2026, 10:01",
        "FXP-1",
    ):
        assert part in text

    unknown = Payment.from_json(payment(reference=None, fee=None))
    assert "Référence" not in receipts.as_text(unknown, Texts("fr"), "Boutique", UTC)
    other = Payment.from_json(payment(currency="EUR", amount=762))
    assert ("Total", f"5{NB}000{NB}F{NB}CFA") in receipts.lines(other, Texts("en"), UTC)


# --- what is kept ------------------------------------------------------------------------------------


def test_preferences_last_and_a_damaged_file_means_defaults(tmp_path: Path) -> None:
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


class Drawer:
    """A vault in memory; `broken` makes every use of it fail."""

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


def test_a_session_is_kept_for_its_server_alone() -> None:
    async def act() -> None:
        drawer = Drawer()
        await TokenStore(lambda: drawer).save("https://a.test", SESSION)
        fresh = TokenStore(lambda: drawer)
        assert await fresh.load("https://a.test") == SESSION
        assert await fresh.load("https://b.test") is None
        await fresh.clear("https://a.test")
        assert drawer.kept == {}

    asyncio.run(act())


def test_without_a_safe_place_it_is_kept_in_memory_and_said() -> None:
    async def act() -> None:
        def none() -> Drawer:
            raise RuntimeError("no keyring")

        store = TokenStore(none)
        await store.save("https://a.test", SESSION)
        assert not store.persistent
        assert await store.load("https://a.test") == SESSION
        drawer = Drawer()
        drawer.kept["https://a.test"] = "no session"
        assert await TokenStore(lambda: drawer).load("https://a.test") is None
        drawer.broken = True
        broken = TokenStore(lambda: drawer)
        assert await broken.load("https://a.test") is None
        assert not broken.persistent

    asyncio.run(act())


def test_a_keyring_that_hangs_keeps_nobody_from_signing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feexpay_client.core.tokens._TIMEOUT_SECONDS", 0.05)
    released = threading.Event()

    class Hanging(Drawer):
        def read(self, address: str) -> str | None:
            released.wait()
            return None

    async def act() -> None:
        store = TokenStore(Hanging)
        assert await store.load("https://a.test") is None
        assert not store.persistent
        released.set()

    asyncio.run(act())


def test_ways_to_pay_are_there_without_a_network_and_fresh_with_one(tmp_path: Path) -> None:
    async def act() -> None:
        shop = Server()
        api = HttpxApi("https://shop.test", Hooks(), transport=shop.transport())
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
        assert second.find("mtn_bj") is None
        for path in tmp_path.iterdir():
            path.write_text("{")
        assert Catalogue(api, tmp_path, "https://shop.test", "fr").providers == ()

    asyncio.run(act())


def test_history_grows_page_by_page_and_a_failure_leaves_it_as_it_was() -> None:
    async def act() -> None:
        shop = Server()
        older = payment(id="older", created_at="2026-11-25T23:59:00.000Z")
        internal = "http://10.0.0.1/api/v1/payments/feexpay/history/?cursor=abc%3D"
        shop.on(
            "GET history/",
            answer(page(payment(), following=internal)),
            answer(page(payment(), older)),
            server.problem(500, "server_error"),
        )
        history = History(HttpxApi("https://shop.test", Hooks(), transport=shop.transport()))
        await history.refresh({"status": "", "provider": "mtn_bj"})
        await history.more()
        assert shop.requests[1].url.params["cursor"] == "abc="
        assert str(shop.requests[1].url).startswith("https://shop.test/")
        assert [one.id for one in history.payments] == [server.PAYMENT_ID, "older"]
        assert history.complete
        assert [(day.day, len(rows)) for day, rows in history.by_day(UTC)] == [(26, 1), (25, 1)]
        await history.more()
        assert len(shop.requests) == 2
        with pytest.raises(errors.ApiError):
            await history.refresh()
        assert len(history.payments) == 2

    asyncio.run(act())


# --- when to ask again -------------------------------------------------------------------------------


def test_the_servers_hint_wins_within_reason() -> None:
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
