from __future__ import annotations

from tests.payments.conftest import signals  # noqa: F401 -- pytest finds fixtures by their names here
