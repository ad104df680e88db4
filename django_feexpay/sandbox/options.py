"""The options of a sandbox and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_feexpay.sandbox.fault_settings import FaultSettings

DEFAULT_API_KEY = "test_sandbox_key"
DEFAULT_SHOP_ID = "SANDBOXSHOP0001"
WEBHOOK_MODES = ("none", "header", "hmac", "standard_webhooks")
LANGUAGES = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Options:
    """The options one sandbox starts with.

    `state`: path of the state file, "" for a temporary one. `time_scale` multiplies every delay. `settings`: the fault
    settings at the start. `webhook_header`: the signature's header in `hmac` mode. `abandon_seconds`: after this time
    an unfinished operator's page fails; 0 is never. `public_url`: the address at which payers reach the pages, if it
    differs from the address of the API.
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
