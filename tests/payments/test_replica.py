"""A host's router sends every read to an outdated replica, copied before the first payment or in the middle of a test.

The package still reads its rows from the primary: there is one charge and one credit, and each answer is correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router
from django.test import Client

from django_feexpay import exports
from django_feexpay.models import Attempt, Credit, Payment, Provider, WebhookDelivery
from django_feexpay.models.payment import listed_payments, read_payments
from django_feexpay.payments import invariants, outbox
from tests.api.caller import BASE, initiate_body, new_token
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Recorder, now, sweep
from tests.payments.replica import ALIAS, Replica, rows_in_replica
from tests.payments.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", ALIAS]), pytest.mark.postgres_only]

JSON = "application/json"


@pytest.fixture(scope="module", autouse=True)
def known_database() -> Iterator[None]:
    Replica.register()
    yield
    Replica.forget()


@pytest.fixture
def headers(player: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {new_token(player)}"}


@pytest.fixture
def superuser_client(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("boss"))
    return client


@pytest.fixture
def replica(headers: dict[str, str], superuser_client: Client, settings: Any) -> Iterator[Replica]:
    """A replica with the users, but without any payment."""
    copy = Replica()
    copy.catch_up()
    settings.DATABASE_ROUTERS = ["tests.payments.replica.ReplicaRouter"]
    yield copy
    settings.DATABASE_ROUTERS = []
    copy.drop()


@pytest.fixture(params=["frozen", "lagging"])
def lag(request: pytest.FixtureRequest, replica: Replica) -> Any:
    """Copy the primary to the lagging replica; the frozen one stays without payments."""
    return replica.catch_up if request.param == "lagging" else lambda: None


def make_due() -> None:
    Attempt.objects.exclude(next_poll_at=None).update(next_poll_at=now())


def invariants_hold() -> bool:
    return not any(found for rule in invariants.INVARIANTS.values() for found in rule())


def test_router_reads_the_replica_and_the_replica_is_outdated(
    begin: Begin, gateway: ModelGateway, replica: Replica
) -> None:
    """Proves that the other tests use an outdated replica."""
    begin()

    assert router.db_for_read(Payment) == "replica"
    assert (Payment.objects.count(), rows_in_replica(Payment), rows_in_replica(get_user_model())) == (1, 0, 2)


def test_payment_is_credited_once_with_an_outdated_replica(
    gateway: ModelGateway, headers: dict[str, str], lag: Any, signals: Recorder
) -> None:
    started = Client().post(
        f"{BASE}initiate/", initiate_body(merchant_reference="order-7"), content_type=JSON, headers=headers
    )
    lag()
    again = Client().post(
        f"{BASE}initiate/", initiate_body(merchant_reference="order-7"), content_type=JSON, headers=headers
    )
    gateway.last().approve()
    told = Client().post(f"{BASE}webhook/", {"reference": "ref-0001", "status": "SUCCESSFUL"}, content_type=JSON)
    make_due()
    sweep()
    outbox.deliver()
    payment_id = started.json()["id"]
    read = Client().get(f"{BASE}{payment_id}/status/", headers=headers).json()
    listed = Client().get(f"{BASE}history/", headers=headers).json()["results"]

    assert (started.status_code, again.status_code, told.status_code) == (201, 409, 200)
    assert (again.json()["code"], again.json()["payment_id"]) == ("duplicate_payment", payment_id)
    assert WebhookDelivery.objects.get().attempt == Attempt.objects.get()
    assert (read["status"], read["detail"], [row["status"] for row in listed]) == (
        "successful",
        "credited",
        ["successful"],
    )
    assert (len(gateway.charges), Credit.objects.count(), signals.names()) == (1, 1, ["payment_succeeded"])
    assert invariants_hold()


def test_status_read_polls_and_credits(gateway: ModelGateway, headers: dict[str, str], begin: Begin, lag: Any) -> None:
    payment = begin()
    lag()
    gateway.last().approve()
    make_due()

    read = Client().get(f"{BASE}{payment.pk}/status/", headers=headers).json()

    assert (read["status"], Credit.objects.count()) == ("successful", 1)


def test_taps_at_once_start_one_payment(gateway: ModelGateway, headers: dict[str, str], lag: Any) -> None:
    lag()

    def tap(number: int) -> int:
        return Client().post(f"{BASE}initiate/", initiate_body(), content_type=JSON, headers=headers).status_code

    assert Counter(at_once(6, tap)) == {201: 1, 409: 5}
    assert len(gateway.charges) == 1


def test_retry_sees_a_late_success_of_the_first_attempt(
    gateway: ModelGateway, headers: dict[str, str], begin: Begin, lag: Any
) -> None:
    payment = begin()
    gateway.last().decline()
    make_due()
    sweep()
    lag()  # the lagging replica keeps the failure
    gateway.last().approve()

    refused = Client().post(f"{BASE}retry/{payment.pk}/", content_type=JSON, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")
    assert (len(gateway.charges), Credit.objects.count()) == (1, 1)


def test_retry_of_a_failed_payment_opens_one_attempt(
    gateway: ModelGateway, headers: dict[str, str], begin: Begin, lag: Any
) -> None:
    payment = begin()
    lag()
    gateway.last().decline()
    make_due()
    sweep()

    answers = [Client().post(f"{BASE}retry/{payment.pk}/", content_type=JSON, headers=headers) for _ in range(2)]
    gateway.last().approve()
    make_due()
    sweep()

    assert [answer.status_code for answer in answers] == [201, 409]
    assert (len(gateway.charges), Credit.objects.get().attempt.ordinal) == (2, 2)
    assert invariants_hold()


def test_code_is_sent_once_with_an_outdated_replica(
    gateway: ModelGateway, headers: dict[str, str], begin: Begin, lag: Any
) -> None:
    payment = begin(provider="coris_bj")
    lag()
    path = f"{BASE}{payment.pk}/otp/"

    answers = [Client().post(path, {"otp": "123456"}, content_type=JSON, headers=headers) for _ in range(2)]
    gateway.last().approve()
    make_due()
    sweep()

    assert [answer.status_code for answer in answers] == [200, 409]
    assert [charge.code for charge in gateway.charges] == ["", "123456"]
    assert Credit.objects.count() == 1


def test_staff_read_and_settle_the_current_rows(
    gateway: ModelGateway, superuser_client: Client, begin: Begin, lag: Any
) -> None:
    payment = begin()
    lag()
    gateway.last().approve()
    address = f"/admin/feexpay/payment/reconcile/?payment={payment.pk}"

    done = superuser_client.post(address, {"reason": "The payer called"}, follow=True)

    assert done.status_code == 200
    assert [str(message) for message in done.context["messages"]] == ["Ask FeexPay now: 1 done, 0 skipped, 0 failed."]
    assert Credit.objects.get().payment == payment
    page = superuser_client.get(f"/admin/feexpay/payment/{payment.pk}/change/").content.decode()
    assert "Successful" in page


# --- managers and relations -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", list(apps.get_app_config("feexpay").get_models()), ids=lambda model: model.__name__)
def test_every_manager_reads_from_the_primary(model: Any, replica: Replica) -> None:
    """Finds a model that is no PrimaryModel, or has a manager that reads elsewhere."""
    managers = {manager.name: manager.get_queryset().db for manager in model._meta.managers}
    managers |= {"default": model._default_manager.all().db, "base": model._base_manager.all().db}

    assert managers == dict.fromkeys(managers, "default")


def test_related_rows_and_copies_of_a_row_come_from_the_primary(
    begin: Begin, gateway: ModelGateway, replica: Replica
) -> None:
    payment = begin()
    payment.refresh_from_db()
    attempt = Attempt.objects.select_related("payment__provider").get()

    assert attempt.payment.provider == Provider.objects.get(pk="mtn_bj")
    assert Attempt.objects.get().payment == payment  # by the descriptor
    assert list(payment.attempts.all()) == [attempt] == list(payment.events.latest("id").payment.attempts.all())
    assert list(Payment.objects.prefetch_related("attempts").get().attempts.all()) == [attempt]
    assert [len(rows) for rows in (read_payments(), listed_payments())] == [1, 1]
    assert Payment.objects.filter(attempts__in=Attempt.objects.all()).exists()
    assert {row._state.db for row in (payment, attempt, attempt.payment.provider)} == {"default"}


def test_host_can_read_the_replica_explicitly(begin: Begin, gateway: ModelGateway, replica: Replica) -> None:
    begin()
    replica.catch_up()
    begin(merchant_reference="order-7")

    assert (Payment.objects.count(), Payment.objects.using("replica").count()) == (2, 1)
    assert len(list(exports.rows(Payment.objects.using("replica").all()))) == 1
