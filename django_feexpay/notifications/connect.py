"""Connect the notifiers of FEEXPAY["NOTIFICATIONS"] to the signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.dispatch import Signal
from django.utils.module_loading import import_string

from django_feexpay import signals
from django_feexpay.conf import feexpay
from django_feexpay.models import Payment
from django_feexpay.notifications.notification import Kind
from django_feexpay.notifications.notifier import Notifier, notify
from django_feexpay.payments.receivers import call_last

SIGNALS: Mapping[Kind, Signal] = {
    Kind.SUCCEEDED: signals.payment_succeeded,
    Kind.FAILED: signals.payment_failed,
    Kind.SUCCEEDED_LATE: signals.payment_succeeded_late,
    Kind.REFUNDED: signals.payment_refunded,
}

_connected: set[str] = set()


def connect(**kwargs: Any) -> None:
    """Connect each notifier to every signal as a receiver of its own, and disconnect those of an earlier setting.

    Also a receiver of Django's `setting_changed`. A notifier that cannot be imported is connected and raises, so that
    the worker keeps its events and delivers them after the setting is corrected.
    """
    if kwargs.get("setting", "FEEXPAY") != "FEEXPAY":
        return
    try:
        paths = set(feexpay.notifications)
    except (AttributeError, TypeError):  # feexpay.E001 or E024
        paths = set()
    for path in _connected - paths:
        for kind, signal in SIGNALS.items():
            signal.disconnect(dispatch_uid=_uid(path, kind))
    for path in paths - _connected:
        for kind, signal in SIGNALS.items():
            signal.connect(_receiver(path, kind), weak=False, dispatch_uid=_uid(path, kind))
    _connected.clear()
    _connected.update(paths)


def notifier_class(path: str) -> type[Notifier]:
    """The class of a dotted path. Raises: ImportError, TypeError if it is no subclass of Notifier."""
    named = import_string(path)
    if not (isinstance(named, type) and issubclass(named, Notifier)):
        raise TypeError(f"{path} is not a subclass of django_feexpay.notifications.Notifier")
    return named


def _receiver(path: str, kind: Kind) -> Callable[..., None]:
    """A receiver that logs and receipts show under the name of the notifier: `shop.notifiers.Sms.send`."""

    def receiver(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        notify(notifier_class(path)(), kind, payment, event_id)

    receiver.__module__, _, class_name = path.rpartition(".")
    receiver.__qualname__ = f"{class_name}.send"
    call_last(receiver)
    return receiver


def _uid(path: str, kind: Kind) -> str:
    return f"feexpay_notifier:{path}:{kind}"
