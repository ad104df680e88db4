"""The groups Support, Finance and Operations, their permissions, and no permission that does nothing."""

from __future__ import annotations

import io
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command

from django_feexpay import roles

pytestmark = pytest.mark.django_db


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("feexpay_roles", *options, stdout=out)
    return out.getvalue()


def held(role: str) -> set[str]:
    return set(Group.objects.get(name=role).permissions.values_list("codename", flat=True))


def test_command_makes_the_groups_and_says_what_it_did() -> None:
    out = run("--language", "en")

    assert {role: held(role) for role in roles.ROLES} == {role: set(codes) for role, codes in roles.ROLES.items()}
    assert f"Support: made, {len(roles.ROLES['Support'])} permissions added" in out
    assert "  + Can read the whole phone number of a payment" in out


def test_second_run_changes_nothing() -> None:
    run()

    assert run().splitlines() == [
        *(f"{role}: kept, 0 permissions added" for role in roles.ROLES),
        "0 names of permissions changed",
    ]


def test_command_keeps_people_and_permissions_that_a_shop_added() -> None:
    run()
    support, person = Group.objects.get(name="Support"), User.objects.create_user("awa", is_staff=True)
    person.groups.add(support)
    support.permissions.add(Permission.objects.get(codename="export_payment"))
    support.permissions.remove(Permission.objects.get(codename="unmask_number"))

    run()

    assert list(support.user_set.all()) == [person]
    assert held("Support") == {*roles.ROLES["Support"], "export_payment"}


def test_names_are_written_in_the_language_of_the_project() -> None:
    run("--language", "fr")

    names = dict(Permission.objects.filter(content_type__app_label="feexpay").values_list("codename", "name"))
    assert names["unmask_number"] == "Lire le numéro de téléphone entier d'un paiement"
    assert [name for name in names.values() if name.startswith("Can ")] == []


def test_every_permission_has_a_use() -> None:
    """Ledgers are only viewed; a permission that nothing asks for would mislead who gives rights."""
    codenames = {row.codename for row in Permission.objects.filter(content_type__app_label="feexpay")}

    verbs = {name for name in codenames if name.split("_")[0] in ("add", "delete", "change")}
    assert verbs == {"change_discrepancy", "change_incident", "change_provider"}
    assert {name for name in codenames if not roles.permission_name(name)} == set()


def test_migration_removes_the_permissions_that_do_nothing_and_no_other() -> None:
    migration = import_module("django_feexpay.migrations.0018_roles")
    kind = Permission.objects.get(codename="view_payment").content_type
    provider = Permission.objects.get(codename="change_provider").content_type
    for content_type, codename in ((kind, "add_payment"), (kind, "change_payment"), (provider, "delete_provider")):
        Permission.objects.create(content_type=content_type, codename=codename, name=codename)
    foreign = Permission.objects.create(content_type=kind, codename="addition_of_the_host", name="x")

    gone = set(migration.stale(Permission.objects).values_list("codename", flat=True))

    assert gone == {"add_payment", "change_payment", "delete_provider"}
    assert foreign.codename not in gone


def test_roles_name_existing_permissions_only() -> None:
    known = {
        f"{verb}_{model._meta.model_name}"
        for model in apps.get_app_config("feexpay").get_models()
        for verb in model._meta.default_permissions
    } | {code for model in apps.get_app_config("feexpay").get_models() for code, _name in model._meta.permissions}

    assert set().union(*roles.ROLES.values()) <= known
