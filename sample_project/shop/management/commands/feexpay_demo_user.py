"""`manage.py feexpay_demo_user NAME PASSWORD [--staff]`: create an account to try the shop."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Create an account, or set the password of the existing account. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("password")
        parser.add_argument("--staff", action="store_true", help="may see and do everything in the admin")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG and settings.FEEXPAY.get("ENVIRONMENT") not in ("development", "staging"):
            raise CommandError(
                "Accounts to try the shop do not belong into production, and a password in an argument is seen by"
                ' every user of the machine. Use createsuperuser, or on a test server set FEEXPAY["ENVIRONMENT"] to'
                ' "staging".'
            )
        user, created = User.objects.get_or_create(username=options["name"])
        user.is_active = True
        user.is_staff = user.is_superuser = options["staff"]
        user.set_password(options["password"])
        user.save()
        self.stdout.write(f"{'created' if created else 'password set'}: {user.username}")
