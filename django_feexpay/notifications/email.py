"""Notifications by e-mail, with Django's mail."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Sequence
from email.utils import parseaddr

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template.loader import select_template

from django_feexpay.models import Payment
from django_feexpay.notifications.notification import Kind, Notification
from django_feexpay.notifications.notifier import Notifier
from django_feexpay.private import PrivateText

logger = logging.getLogger("django_feexpay.notifications")

#: Enhanced status codes (RFC 3463) of an address that takes no mail: a bad address, a disabled mailbox.
_BAD_ADDRESS = (b"5.1.1", b"5.1.2", b"5.1.3", b"5.1.6", b"5.1.10", b"5.2.1")


class EmailNotifier(Notifier):
    """One e-mail in text and HTML to the address of the payment's user. A guest gets none.

    Templates: `feexpay/notifications/<kind>.<language>.html`, `<kind>.html` or `email.html`, and the same with `.txt`;
    the first that exists is used. Override methods to look up an address or to add a link.
    """

    #: None: DEFAULT_FROM_EMAIL.
    from_email: str | None = None
    reply_to: Sequence[str] = ()

    def address(self, payment: Payment) -> str:
        """Where to write to; "" for a payer without an address. The base never reads the payer's encrypted data."""
        user = payment.user
        return "" if user is None else str(getattr(user, user.get_email_field_name(), None) or "")

    def link(self, payment: Payment) -> str:
        """An address of your site where the payer sees the payment; "" for none."""
        return ""

    def subject(self, notification: Notification) -> str:
        return notification.subject

    def send(self, notification: Notification) -> None:
        payment = notification.payment
        address = PrivateText(self.address(payment))
        if not _is_address(address):
            logger.info("no e-mail about %s: its payer has no address", payment.pk)
            return
        try:
            self._message(notification, address).send()
        except smtplib.SMTPRecipientsRefused as refused:
            if not all(_is_bad_address(answer) for answer in refused.recipients.values()):
                raise
            logger.warning("no e-mail about %s: the mail server says that its payer's address is wrong", payment.pk)

    def _message(self, notification: Notification, address: PrivateText) -> EmailMultiAlternatives:
        shop, sender = parseaddr(self.from_email or settings.DEFAULT_FROM_EMAIL)
        context = {
            "notification": notification,
            "shop": shop,
            "link": self.link(notification.payment),
            "tone": _TONES[notification.kind],
        }
        text, html = (_render(notification, suffix, context) for suffix in ("txt", "html"))
        message = EmailMultiAlternatives(
            subject=self.subject(notification),
            body=text,
            from_email=self.from_email,
            to=[address],
            reply_to=self.reply_to,
            headers={
                # The same if it is sent twice, so that mail programs show one.
                "Message-ID": f"<{notification.event_id}@{sender.rpartition('@')[2] or 'localhost'}>",
                "Auto-Submitted": "auto-generated",
            },
        )
        message.attach_alternative(html, "text/html")
        return message


#: The colour of each kind in the HTML template.
_TONES = {Kind.SUCCEEDED: "good", Kind.SUCCEEDED_LATE: "good", Kind.FAILED: "bad", Kind.REFUNDED: "calm"}


def _render(notification: Notification, suffix: str, context: dict[str, object]) -> str:
    kind = notification.kind
    names = (f"{kind}.{notification.language}.{suffix}", f"{kind}.{suffix}", f"email.{suffix}")
    return str(select_template([f"feexpay/notifications/{name}" for name in names]).render(context))


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _is_bad_address(answer: tuple[int, bytes]) -> bool:
    code, text = answer
    return code >= 500 and text.startswith(_BAD_ADDRESS)
