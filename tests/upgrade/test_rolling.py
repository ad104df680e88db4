"""The code of the version before runs on today's schema, so a rolling restart needs no pause.

The migrations up to BEFORE had to be run with the old processes stopped (the changelog says so). For the later ones the
models of the old code, as its migrations describe them, read and write the tables of today.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from django_feexpay import conf, start_payment
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Guard, sweep
from tests.upgrade.database import columns
from tests.webhooks.webhook_requests import delivery, post_webhook

pytestmark = [pytest.mark.postgres_only, pytest.mark.django_db]

BEFORE = "0027_office_indexes"


@pytest.fixture(scope="module")
def old() -> Apps:
    """The models of the old code."""
    return MigrationLoader(None).project_state(("feexpay", BEFORE)).apps


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard(ModelGateway())
    with conf.use_transport(guard):
        yield guard


def refused_by(old: Apps) -> list[str]:
    """What an INSERT or SELECT of the old code would fail on."""
    now, problems = columns(), []
    for model in old.get_app_config("feexpay").get_models():
        table = model._meta.db_table
        known = {field.column for field in model._meta.concrete_fields}
        problems += [f"{table}.{name} is gone" for name in sorted(known - set(now.get(table, {})))]
        required = {name for name, is_required in now.get(table, {}).items() if is_required}
        problems += [f"{table}.{name} needs a value" for name in sorted(required - known)]
    return problems


def test_no_column_is_gone_and_every_new_one_has_a_default(old: Apps) -> None:
    assert refused_by(old) == []


def test_column_without_a_default_and_a_removed_one_are_found(old: Apps) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE feexpay_attempt ADD COLUMN added integer NOT NULL DEFAULT 0")
        assert refused_by(old) == []
        cursor.execute("ALTER TABLE feexpay_attempt ALTER COLUMN added DROP DEFAULT")
        cursor.execute("ALTER TABLE feexpay_credit RENAME COLUMN amount TO sum")

    assert refused_by(old) == [
        "feexpay_attempt.added needs a value",
        "feexpay_credit.amount is gone",
        "feexpay_credit.sum needs a value",
    ]


def test_old_code_inserts_and_reads_a_whole_payment(old: Apps, gateway: ModelGateway, configure: Configure) -> None:
    """Every row that a credited payment leaves is read by the old models, and inserted once more."""
    configure(PAYABLE="any_amount")
    user = User.objects.create_user("ama")
    payment = start_payment(
        user=user, provider="mtn_bj", amount=5000, phone="01 61 00 00 50", idempotency_key="one", merchant_reference="x"
    )
    gateway.last().approve()
    post_webhook(delivery(reference=gateway.last().reference))
    payment.attempts.update(next_poll_at=conf.now())
    sweep()

    written = copied(old)

    assert written >= {
        *("Payment", "Attempt", "PaymentEvent", "Credit", "OutboxMessage"),
        *("WebhookDelivery", "IdempotencyRecord"),
    }
    connection.check_constraints()


def copied(old: Apps) -> set[str]:
    """Insert a copy of every row, with keys of its own, by the old models; return whose rows they were."""
    rows = [
        (model, row)
        for model in old.get_app_config("feexpay").get_models()
        if not isinstance(model._meta.pk, models.CharField)
        for row in model._default_manager.all()
    ]
    keys: dict[tuple[str, Any], Any] = {
        (model._meta.label, row.pk): uuid.uuid4() for model, row in rows if isinstance(model._meta.pk, models.UUIDField)
    }
    for model, row in sorted(rows, key=lambda each: depth(each[0])):
        values = {field.attname: value_of(model, field, row, keys) for field in model._meta.concrete_fields}
        copy = model(**values)
        copy.save(force_insert=True)
        keys[model._meta.label, row.pk] = copy.pk
    return {model.__name__ for model, _row in rows}


def depth(model: type[models.Model]) -> int:
    """How many tables of ours must be filled first; keys of UUID are known before."""
    related = [field.related_model for field in model._meta.concrete_fields if field.is_relation]
    numbered = [each for each in related if isinstance(each._meta.pk, models.AutoField) and each is not model]
    return 1 + max((depth(each) for each in numbered if each._meta.app_label == "feexpay"), default=0)


def value_of(model: type[models.Model], field: Any, row: Any, keys: dict[tuple[str, Any], Any]) -> Any:
    value = getattr(row, field.attname)
    if field.is_relation:
        return keys.get((field.related_model._meta.label, value), value)
    if field.primary_key:
        return keys.get((model._meta.label, value)) if isinstance(field, models.UUIDField) else None
    if value is None or not (field.unique or field.name in constrained(model)):
        return value
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    return uuid.uuid4().hex[: field.max_length] if isinstance(value, str) else value + 1000


def constrained(model: type[models.Model]) -> set[str]:
    """The fields of unique constraints, unless a relation to a table of ours makes the copy unique."""
    found: set[str] = set()
    for constraint in model._meta.constraints:
        names = constraint.fields if isinstance(constraint, models.UniqueConstraint) else ()
        fields = [model._meta.get_field(name) for name in names]
        if not any(field.is_relation and field.related_model._meta.app_label == "feexpay" for field in fields):
            found |= {field.name for field in fields if not field.is_relation}
    return found
