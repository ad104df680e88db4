"""The credentials of a webhook.

FeexPay signs nothing. It may send a fixed Authorization header chosen by the merchant; the other modes are ours, for
tests and for projects behind a relay that signs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time

from django_feexpay.sandbox.options import Options


def credentials(options: Options, identifier: int, body: bytes) -> dict[str, str]:
    """The headers of one delivery."""
    if options.webhook_mode == "header":
        return {"Authorization": options.webhook_secret}
    if options.webhook_mode == "hmac":
        secret = options.webhook_secret.encode()
        return {options.webhook_header: hmac.new(secret, body, hashlib.sha256).hexdigest()}
    if options.webhook_mode == "standard_webhooks":
        return _standard(standard_key(options.webhook_secret), f"msg_{identifier}", body)
    return {}


def standard_key(secret: str) -> bytes:
    """The key in a Standard Webhooks secret, with or without `whsec_`. Raises ValueError."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("--webhook-mode standard_webhooks needs a base64 --webhook-secret") from error


def _standard(key: bytes, identifier: str, body: bytes) -> dict[str, str]:
    """The identifier is the same for every attempt, the timestamp is this attempt's."""
    stamp = str(int(time.time()))
    mac = hmac.new(key, f"{identifier}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature}
