"""The admin's way of a refund by payout: proposed, sent by a second person, read, and closed when it is unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_feexpay import conf
from django_feexpay.gateway.transport import HttpTransport
from django_feexpay.models import Incident, Payment, Payout, Refund, StaffAction
from django_feexpay.payments import incidents
from tests.admin.conftest import StaffClient, make_payout, page_of
from tests.conftest import Configure
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)

FINANCE = ("view_payment", "view_refund", "view_payout", "refund_payment", "send_payout")


@pytest.fixture
def paid(charged_twice: Payment, configure: Configure) -> Payment:
    configure(PAYOUTS=True)
    return charged_twice


def record_url(payment: Payment) -> str:
    return f"{reverse('admin:feexpay_refund_record')}?payment={payment.pk}"


def propose(client: Client, payment: Payment, **changes: Any) -> Any:
    form = {"amount": "1000", "way": "payout", "outside_reference": "", "reason": "ticket 7", "seen": "0"}
    return client.post(record_url(payment), form | changes, follow=True)


def test_form_offers_the_payout_only_where_it_can_be_sent(
    paid: Payment, staff_client: StaffClient, configure: Configure
) -> None:
    client, option = staff_client(*FINANCE), 'value="payout"'

    assert option in client.get(record_url(paid)).content.decode()
    configure(PAYOUTS=False)
    assert option not in client.get(record_url(paid)).content.decode()
    assert propose(client, paid).context["form"].errors["way"]
    configure(PAYOUTS=True)
    paid.attempts.update(msisdn_sealed=None, msisdn_hash="")  # its payer was erased
    assert option not in client.get(record_url(paid)).content.decode()
    assert Refund.objects.count() == 0


def test_too_small_an_amount_is_an_error_of_its_field(paid: Payment, staff_client: StaffClient) -> None:
    page = propose(staff_client(*FINANCE), paid, amount="49")

    assert page.context["form"].errors["amount"] == ["FeexPay pays out at least 50\u00a0F\u00a0CFA to this provider."]


def test_second_person_sees_what_will_happen_and_sends_it(
    paid: Payment, staff_client: StaffClient, running_sandbox: RunningSandbox, configure: Configure
) -> None:
    running_sandbox.reset()
    running_sandbox.change(opening_balance=10_000)
    configure(BASE_URL=running_sandbox.api_url)
    first, second = staff_client(*FINANCE), staff_client(*FINANCE)
    propose(first, paid)
    refund = Refund.objects.get()
    send_url = f"{reverse('admin:feexpay_refund_send_payout')}?refund={refund.pk}"
    assert send_url in second.get(reverse("admin:feexpay_refund_change", args=[refund.pk])).content.decode()

    page = second.get(send_url).content.decode()
    assert "live money" in page
    assert "transfer/global" in page
    assert "+229 01 •• •• •• 50" in page
    assert "97000050" not in page
    own = first.post(send_url, {"reason": "mine"}, follow=True).content.decode()
    assert "a second person must approve it" in own
    assert Payout.objects.count() == 0

    with conf.use_transport(HttpTransport()):
        done = second.post(send_url, {"reason": "checked"}, follow=True).content.decode()
        again = second.post(send_url, {"reason": "checked"}, follow=True).content.decode()

    payout = Payout.objects.get()
    assert "1 done, 0 skipped, 0 failed" in done
    assert "0 done, 1 skipped, 0 failed" in again
    assert (payout.state, Refund.objects.get().state) == ("pending", "approved")
    assert len(running_sandbox.payments(echo=str(payout.pk))) == 1
    action = StaffAction.objects.get(action="send_payout", result="done")
    assert (action.reason, action.payment_id) == ("checked", paid.pk)
    assert "97000050" not in str(action.detail)
    for address in (page_of(paid), reverse("admin:feexpay_refund_change", args=[refund.pk])):
        assert reverse("admin:feexpay_payout_change", args=[payout.pk]) in second.get(address).content.decode()


def test_staff_without_the_right_are_offered_and_may_do_nothing(paid: Payment, staff_client: StaffClient) -> None:
    payout = make_payout(paid)
    client = staff_client("view_payment", "view_refund", "refund_payment")
    send_url = f"{reverse('admin:feexpay_refund_send_payout')}?refund={payout.refund_id}"

    for address in (page_of(paid), reverse("admin:feexpay_refund_change", args=[payout.refund_id])):
        page = client.get(address).content.decode()
        assert str(payout.pk) not in page
        assert send_url not in page
    assert client.post(send_url, {"reason": "x"}).status_code == 403


@pytest.mark.parametrize("shown", ["yes", "no"])
def test_unknown_payout_is_closed_with_what_the_dashboard_shows(
    paid: Payment, staff_client: StaffClient, shown: str
) -> None:
    payout = make_payout(paid, sent_at=conf.now() - timedelta(hours=2))
    client = staff_client(*FINANCE)
    page = client.get(reverse("admin:feexpay_payout_change", args=[payout.pk])).content.decode()
    url = f"{reverse('admin:feexpay_payout_close')}?payout={payout.pk}"
    assert url in page
    form = {"paid": shown, "outside_reference": "", "evidence": "Paid on Monday", "reason": "asked support"}
    if shown == "yes":
        assert client.post(url, form).context["form"].errors["outside_reference"]
        form["outside_reference"] = "REF-9"

    client.post(url, form, follow=True)

    payout.refresh_from_db()
    expected = ("successful", "recorded") if shown == "yes" else ("failed", "approved")
    assert (payout.state, Refund.objects.get().state) == expected
    assert payout.evidence == "Paid on Monday"
    assert StaffAction.objects.filter(action="close_payout").count() == 1
    assert url not in client.get(reverse("admin:feexpay_payout_change", args=[payout.pk])).content.decode()


@pytest.fixture
def undone(paid: Payment) -> Incident:
    """A paid payout of 1 000 F CFA that FeexPay undid."""
    payout = make_payout(paid, state="successful", gateway_reference="pay-1", reason_code="", ended_at=conf.now())
    Refund.objects.update(state="recorded", event_id=uuid4(), recorded_at=conf.now())
    charge = incidents.Charge("pay-1", 1000, "XOF", "ref-1", payout)
    incidents.open_once(Incident.Kind.PAYOUT_UNDONE, payout.refund.attempt, charge, conf.now())
    return Incident.objects.get(kind="payout_undone")


def test_undone_payout_is_shown_where_staff_look(undone: Incident, paid: Payment, superuser_client: Client) -> None:
    opened = reverse("admin:feexpay_incident_change", args=[undone.pk])
    payout = reverse("admin:feexpay_payout_change", args=[undone.payout_id])
    record = f"{reverse('admin:feexpay_refund_record')}?payment={paid.pk}&amp;incident={undone.pk}"

    front = superuser_client.get("/admin/feexpay/").content.decode()
    assert "Payouts that FeexPay undid" in front
    assert "kind__exact=payout_undone" in front
    page = superuser_client.get(page_of(paid)).content.decode()
    assert "FeexPay undid a payout" in page
    assert "paid, then undone" in page
    assert record in page
    for address in (payout, reverse("admin:feexpay_payout_changelist")):
        assert "paid, then undone" in superuser_client.get(address).content.decode()
    shown = superuser_client.get(opened).content.decode()
    assert payout in shown
    assert "FeexPay undid a payout of" in shown
    assert "1\u00a0000\u00a0F\u00a0CFA" in shown
    assert record in shown
    listed = superuser_client.get(reverse("admin:feexpay_incident_changelist") + "?kind__exact=payout_undone")
    assert opened in listed.content.decode()


def test_undone_payout_is_refunded_again_and_closed_in_the_admin(
    undone: Incident, paid: Payment, superuser_client: Client
) -> None:
    record = f"{reverse('admin:feexpay_refund_record')}?payment={paid.pk}&incident={undone.pk}"
    form = {"amount": "1000", "way": "cash", "outside_reference": "", "reason": "ticket 9", "seen": "0"}
    close = f"/admin/feexpay/incident/close/?incident={undone.pk}"
    offered = superuser_client.get(close).context["form"].fields["resolution"].choices
    assert [value for value, _label in offered] == ["refunded", "kept_as_balance", "no_money_lost"]

    superuser_client.post(record, form)
    superuser_client.post(close, {"resolution": "refunded", "reason": "paid in cash"})

    undone.refresh_from_db()
    assert (undone.resolution, Refund.objects.filter(incident=undone, state="recorded").count()) == ("refunded", 1)


def test_payout_whose_payer_has_the_money_after_all_is_shown_as_paid(
    undone: Incident, superuser_client: Client
) -> None:
    close = f"/admin/feexpay/incident/close/?incident={undone.pk}"
    superuser_client.post(close, {"resolution": "no_money_lost", "reason": "the payer has it"})

    page = superuser_client.get(reverse("admin:feexpay_payout_change", args=[undone.payout_id])).content.decode()
    assert "paid, then undone" not in page


def test_list_of_payouts_has_a_fixed_number_of_statements(
    paid: Payment, staff_client: StaffClient, django_assert_num_queries: Any
) -> None:
    client, address = staff_client(*FINANCE), reverse("admin:feexpay_payout_changelist")
    make_payout(paid)
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for _ in range(3):
        make_payout(paid)
    with django_assert_num_queries(len(few)):
        client.get(address)
