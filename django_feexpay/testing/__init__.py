"""Tools for the tests of a host project: a sandbox in place of FeexPay, webhooks as it sends them, cases to inherit.

plugin.py         the pytest fixtures; pytest loads it in every project, so it imports nothing before a fixture is used
test_case.py      the same for unittest: `FeexPayTestCase`
webhook_cases.py  security cases of a webhook address, to inherit
settling.py       the functions behind both: settle a payment, run the worker, post a webhook
running.py        the sandbox as a process, with methods to control it

Nothing else in the package imports this folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_feexpay.testing.test_case import FeexPayTestCase

__all__ = ["FeexPayTestCase"]


def __getattr__(name: str) -> Any:
    """Import `FeexPayTestCase` on first use: it needs Django, and the pytest plugin must not."""
    if name != "FeexPayTestCase":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django_feexpay.testing.test_case import FeexPayTestCase

    return FeexPayTestCase
