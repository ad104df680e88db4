from __future__ import annotations

from tests.api.conftest import (  # noqa: F401 -- pytest finds fixtures by their names here
    caller,
    guard,
    house_rules,
    player,
    real_socket,
    sandbox,
)
