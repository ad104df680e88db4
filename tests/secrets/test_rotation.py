"""The API key is replaced while payments go on: no payment is lost, none is sent twice, the source is not stormed."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.lifecycle import Status
from django_feexpay.models import Payment
from django_feexpay.monitoring import health
from django_feexpay.payments import initiate
from django_feexpay.payments.ledger import Source
from django_feexpay.secrets import api_keys
from tests.conftest import Configure
from tests.payments.conftest import MakeOrder
from tests.payments.fake_gateway import ModelGateway, reply
from tests.payments.fakes import Clock, sweep_until_final
from tests.payments.threads import at_once
from tests.secrets.stores import VaultStore
from tests.secrets.test_sources import let_it_grow_old

OLD, NEW = "fp_the_old_key_of_the_shop", "fp_the_new_key_of_the_shop"


class Locked:
    """FeexPay that accepts some keys only. `refused`: the requests with another one."""

    def __init__(self, *keys: str) -> None:
        self.inner = ModelGateway()
        self.keys = set(keys)
        self.refused = 0
        self._lock = threading.Lock()

    def exchange(self, request: WireRequest) -> WireReply:
        if request.headers["Authorization"].removeprefix("Bearer ") in self.keys:
            return self.inner.exchange(request)
        with self._lock:
            self.refused += 1
        return reply(401, {"statusCode": 401, "message": "Unauthorized"})


@pytest.fixture
def locked(guard: Any) -> Locked:
    guard.inner = Locked(OLD)
    locked: Locked = guard.inner
    return locked


def put(vault: VaultStore, key: str) -> None:
    vault.put(FEEXPAY_API_KEY=key)


@pytest.mark.django_db(transaction=True)
def test_key_that_feexpay_refuses_is_read_again_once_and_every_payment_goes_out_once(
    vault: VaultStore, locked: Locked, order: MakeOrder
) -> None:
    put(vault, OLD)
    conf.load_secrets()
    users = [User.objects.create_user(f"player-{number}") for number in range(8)]
    put(vault, NEW)
    locked.keys = {NEW}

    started = at_once(8, lambda number: initiate.start(order(user=users[number]), source=Source.API))

    assert [each.status for each in started if isinstance(each, Payment)] == [Status.PENDING] * 8
    assert len(locked.inner.charges) == 8
    assert vault.reads == 2
    assert 1 <= locked.refused <= 8
    before = locked.refused
    conf.gateway().balance()
    assert locked.refused == before


@pytest.mark.django_db(transaction=True)
def test_key_that_stays_refused_does_not_storm_the_source(
    vault: VaultStore, locked: Locked, order: MakeOrder, clock: Clock
) -> None:
    put(vault, OLD)
    locked.keys = set()

    payments = [initiate.start(order(amount=amount), source=Source.API) for amount in range(1000, 1005)]

    assert {payment.status for payment in payments} == {Status.REJECTED}
    assert {payment.attempt.reason_code for payment in payments} == {"invalid_api_key"}
    assert vault.reads == 2  # at the first use, and after the first refusal
    assert locked.refused == 5


@pytest.mark.django_db(transaction=True)
def test_worker_settles_with_the_new_key(vault: VaultStore, locked: Locked, order: MakeOrder, clock: Clock) -> None:
    put(vault, OLD)
    payment = initiate.start(order(), source=Source.API)
    locked.inner.last().approve()
    put(vault, NEW)
    locked.keys = {NEW}

    assert sweep_until_final(payment, clock).status == Status.SUCCESSFUL
    assert locked.refused == 1


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_read_while_a_transaction_is_open(vault: VaultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(vault, OLD)
    assert feexpay.api_key.reveal() == OLD
    put(vault, NEW)
    let_it_grow_old(monkeypatch, 3600)

    with transaction.atomic():
        assert feexpay.api_key.reveal() == OLD

    assert feexpay.api_key.reveal() == NEW


def test_new_key_that_feexpay_does_not_know_yet_falls_back_to_the_old_one(
    locked: Locked, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(API_KEY=f"{NEW}, {OLD} until 2999-12-31")

    for _ in range(3):
        assert conf.gateway().balance() == {"MTN": 100}
    assert locked.refused == 1

    locked.keys = {NEW}
    let_it_grow_old(monkeypatch, api_keys.REFUSED_SECONDS + 1)
    assert conf.gateway().balance() == {"MTN": 100}
    assert locked.refused == 1


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ([NEW, f"{OLD} until 2999-12-31"], NEW),
        ([f"{NEW} until 2020-01-01", OLD], OLD),
        ([f"{NEW} until 2020-01-01T00:00+01:00", f"{OLD} until 2999-12-31T23:59Z"], OLD),
        ([f"{OLD} until 2020-01-01"], ""),
        ([f"{OLD} until tomorrow"], ""),
        ([f"{OLD} until 2999-12-31T23:59"], ""),
        ([f"{OLD} until 9999-12-31"], ""),
    ],
    ids=["newest", "newest ended", "with offsets", "all ended", "no date", "no offset", "no next day"],
)
def test_key_is_the_newest_that_has_not_ended(configure: Configure, written: list[str], used: str) -> None:
    configure(API_KEY=written)

    assert feexpay.api_key.reveal() == used


def test_last_day_of_a_key_is_a_whole_day(configure: Configure) -> None:
    today = datetime.now(UTC).date()
    configure(API_KEY=f"{OLD} until {today}")
    assert feexpay.api_key.reveal() == OLD

    configure(API_KEY=f"{OLD} until {today - timedelta(days=1)}")
    assert feexpay.api_key.reveal() == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("keys", "lines", "word"),
    [
        (
            [NEW, f"{OLD} until 2999-12-31"],
            ["✔ key: fp_…shop, without an end", "✔ key: fp_…shop, until 3000-01-01 00:00 UTC"],
            "ok",
        ),
        (
            [NEW, f"{OLD} until 2999-12-31T00:30+01:00"],
            ["✔ key: fp_…shop, until 2999-12-30 23:30 UTC"],
            "ok",
        ),
        ([f"{OLD} until 2020-01-01", NEW], ["– key: fp_…shop has ended: remove it"], "ok"),
        ([f"{OLD} until {{soon}}"], ["✘ ends: the last one of a kind ends soon"], "ends_soon"),
        ([f"{OLD} until 2020-01-01"], ["✘ ends: no key or no webhook secret is left"], "ended"),
    ],
    ids=["two", "with an offset", "old one ended", "ends soon", "none left"],
)
def test_doctor_and_health_show_the_ends_and_no_secret(
    configure: Configure, locked: Locked, keys: list[str], lines: list[str], word: str
) -> None:
    soon = (timezone.now() + timedelta(days=3)).isoformat()
    configure(API_KEY=[key.format(soon=soon) for key in keys], WEBHOOK_SECRETS="header:Bearer short")
    out = io.StringIO()

    with pytest.raises(CommandError):  # no worker runs here
        call_command("feexpay_doctor", stdout=out)

    written = out.getvalue()
    for line in [*lines, "✔ webhook header: •••, without an end", "✔ secrets: from the settings"]:
        assert f"{line}\n" in written
    assert OLD not in written
    assert "short" not in written
    assert health.check().components["secrets"] == word


@pytest.mark.django_db
def test_doctor_and_health_say_that_the_source_does_not_answer(
    vault: VaultStore, locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(vault, OLD)
    conf.load_secrets()
    vault.is_sealed = True
    let_it_grow_old(monkeypatch, 20)
    conf.secrets().refresh()
    out = io.StringIO()

    with pytest.raises(CommandError):
        call_command("feexpay_doctor", stdout=out)

    assert "✘ secrets: 1 read 20 s ago; secret/shop/feexpay of Vault cannot be read (VaultDown)" in out.getvalue()
    assert health.check().components["secrets"] == "not_read"
