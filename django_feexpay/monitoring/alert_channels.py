"""Sends a notice to the addresses of FEEXPAY["ALERT_URLS"] with apprise: mail, chat, SMS gateways, webhooks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret

logger = logging.getLogger("django_feexpay.monitoring")


def notify(title: str, text: str, *, is_recovery: bool = False) -> bool:
    """Send to every address; True if at least one took it, so that a broken one does not repeat the notice elsewhere.

    Never raises. Waits some seconds for each address that does not answer, so never call it inside a transaction.
    """
    results = list(send_each(title, text, is_recovery=is_recovery))
    for kind, is_taken in results:
        if not is_taken:
            logger.error("an alert could not be sent by %s", kind)
    return any(is_taken for _kind, is_taken in results)


def send_each(title: str, text: str, *, is_recovery: bool = False) -> Iterator[tuple[str, bool]]:
    """The kind of each address (`mailto`, `slack`), and whether it took the notice."""
    for url in feexpay.alert_urls:
        yield kind_of(url), _send(url, title, text, is_recovery)


def kind_of(url: Secret) -> str:
    """The part before `://`: the rest may hold passwords and tokens."""
    kind, separator, _rest = url.reveal().partition("://")
    return kind if separator and kind.isalnum() else "?"


def _send(url: Secret, title: str, text: str, is_recovery: bool) -> bool:
    try:
        import apprise
    except ModuleNotFoundError:
        logger.error("alerts need apprise: pip install 'django-feexpay[alerts]'")
        return False
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it logs addresses
    sender = apprise.Apprise()
    kind = apprise.NotifyType.SUCCESS if is_recovery else apprise.NotifyType.FAILURE
    try:
        if not sender.add(url.reveal()):
            return False
        return bool(sender.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))
    except Exception as error:  # each of its plugins raises its own
        logger.error("alert by %s: %s", kind_of(url), type(error).__name__)
        return False
