"""`python -m tools.bench.upkeep WHAT [--payments N]`: the commands that touch every row, while others pay.

`purge`: a purge, an export and an erasure. `rotation`: feexpay_rotate_keys. `audit`: feexpay_chain_history and
feexpay_verify_audit. Prints how long a payment takes (start, FeexPay's answer in memory, credit) while nothing else
runs and while each command runs; and the time and the memory of each command, which runs in a process of its own, as
an operator runs it. On a PostgreSQL server of our own. Not part of `make bench`: with a million payments each takes
many minutes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ALONE_SECONDS = 20.0
_PAYERS = 2
#: Between two payments of a payer, so that there are about ten payments a second.
_PAUSE_SECONDS = 0.15

#: With DEBUG Django would keep each query.
_ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "config.settings.development", "DEBUG": "0"}
#: The most lines kept of a command's output: an export prints a line for each payment.
_LINES = 20
#: The number of payments of each phone number.
_PAYMENTS_OF_A_NUMBER = 10
_OLD_FIELD_KEY, _OLD_HASH_KEY = (
    "dXBrZWVwLWZpZWxkLWtleS0zMi1ieXRlcy1sb25nISE=",
    "the hash key that the rotation replaces",
)

#: Ended payments of the last 120 days, each with its attempt and number, events, credit, webhook, idempotency key and
#: signal. Every hundredth belongs to `player`.
_FILL = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE ended AS SELECT n, md5('p' || n)::uuid AS payment, md5('a' || n)::uuid AS attempt,
    CASE WHEN n %% 100 = 0 THEN %(player)s ELSE %(other)s END AS owner, sealed, hash,
    now() - n * (interval '120 days' / %(count)s) AS at
    FROM generate_series(1, %(count)s) AS n JOIN numbers ON i = n %% %(numbers)s;
INSERT INTO feexpay_payment (id, user_id, provider_id, latest_attempt_id, status, amount, currency, charged_amount,
    charged_currency, fee, merchant_reference, description, metadata, idempotency_key, created_at, updated_at,
    settled_at)
SELECT payment, owner, 'mtn_bj', attempt, 'successful', 5000, 'XOF', 5000, 'XOF', 85, 'order-' || n, '500 coins',
    '{"pack": "coins-500"}', 'key-' || n, at, at, at FROM ended;
INSERT INTO feexpay_attempt (id, payment_id, ordinal, status, amount, gateway_reference, masked_msisdn, msisdn_hash,
    msisdn_sealed, return_url, cancel_url, redirect_url, otp_required, reason_code, reason_text, sent_at, expires_at,
    poll_count, created_at, updated_at, settled_at)
SELECT attempt, payment, 1, 'successful', 5000, 'ref-' || n, '+229 01 •• •• •• 50', hash,
    sealed, '', '', '', false, '', '', at, at, 1, at, at, at FROM ended;
INSERT INTO feexpay_paymentevent (payment_id, attempt_id, from_status, to_status, because, source, actor, note,
    evidence, created_at)
SELECT payment, attempt, was, becomes, because, source, '', '', '{"reference": "ref"}', at FROM ended, (VALUES
    (1, '', 'sending', 'started', 'api'), (2, 'sending', 'pending', 'accepted', 'api'),
    (3, 'pending', 'successful', 'gateway_says_successful', 'worker')) AS step (place, was, becomes, because, source)
ORDER BY n, place;
INSERT INTO feexpay_credit (payment_id, attempt_id, event_id, amount, currency, created_at)
SELECT payment_id, attempt_id, id, 5000, 'XOF', created_at FROM feexpay_paymentevent WHERE to_status = 'successful';
INSERT INTO feexpay_webhookdelivery (dedupe_key, gateway_reference, reported_status, event_type, attempt_id, body,
    repeat_count, received_at)
SELECT md5('d' || n), 'ref-' || n, 'SUCCESSFUL', '', attempt, '{"status": "SUCCESSFUL"}', 0, at FROM ended;
INSERT INTO feexpay_idempotencyrecord (user_id, key, fingerprint, payment_id, answer_status, answer_body, created_at)
SELECT owner, 'key-' || n, 'f', payment, 201, '{}', at FROM ended;
INSERT INTO feexpay_outboxmessage (event_id, payment_id, signal, delivery_count, last_error, created_at, delivered_at)
SELECT gen_random_uuid(), payment, 'payment_succeeded', 1, '', at, at FROM ended;
DROP TABLE ended;
SET session_replication_role = origin
"""


