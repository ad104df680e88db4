"""The ETag of a body of the API, which is also the `id` of an event of a payment."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def etag(body: Any) -> str:
    """A weak ETag of a body. Without `next_poll_seconds`, which changes although the payment does not."""
    if isinstance(body, dict):
        body = {**body, "next_poll_seconds": None}
    content = json.dumps(body, sort_keys=True, default=str).encode()
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
