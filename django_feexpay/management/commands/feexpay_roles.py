"""Make or update the groups Support, Finance and Operations."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from django_feexpay import roles


class Command(BaseCommand):
    help = (
        "Make the groups Support, Finance and Operations with the permissions that their work needs, and print what "
        "changed. The names of the permissions are written in the language of the project, as the admin shows them. "
        "Safe to repeat: it takes no permission and no person out of a group."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        codes = [code for code, _name in settings.LANGUAGES]
        parser.add_argument("--language", choices=codes, help="the language of the names; default LANGUAGE_CODE")

    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["language"] or settings.LANGUAGE_CODE):
            try:
                changes = roles.make_roles()
            except LookupError as error:
                raise CommandError(f"run `manage.py migrate` first: there is no permission {error}") from error
            named = roles.name_permissions()
        for change in changes:
            self._report(change)
        self.stdout.write(f"{named} names of permissions changed")

    def _report(self, change: roles.RoleChange) -> None:
        made = "made" if change.created else "kept"
        self.stdout.write(f"{change.role}: {made}, {len(change.added)} permissions added")
        for name in change.added:
            self.stdout.write(f"  + {name}")
