"""Runs `manage.py check --deploy` with the production settings and random values.

It fails on any warning, because the sample project must deploy without one.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

MANAGE = Path(__file__).resolve().parent.parent / "sample_project" / "manage.py"


def random_environment() -> dict[str, str]:
    """The variables that production requires. The keys are random, and no database is connected to."""
    return {
        "ALLOWED_HOSTS": "shop.example",
        "DATABASE_URL": "postgres://shop:unused@db.example:5432/shop",
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "FEEXPAY_API_KEY": f"fp_{secrets.token_hex(16)}",
        "FEEXPAY_FIELD_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "FEEXPAY_HASH_KEY": secrets.token_hex(32),
        "FEEXPAY_SHOP_ID": secrets.token_hex(12),
        "FEEXPAY_WEBHOOK_MODES": "status,header",
        "FEEXPAY_WEBHOOK_SECRETS": f"header:Bearer {secrets.token_hex(24)}",
        "REDIS_URL": "redis://cache.example:6379/0",
        "SECRET_KEY": secrets.token_urlsafe(64),
    }


def main() -> int:
    command = [sys.executable, str(MANAGE), "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, env=os.environ | random_environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
