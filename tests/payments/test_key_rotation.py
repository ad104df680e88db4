"""FIELD_KEYS and HASH_KEY are rotated while payments go on, and nothing is lost on the way."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_feexpay import crypto
from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, IdempotencyRecord, Payment, PromptLift, StaffAction, WebhookDelivery
from django_feexpay.models.fields import Sealed, SealedField, hash_msisdn
from django_feexpay.payments import idempotency, prompts, webhook_hints
from django_feexpay.payments.attempts import unsealed
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered
from django_feexpay.privacy import key_rotation
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock
from tests.payments.test_prompts import msisdn

pytestmark = pytest.mark.django_db

OLD_FIELD, NEW_FIELD = Fernet.generate_key().decode(), Fernet.generate_key().decode()
OLD_HASH, NEW_HASH = "the old hash key " + "x" * 32, "the new hash key " + "y" * 32

OLD = {"FIELD_KEYS": [OLD_FIELD], "HASH_KEY": [OLD_HASH]}
READ_BOTH = {"FIELD_KEYS": [OLD_FIELD, NEW_FIELD], "HASH_KEY": [OLD_HASH, NEW_HASH]}
BOTH = {"FIELD_KEYS": [NEW_FIELD, OLD_FIELD], "HASH_KEY": [NEW_HASH, OLD_HASH]}
NEW = {"FIELD_KEYS": [NEW_FIELD], "HASH_KEY": [NEW_HASH]}


@pytest.fixture(autouse=True)
def old_keys(configure: Configure, clock: Clock) -> None:
    configure(**OLD, PROMPTS_PER_PHONE=5)


@pytest.fixture
def pay(begin: Begin, gateway: ModelGateway) -> Callable[..., Payment]:
    """Start a payment of a new player, of a new amount each time."""
    count = 0

    def start(**changes: Any) -> Payment:
        nonlocal count
        count += 1
        user = User.objects.create_user(f"player-{count}")
        return begin(**{"user": user, "amount": 1000 + count, **changes})

    return start


Pay = Callable[..., Payment]


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("feexpay_rotate_keys", *options, stdout=out)
    return out.getvalue()


def erase_number(payment: Payment) -> None:
    """As the purge does some time after the payment is settled."""
    Attempt.objects.filter(payment=payment).update(msisdn_sealed=None, payer_sealed=None)


def found_by_number(client: Client) -> set[Payment]:
    answer = client.post("/admin/feexpay/payment/find/", {"phone": "+229 01 61 00 00 50"}, follow=True)
    return set(answer.context["cl"].result_list) if "cl" in answer.context else set()


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("staff"))
    return client


def test_every_search_by_number_works_before_during_and_after_a_rotation(
    configure: Configure, pay: Pay, begin: Begin, staff: Client, player: User
) -> None:
    """Processes that have the new settings already work beside those that have not, as both list both keys."""
    paid: set[Payment] = set()
    stages = {"old": OLD, "read both": READ_BOTH, "restarted": BOTH, "not restarted": READ_BOTH, "rotated": BOTH}
    for stage, keys in {**stages, "old keys removed": NEW}.items():
        configure(**keys)
        if stage == "rotated":
            run()
        assert found_by_number(staff) == paid, stage
        for earlier in paid:
            with pytest.raises(NotAllowedError) as refused:
                begin(user=earlier.user, amount=earlier.amount)
            assert (refused.value.code, refused.value.payment_id) == ("duplicate_payment", earlier.pk), stage

        configure(PROMPTS_PER_PHONE=len(paid) + 1)
        paid.add(pay())
        with pytest.raises(NotAllowedError) as refused:
            begin(user=player, amount=900)
        assert refused.value.code == "too_many_prompts", stage


def test_rotation_leaves_nothing_that_needs_the_old_keys(
    configure: Configure, pay: Pay, gateway: ModelGateway, player: User
) -> None:
    payments = [pay(first_name="Ama", provider="coris_bj", phone="0161000050"), pay()]
    prompts.lift(msisdn(), lasts=prompts.SAME_AMOUNT_PERIOD, actor="1", reason="asked")
    for model in apps.get_app_config("feexpay").get_models():  # a new encrypted column is rotated without a line here
        for column in model._meta.concrete_fields:
            if isinstance(column, SealedField) and model is not Attempt:
                assert model in key_rotation._sealed_models()
    configure(**BOTH)
    counted = run("--dry-run")

    assert "hashes of numbers: 2 with an older key" in counted
    assert "hashed again" in run()
    action = StaffAction.objects.get(action="rotate_keys")
    assert (action.detail["hashed"], action.detail["encrypted"], action.detail["left"]) == (2, 3, 0)
    assert "Nothing to rotate." in run()
    assert StaffAction.objects.filter(action="rotate_keys").count() == 1

    configure(**NEW)
    assert run("--dry-run") == "No row carries an older key.\n"
    for payment in payments:
        payment.refresh_from_db()
        assert unsealed(payment.attempt.msisdn_sealed)["national"] == "0161000050"
        assert payment.attempt.msisdn_hash == hash_msisdn(msisdn())
    assert unsealed(payments[0].attempt.payer_sealed) == {"first_name": "Ama"}
    assert PromptLift.objects.get().msisdn_hash == hash_msisdn(msisdn())


def test_stopped_rotation_is_continued(configure: Configure, pay: Pay) -> None:
    for _ in range(5):
        pay()
    configure(**BOTH)

    def stop(what: str, done: int) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        key_rotation.rotate(batch=2, progress=stop)
    assert sum(key_rotation.rows_of_old_keys().values()) == 3 + 5

    done = key_rotation.rotate(batch=2)

    assert (done.encrypted, done.hashed, done.left) == (3, 5, {})


def test_erased_number_is_found_while_its_key_is_listed_and_forgotten_on_demand(
    configure: Configure, pay: Pay, staff: Client
) -> None:
    erased, other = pay(), pay(phone="0161000051")
    erase_number(erased)
    erase_number(other)
    configure(**BOTH)
    assert "hashes of erased numbers: 2 with an older key" in run()
    assert found_by_number(staff) == {erased}

    known = pay()  # the same payer comes again: the list names an attempt of either key
    assert found_by_number(staff) == {erased, known}
    of_known = staff.get("/admin/feexpay/payment/", {"same_payer_as": str(known.attempt.pk)})
    assert set(of_known.context["cl"].result_list) == {erased, known}
    erase_number(known)
    assert found_by_number(staff) == {erased, known}

    assert "2 old hashes erased" in run("--erase-old-hashes")
    assert found_by_number(staff) == {known}
    assert Payment.objects.get(pk=erased.pk).attempt.masked_msisdn
    assert run("--erase-old-hashes").splitlines() == [
        "Nothing to rotate.",
        "0 old hashes erased",
        "No row carries an older key.",
    ]


def test_known_number_makes_the_hashes_of_its_erased_attempts_new(
    configure: Configure, pay: Pay, staff: Client
) -> None:
    erased, known = pay(), pay()
    erase_number(erased)
    configure(**BOTH)
    run()
    configure(**NEW)

    assert found_by_number(staff) == {erased, known}


@pytest.mark.parametrize("keys", [READ_BOTH, BOTH, NEW], ids=["read both", "write new", "old key removed"])
def test_repeated_request_gets_its_answer_whichever_key_made_its_fingerprint(
    keys: dict[str, Any], configure: Configure, begin: Begin, gateway: ModelGateway, player: User
) -> None:
    body = {"amount": 5000, "phone": "0161000050"}
    first = begin(key=idempotency.key_of(player, "tap", "initiate", body))
    idempotency.remember(idempotency.key_of(player, "tap", "initiate", body), 201, {"id": "1"})
    configure(**keys)

    with pytest.raises(AlreadyAnswered) as answered:
        begin(key=idempotency.key_of(player, "tap", "initiate", body))

    assert (answered.value.payment_id, answered.value.status) == (first.pk, 201)
    if keys is not NEW:
        with pytest.raises(NotAllowedError) as refused:
            begin(key=idempotency.key_of(player, "tap", "initiate", {**body, "amount": 6000}))
        assert refused.value.code == "idempotency_mismatch"


def test_repeated_webhook_is_counted_not_stored_again(configure: Configure, pay: Pay, gateway: ModelGateway) -> None:
    payment = pay()
    hint = hint_from({"reference": payment.attempt.gateway_reference, "status": "SUCCESSFUL"})
    webhook_hints.receive(hint)
    configure(**BOTH)

    webhook_hints.receive(hint)

    assert WebhookDelivery.objects.get().repeat_count == 1


def test_rows_from_before_there_were_key_ids_are_read_and_rotated(
    configure: Configure, pay: Pay, begin: Begin, staff: Client, player: User
) -> None:
    body = {"amount": 5000}
    begin(key=(key := idempotency.key_of(player, "tap", "initiate", body)))
    idempotency.remember(key, 201, {})
    paid = {Payment.objects.get(), pay(), pay(phone="0161000051")}
    for attempt in Attempt.objects.all():
        assert attempt.msisdn_sealed is not None
        attempt.msisdn_hash, attempt.msisdn_sealed = attempt.msisdn_hash[9:], Sealed(attempt.msisdn_sealed.token[9:])
        attempt.save()
    IdempotencyRecord.objects.update(fingerprint=IdempotencyRecord.objects.get().fingerprint[9:])
    other = Attempt.objects.get(masked_msisdn__endswith="51")
    erase_number(other.payment)
    assert found_by_number(staff) == paid - {other.payment}
    configure(**BOTH)
    assert found_by_number(staff) == paid - {other.payment}
    with pytest.raises(AlreadyAnswered):
        begin(key=idempotency.key_of(player, "tap", "initiate", body))

    run()

    configure(**NEW)
    assert found_by_number(staff) == paid - {other.payment}
    other.refresh_from_db()
    assert other.msisdn_hash.startswith(crypto.prefix_of(crypto.Secret(OLD_HASH)))
    with pytest.raises(AlreadyAnswered):
        begin(key=idempotency.key_of(player, "tap", "initiate", body))


def test_key_removed_too_early_is_reported_and_nothing_is_overwritten(configure: Configure, pay: Pay) -> None:
    pay()
    before = bytes(Attempt.objects.get().msisdn_sealed.token)  # type: ignore[union-attr]  # just written
    configure(**NEW)

    with pytest.raises(CommandError, match="1 values cannot be decrypted"):
        run()

    assert bytes(Attempt.objects.get().msisdn_sealed.token) == before  # type: ignore[union-attr]  # as above
    configure(**BOTH)
    run()
    configure(**NEW)
    assert unsealed(Attempt.objects.get().msisdn_sealed)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_rotation_neither_waits_for_a_payment_nor_brings_back_what_was_erased(configure: Configure, pay: Pay) -> None:
    held, _free = pay(), pay()
    configure(**BOTH)
    is_held, may_go = threading.Event(), threading.Event()

    def settle() -> None:
        """A payment that settles in another process: it locks its attempt, then erases the number."""
        try:
            with transaction.atomic():
                Attempt.objects.select_for_update().get(pk=held.attempt.pk)
                is_held.set()
                may_go.wait(60)
                erase_number(held)
        finally:
            connection.close()

    thread = threading.Thread(target=settle)
    thread.start()
    assert is_held.wait(60)
    try:
        done = key_rotation.rotate()
    finally:
        may_go.set()
        thread.join()

    assert done.encrypted == done.hashed == 1
    assert not thread.is_alive()
    assert Attempt.objects.get(pk=held.attempt.pk).msisdn_sealed is None
    assert key_rotation.rotate().left == {"hashes of erased numbers": 1}


@pytest.mark.postgres_only
def test_rotation_locks_only_the_rows_that_it_changes(configure: Configure, pay: Pay) -> None:
    pay()
    configure(**BOTH)

    with CaptureQueriesContext(connection) as queries:
        key_rotation.rotate()

    locking = [query["sql"] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert len(locking) >= 2
    assert not any("JOIN" in sql for sql in locking)
    by_hash = [sql for sql in locking if '"msisdn_hash" IN' in sql]
    assert by_hash
    assert all("NOT (" in sql for sql in by_hash)  # else PostgreSQL reads the whole table for each batch
