"""Which users want no notifications."""

from __future__ import annotations

from typing import Any

from django_feexpay import conf
from django_feexpay.models import NotificationOptOut


def opt_out(user: Any) -> None:
    """Send this user no more notifications.

    Changes: NotificationOptOut. Safe to repeat: yes.
    """
    NotificationOptOut.objects.get_or_create(user=user, defaults={"created_at": conf.now()})


def opt_in(user: Any) -> None:
    """Send this user notifications again.

    Changes: NotificationOptOut. Safe to repeat: yes.
    """
    NotificationOptOut.objects.filter(user=user).delete()


def has_opted_out(user: Any) -> bool:
    """Whether a user, or the user with this primary key, wants no notifications. False for None, a guest."""
    return user is not None and NotificationOptOut.objects.filter(user=user).exists()
