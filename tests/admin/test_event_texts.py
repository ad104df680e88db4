"""The timeline has a text for every `because` that `payments` writes."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from django_feexpay.admin.event_texts import EVENT_TEXTS, event_text
from django_feexpay.models import PaymentEvent
from tests.admin.conftest import StartPayment
from tests.admin.test_payment_page import text_of
from tests.repository.tree import python_files

pytestmark = pytest.mark.django_db

WRITTEN = (
    r'because="(\w+)"',
    r'(?:Verdict|Decision)\([^"]+?, "(\w+)"',
    r'_mark_unknown\(.+, "(\w+)"\)',
    r'return "(\w+_(?:mismatch|missing))"',
)


def codes_written() -> set[str]:
    """The `because` literals in `payments`, without those of payouts, which have events of their own."""
    paths = python_files("django_feexpay/payments")
    sources = [path.read_text() for path in paths if not path.name.startswith("payout")]
    return {code for source in sources for pattern in WRITTEN for code in re.findall(pattern, source)}


def test_every_because_has_a_text() -> None:
    assert {"started", "confirmed", "not_found_in_history", "reference_conflict", "echo_missing"} <= codes_written()
    assert (
        codes_written() - {"waiting", "may_be_tried_again"} - set(EVENT_TEXTS) == set()
    )  # these two events change no status


def test_timeline_shows_the_text_and_the_code(superuser_client: Client, start_payment: StartPayment) -> None:
    page = text_of(superuser_client, start_payment())

    assert '<span>the payment was started</span> <code class="feexpay-code">started</code>' in page
    assert '<span>FeexPay accepted the request</span> <code class="feexpay-code">accepted</code>' in page


@pytest.mark.parametrize(
    ("because", "to_status", "text"),
    [("of_next_year", "rejected", "FeexPay refused it"), ("of_next_year", "pending", ""), ("failed", "failed", None)],
)
def test_unknown_code_is_no_error(because: str, to_status: str, text: str | None) -> None:
    event = PaymentEvent(because=because, to_status=to_status)

    assert event_text(event) == (str(EVENT_TEXTS[because]) if text is None else text)
