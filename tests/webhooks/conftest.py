from __future__ import annotations

from tests.api.conftest import (  # noqa: F401 -- pytest finds fixtures by their names here
    any_price_and_empty_cache,
    caller,
    guard,
    player,
    real_socket,
    sandbox,
)
