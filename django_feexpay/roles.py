"""The roles of the back office: groups with the permissions that each kind of work needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_LOOK = (
    *("view_payment", "view_attempt", "view_paymentevent", "view_credit", "view_incident", "view_refund"),
    *("view_provider", "view_dailytotal", "view_checkout"),
)

#: The permissions of each group. Groups keep these English names: programs look them up.
ROLES: Mapping[str, tuple[str, ...]] = {
    "Support": (
        *_LOOK,
        *("view_promptlift", "reconcile_payment", "retry_payment", "lift_prompt_limit", "unmask_number"),
        "note_payment",
    ),
    "Finance": (
        *_LOOK,
        *("view_discrepancy", "view_comparison", "view_finding", "view_reviewproposal", "view_staffaction"),
        *("reconcile_payment", "close_review", "change_incident", "change_discrepancy", "export_payment"),
        *("export_staffaction", "unmask_number", "note_payment", "refund_payment", "release_order", "view_statement"),
        *("view_payout", "send_payout", "view_erasure"),
    ),
    "Operations": (
        *_LOOK,
        *("view_webhookdelivery", "view_outboxmessage", "view_idempotencyrecord", "view_heartbeat", "view_promptlift"),
        "view_alert",
        *("view_discrepancy", "view_comparison", "view_finding", "view_staffaction", "view_purge", "view_erasure"),
        *("change_provider", "reconcile_payment", "retry_payment", "lift_prompt_limit", "note_payment"),
        *("reprocess_delivery", "resend_signal"),
    ),
}

#: What the `change` permissions allow, where a page asks for one.
_CHANGES: Mapping[str, str | StrPromise] = {
    "change_incident": gettext_lazy("Can close incidents"),
    "change_discrepancy": gettext_lazy("Can close differences"),
    "change_provider": gettext_lazy("Can change and switch providers"),
}


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What `make_roles` did to one group. `added`: the names of permissions in the current language."""

    role: str
    created: bool
    added: tuple[str, ...]


@transaction.atomic
def make_roles() -> list[RoleChange]:
    """Create the groups of ROLES and give each the permissions it lacks.

    It removes no permission and no person from a group, so what a shop granted itself stays. Changes: Group and its
    permissions. Raises: LookupError if the database lacks a permission: migrate first. Safe to repeat: yes.
    """
    return [_make(role, codenames) for role, codenames in ROLES.items()]


def name_permissions() -> int:
    """Write the names of our permissions in the current language, as the admin shows them where rights are given.

    Django stores them untranslated. Returns how many names changed. Changes: Permission. Safe to repeat: yes.
    """
    changed = 0
    for permission in _ours().order_by("pk"):
        name = permission_name(permission.codename)
        if name and permission.name != name:
            changed += Permission.objects.filter(pk=permission.pk).update(name=name)
    return changed


def permission_name(codename: str) -> str:
    """The name of a permission of this app in the current language; "" if the app does not define it."""
    return str(_names().get(codename, ""))


def _names() -> dict[str, Any]:
    names: dict[str, Any] = dict(_CHANGES)
    for model in apps.get_app_config("feexpay").get_models():
        if "view" in model._meta.default_permissions:
            names[f"view_{model._meta.model_name}"] = _("Can view: %(what)s") % {
                "what": model._meta.verbose_name_plural
            }
        names |= dict(model._meta.permissions)
    return names


def _make(role: str, codenames: tuple[str, ...]) -> RoleChange:
    group, created = Group.objects.get_or_create(name=role)
    wanted = {row.codename: row for row in _ours().filter(codename__in=codenames)}
    if missing := sorted(set(codenames) - set(wanted)):
        raise LookupError(", ".join(missing))
    held = set(group.permissions.values_list("pk", flat=True))
    added = [codename for codename in codenames if wanted[codename].pk not in held]
    group.permissions.add(*(wanted[codename] for codename in added))
    return RoleChange(role, created, tuple(permission_name(codename) for codename in added))


def _ours() -> Any:
    return Permission.objects.filter(content_type__app_label="feexpay")
