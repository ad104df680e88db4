"""Messages to payers about their payments, off by default (FEEXPAY["NOTIFICATIONS"]).

The outbox calls each notifier like a signal receiver, after the host's own receivers.
"""

from __future__ import annotations

from django_feexpay.notifications.email import EmailNotifier
from django_feexpay.notifications.notification import Kind, Notification
from django_feexpay.notifications.notifier import Notifier
from django_feexpay.notifications.opt_out import has_opted_out, opt_in, opt_out

__all__ = ["EmailNotifier", "Kind", "Notification", "Notifier", "has_opted_out", "opt_in", "opt_out"]
