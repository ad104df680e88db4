"""Send a test notice to the addresses of the alerts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import translation
from django.utils.translation import gettext as _

from django_feexpay.conf import feexpay
from django_feexpay.monitoring import alert_channels
from django_feexpay.monitoring.webhook_route import own_host


class Command(BaseCommand):
    help = (
        "Send a test notice to every address of ALERT_URLS and say which of them took it. Exit code 1 if one did not. "
        "Shows no password and no token."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not feexpay.alert_urls:
            raise CommandError(
                "ALERT_URLS is not set, so an alert would reach no address. docs/how-to/alerts.md says how to set it."
            )
        with translation.override(settings.LANGUAGE_CODE):
            title = f"{own_host()} ({feexpay.environment}): {_('test of the alerts')}"
            text = _("This is a test: alerts about payments arrive here. Nothing is wrong.")
            failed = 0
            for kind, is_taken in alert_channels.send_each(title, text, is_recovery=True):
                self.stdout.write(f"{'✔' if is_taken else '✘'} {kind}")
                failed += not is_taken
        if failed:
            raise CommandError(f"{failed} of {len(feexpay.alert_urls)} addresses did not take the notice.")
