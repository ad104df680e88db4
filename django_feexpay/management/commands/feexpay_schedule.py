"""Schedule the background work in a django-q2 cluster."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_feexpay.background import tasks


class Command(BaseCommand):
    help = (
        "Let a django-q2 cluster do the background work: create the schedules of the sweep and of the nightly "
        "comparison. Safe to repeat: existing schedules are updated."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            created = tasks.schedule()
        except LookupError:
            raise CommandError("Add django_q to INSTALLED_APPS and migrate, or run feexpay_worker instead.") from None
        names = f"schedules {tasks.SCHEDULE_NAME}, {tasks.NIGHTLY_SCHEDULE_NAME}"
        self.stdout.write(f"{names}: {'created' if created else 'already there, up to date'}")
