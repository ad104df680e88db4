"""After a test that commits, the tables are what `migrate` left."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from django_feexpay.models import Provider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


def names_of_types() -> list[tuple[str, str]]:
    """Without the primary keys: a flush by another test numbers the types anew."""
    return sorted(ContentType.objects.values_list("app_label", "model"))


def test_rows_go_and_what_migrate_wrote_comes_back() -> None:
    providers, types = list(Provider.objects.order_by("pk").values()), names_of_types()
    User.objects.create_user("ama")
    Provider.objects.update(enabled=False, fee_percent=50)
    Provider.objects.filter(pk="mtn_bj").delete()
    ContentType.objects.create(app_label="gone", model="gone")

    with connection.cursor() as cursor:
        cursor.execute("SELECT written_by_migrate.restore()")

    assert not User.objects.exists()
    assert list(Provider.objects.order_by("pk").values()) == providers
    assert names_of_types() == types
