"""The user whom `--actor` names: active, and with the rights that the admin would ask for."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError


def primary_key_of(name: str, *, permissions: Sequence[str] = ()) -> str:
    """The primary key of the active user with this name, who must hold `permissions`, or without any be staff.

    Raises: CommandError, which says what is missing.
    """
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}, is_active=True).first()
    if user is None:
        raise CommandError(f"there is no active user {name!r}.")
    if permissions and not user.has_perms(permissions):
        missing = ", ".join(permission for permission in permissions if not user.has_perm(permission))
        raise CommandError(f"{name!r} may not do this: the user lacks the permission {missing}. Nothing was changed.")
    if not permissions and not getattr(user, "is_staff", True):
        raise CommandError(f"{name!r} is not staff: name a user who may open the admin. Nothing was changed.")
    return str(user.pk)
