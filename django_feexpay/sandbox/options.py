"""What can be chosen about a sandbox, and what is chosen when nobody does."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_feexpay.sandbox.fault_settings import FaultSettings

DEFAULT_API_KEY = "test_sandbox_key"
DEFAULT_SHOP_ID = "SANDBOXSHOP0001"
WEBHOOK_MODES = ("none", "header", "hmac", "standard_webhooks")
LANGUAGES = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Options:
    """How one sandbox runs. `state` is a path ("": temporary); `time_scale` multiplies every delay.

    `conditions` are those of the start; `webhook_header` is where `hmac` mode signs. `abandon_seconds`: when the
    operator gives up a page that nobody finished; 0 is never. `public_url`: where payers reach the pages, when
    it is not where the caller reached the API.
    """

    host: str = "127.0.0.1"
    port: int = 8801
    state: str = ""
    webhook_url: str = ""
    webhook_mode: str = "none"
    webhook_secret: str = field(default="", repr=False)
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    shop_id: str = DEFAULT_SHOP_ID
    shop_name: str = "Sandbox"
    language: str = "fr"
    time_scale: float = 1.0
    webhook_header: str = "X-FeexPay-Signature"
    settings: FaultSettings = field(default_factory=FaultSettings)
    abandon_seconds: float = 3600.0
    public_url: str = ""