class Payers:
    """Threads that pay one payment after the other, and the milliseconds of each."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._pay, args=(number,)) for number in range(_PAYERS)]

    def __enter__(self) -> Payers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def said(self) -> str:
        parts = statistics.quantiles(self.milliseconds, n=100)
        slowest = max(self.milliseconds)
        return (
            f"{len(self.milliseconds)} payments, p50 {parts[49]:.0f} ms, p99 {parts[98]:.0f} ms, max {slowest:.0f} ms"
        )

    def _pay(self, number: int) -> None:
        from django.contrib.auth.models import User
        from django.db import connection

        from django_feexpay import conf
        from django_feexpay.models import Attempt
        from django_feexpay.payments import initiate
        from django_feexpay.payments.ledger import Source
        from django_feexpay.payments.reconcile import reconcile
        from django_feexpay.payments.terms import PaymentRequest

        user = User.objects.get(username="other")
        count = 0
        while not self._stop.is_set():
            count += 1
            began = time.perf_counter()
            phone = f"0161{number}{count % 100_000:05}"
            reference = f"live-{began}-{number}"
            request = PaymentRequest(
                user=user, provider="mtn_bj", amount=5000, phone=phone, merchant_reference=reference
            )
            payment = initiate.start(request, source=Source.HOST)
            attempt = Attempt.objects.get(payment=payment)
            _charges(conf)[str(attempt.pk)].approve()
            reconcile(attempt.pk, source=Source.WORKER)
            self.milliseconds.append(1000 * (time.perf_counter() - began))
            time.sleep(_PAUSE_SECONDS)
        connection.close()


def _charges(conf: object) -> dict[str, object]:
    return {charge.echo: charge for charge in conf._transport.charges[-10:]}  # type: ignore[attr-defined]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.upkeep", description=__doc__)
    parser.add_argument("what", choices=_COMMANDS)
    parser.add_argument("--payments", type=int, default=50_000)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "sample_project"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    from tests import servers

    with servers.postgres() as url:
        os.environ["DATABASE_URL"] = url
        return _measure(options.what, options.payments)


def _measure(what: str, payments: int) -> int:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from django_feexpay import conf
    from tests.payments.fake_gateway import ModelGateway

    keys = {"FIELD_KEYS": [*settings.FEEXPAY["FIELD_KEYS"]], "HASH_KEY": [settings.FEEXPAY["HASH_KEY"]]}
    if what == "rotation":
        keys["FIELD_KEYS"].append(_OLD_FIELD_KEY)
        keys["HASH_KEY"].append(_OLD_HASH_KEY)
    no_limits = {"PAYABLE": "any_amount", "PROMPTS_PER_PHONE": 0, "GATEWAY_PER_SECOND": 0}
    settings.FEEXPAY = {**settings.FEEXPAY, **keys, **no_limits}
    # The commands read their keys from the environment.
    os.environ |= {f"FEEXPAY_{name}": ",".join(values) for name, values in keys.items()}
    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    _fill(payments)
    print(f"{payments} payments written in {time.perf_counter() - began:.0f} s", flush=True)
    with conf.use_transport(ModelGateway()):
        with Payers() as payers:
            time.sleep(_ALONE_SECONDS)
        print(f"{'nothing else':32}{payers.said()}", flush=True)
        for command in _COMMANDS[what]:
            _run(*command)
    return 0


_COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "purge": (
        ("feexpay_purge", "--dry-run"),
        ("feexpay_purge",),
        ("feexpay_purge",),
        ("feexpay_export_subject", "--user", "player"),
        ("feexpay_erase_subject", "--user", "player", "--no-input"),
    ),
    "rotation": (("feexpay_rotate_keys", "--dry-run"), ("feexpay_rotate_keys",), ("feexpay_rotate_keys",)),
    "audit": (("feexpay_chain_history",), ("feexpay_verify_audit",)),
}


def _fill(payments: int) -> None:
    """Numbers are encrypted and hashed with the last key, which is an old one if there are two."""
    from django.contrib.auth.models import User
    from django.db import connection

    from django_feexpay import crypto
    from django_feexpay.conf import feexpay

    users = {name: User.objects.create_user(name).pk for name in ("player", "other")}
    count = max(payments // _PAYMENTS_OF_A_NUMBER, 1)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE numbers (i integer PRIMARY KEY, sealed bytea, hash text)")
        with cursor.copy("COPY numbers FROM STDIN") as copy:
            for i in range(count):
                national = f"016{i:07}"
                sealed = crypto.encrypt({"calling_code": "229", "national": national}, feexpay.field_keys[-1:])
                copy.write_row((i, sealed, crypto.keyed_hash(f"229{national}", feexpay.hash_keys[-1])))
        cursor.execute(_FILL, {**users, "count": payments, "numbers": count})
        cursor.execute("DROP TABLE numbers")
        cursor.execute("VACUUM ANALYZE")


def _run(*command: str) -> None:
    """Run a command while payers pay, and print what it said and cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with Payers() as payers:
        done = subprocess.run(
            [sys.executable, "sample_project/manage.py", *command],
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - began
    processor = after.ru_utime - before.ru_utime
    memory = after.ru_maxrss // 1024
    print(f"{' '.join(command[:2]):32}{payers.said()}")
    print(f"{'':32}{seconds:.1f} s, {processor:.1f} s of CPU, at most {memory} MB so far, exit code {done.returncode}")
    said = (done.stdout + done.stderr[-500:]).splitlines()[:_LINES]
    print("".join(f"{'':36}{line[:100]}\n" for line in said), flush=True)


if __name__ == "__main__":
    sys.exit(main())
