"""A notification of the system when a payment ends while the window is away. Needs plyer, the extra `notify`."""

from __future__ import annotations

import logging

from kivy.core.window import Window

logger = logging.getLogger("feexpay_client.ui")


def is_away() -> bool:
    """The payer looks at another window."""
    return not Window.focus


def notify(title: str, text: str, app_name: str) -> bool:
    """Show it, if this system can. Returns whether it was handed to the system; never raises."""
    try:
        from plyer import notification
    except ImportError:
        return False
    try:
        notification.notify(title=title, message=text, app_name=app_name, timeout=10)
    except Exception as error:  # plyer raises what each system's library raises
        logger.info("no notification: %s", type(error).__name__)
        return False
    return True
