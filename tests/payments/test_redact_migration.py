"""Migration 0012 redacts stored texts in batches, and can be repeated."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from django_feexpay import conf
from django_feexpay.models import Attempt, WebhookDelivery
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db

UUID = "0a1b2c3d-1111-4222-8333-444455556666"
migration: Any = import_module("django_feexpay.migrations.0012_redact_kept_texts")


def run() -> None:
    with connection.schema_editor() if connection.vendor == "postgresql" else _NoEditor() as editor:
        migration.redact(_AppsOf0012, editor)


class _AppsOf0012:
    """Today's models under the names that they had in migration 0012."""

    @staticmethod
    def get_model(app_label: str, name: str) -> Any:
        return apps.get_model(app_label, {"Break": "Discrepancy"}.get(name, name))


class _NoEditor:
    """Replaces the schema editor, which SQLite refuses inside a test's transaction. Only its connection is used."""

    connection = connection

    def __enter__(self) -> _NoEditor:
        return self

    def __exit__(self, *error: object) -> None: ...


def test_stored_texts_lose_personal_data_and_keep_known_words(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_BATCH", 2)
    begin()
    said = "Le compte de KOFFI Adjovi (01 97 12 34 50) est bloqué, koffi@mail.bj"
    ids = {"reference": UUID, "order_id": UUID}
    Attempt.objects.update(reason_text=said)
    for number in range(5):
        WebhookDelivery.objects.create(
            dedupe_key=str(number),
            gateway_reference=UUID,
            reported_status="SUCCESSFUL",
            body={
                "reference": UUID,
                "order_id": UUID,
                "ref_operator": "0197123450",
                "callback_info": said,
                "amount": 5,
            },
            received_at=conf.now(),
        )

    run()
    once = list(WebhookDelivery.objects.order_by("pk").values("body", "reported_status", "gateway_reference"))
    run()

    assert Attempt.objects.get().reason_text == "Le compte de ••• est bloqué, •••"
    body = ids | {"ref_operator": "•••50", "callback_info": "•••", "amount": 5}
    assert once == 5 * [{"body": body, "reported_status": "SUCCESSFUL", "gateway_reference": UUID}]
    assert list(WebhookDelivery.objects.order_by("pk").values("body", "reported_status", "gateway_reference")) == once
