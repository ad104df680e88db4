"""Migrate the database of DATABASE_URL, work on its payments with today's code, and print what it holds as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "sample_project")]
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import override_settings

    from django_feexpay import conf, retry_payment
    from django_feexpay.models import Credit, Payment, triggers
    from tests.payments.fake_gateway import Charge, ModelGateway, accept_as
    from tests.payments.fakes import sweep
    from tests.upgrade.database import description

    quiet = io.StringIO()
    call_command("migrate", verbosity=0)
    staff = User.objects.create_superuser("admin")
    call_command("feexpay_chain_history", actor=staff.username, stdout=quiet)
    gateway = ModelGateway()
    open_attempt = Payment.objects.get(merchant_reference="open").attempt
    charge = Charge(str(open_attempt.gateway_reference), str(open_attempt.pk), "2290161000050", 5000)
    charge.approve()
    gateway.charges += [charge]
    with conf.use_transport(gateway), override_settings(FEEXPAY={**settings.FEEXPAY, "PAYABLE": "any_amount"}):
        sweep()
        open_attempt.payment.attempts.update(next_poll_at=conf.now())
        sweep()
        # FeexPay answers that the earlier attempt failed, so it may be tried again, with the number that was kept.
        declined = Payment.objects.get(merchant_reference="declined")
        failed = Charge(str(declined.attempt.gateway_reference), str(declined.attempt.pk), "2290161000050", 5000)
        failed.decline()
        gateway.charges += [failed]
        gateway.next_collects = [accept_as("ref-of-the-retry")]
        retry_payment(declined.pk)
    for command in ("feexpay_verify", "feexpay_verify_audit"):  # each raises if it finds anything
        call_command(command, stdout=quiet)
    found: dict[str, Any] = {
        "statuses": dict(Payment.objects.values_list("merchant_reference", "status")),
        "credits": sorted(Credit.objects.values_list("payment__merchant_reference", "amount")),
        "missing_triggers": [str(each) for each in triggers.missing(connection)],
        "database": description(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
