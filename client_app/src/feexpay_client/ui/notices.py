"""A notification of the system when a payment ends while the window is away. Needs plyer, the extra `notify`.

The permission for it was never asked for on a phone: this is written from the documentation of Android and of
python-for-android, and tested with stand-ins for their modules.
"""

from __future__ import annotations

import logging
import sys

from kivy.core.window import Window

logger = logging.getLogger("feexpay_client.ui")


#: From Android 13 on, no notification is shown before the payer has allowed it in a dialog of the system.
_PERMISSION, _ANDROID_13 = "android.permission.POST_NOTIFICATIONS", 33


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


def ask_permission() -> bool:
    """Have Android ask the payer whether notifications may be shown, if it has not allowed them.

    Returns whether the system was asked; never raises. It does not wait for the answer: after a refusal `notify` shows
    nothing, and everything else goes on.
    """
    if not hasattr(sys, "getandroidapilevel"):
        return False
    try:
        from android.permissions import check_permission, request_permissions
        from jnius import autoclass
        from plyer import notification  # noqa: F401 -- without it there is nothing to allow

        if autoclass("android.os.Build$VERSION").SDK_INT < _ANDROID_13 or check_permission(_PERMISSION):
            return False
        request_permissions([_PERMISSION])
    except Exception as error:  # JavaException and what python-for-android raises
        logger.info("no permission for notifications was asked for: %s", type(error).__name__)
        return False
    return True
