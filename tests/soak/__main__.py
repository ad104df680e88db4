"""`python -m tests.soak -n 500 [--seed S]`, which is `make soak N=500 SEED=S`."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import django
import psycopg
from cryptography.fernet import Fernet

from tests import servers
from tests.soak import hung_receiver, plan

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

# The sandbox draws its faults from the same seed and takes none above this.
_MAX_SEED = 10**9

# Variables of another project must not reach the processes of a soak.
_OURS = ("FEEXPAY_", "DJANGO_", "PYTHON", "REDIS_URL", "Q_BROKER", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "LOG_FORMAT")


def main() -> int:
    """Exit code 0 when nothing was lost or doubled and no rule was broken, 130 after an interrupt, otherwise 1."""
    arguments = _arguments()
    seed = secrets.randbelow(_MAX_SEED + 1) if arguments.seed is None else arguments.seed
    print(f"soak: N={arguments.count} seed={seed}", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="feexpay-soak-"))
    code = 1
    try:
        with servers.postgres() as database_url:
            code = _soak(plan.draw(seed, arguments.count), folder, database_url, arguments.patience)
    except KeyboardInterrupt:
        code = 130
    if code == 1:
        sys.stderr.write(f"The logs are in {folder}. Repeat it with: make soak N={arguments.count} SEED={seed}\n")
    else:
        shutil.rmtree(folder)
    return code


def _soak(drawn: plan.Plan, folder: Path, database_url: str, timeout_seconds: float) -> int:
    _make_durable(database_url)
    secret = secrets.token_hex(32)
    shop, sandbox = (f"http://{HOST}:{servers.free_port()}" for _ in range(2))
    environment = _environment(drawn, folder, database_url, shop, sandbox, secret)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(1, str(ROOT / "sample_project"))
    django.setup()
    from tests.soak.run import Setup, Soak  # it imports models, so only after setup()

    return Soak(drawn, Setup(folder, database_url, shop, sandbox, secret, environment, timeout_seconds)).run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description="The chaos soak.")
    parser.add_argument("-n", "--count", type=_count, default=200, help="purchases (default 200)")
    parser.add_argument("--seed", type=_seed, help="seed of an earlier soak, for the same plan (default: a new one)")
    parser.add_argument("--patience", type=float, default=75.0, help="seconds to wait for the end (default 75)")
    return parser.parse_args()


def _seed(text: str) -> int:
    if not 0 <= int(text) <= _MAX_SEED:
        raise argparse.ArgumentTypeError(f"between 0 and {_MAX_SEED}")
    return int(text)


def _count(text: str) -> int:
    """At most 1500: with more, a day of one provider no longer fits into one answer of history."""
    if not 1 <= int(text) <= 1500:
        raise argparse.ArgumentTypeError("between 1 and 1500")
    return int(text)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _make_durable(database_url: str) -> None:
    """Switch on synchronous commits: unlike in other tests, this server is killed and must lose no commit."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres SET synchronous_commit = on")


def _environment(
    drawn: plan.Plan, folder: Path, database_url: str, shop: str, sandbox: str, secret: str
) -> dict[str, str]:
    """Development settings, as production settings refuse plain http and a sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "tests.soak.shop_settings",
        hung_receiver.AMOUNTS: ",".join(map(str, drawn.hung_amounts)),
        hung_receiver.FILE: str(folder / "hung"),
        "ENV_FILE": "",
        "DATABASE_URL": database_url,
        "FEEXPAY_BASE_URL": f"{sandbox}/api",
        "FEEXPAY_API_KEY": "test_sandbox_key",
        "FEEXPAY_SHOP_ID": "SANDBOXSHOP0001",
        "FEEXPAY_FIELD_KEYS": Fernet.generate_key().decode(),
        "FEEXPAY_HASH_KEY": secrets.token_hex(32),
        "FEEXPAY_WEBHOOK_MODES": "status,hmac",
        "FEEXPAY_WEBHOOK_SECRETS": f"hmac:{secret}",
        "FEEXPAY_POLL_SECONDS": "1,2,3,5",
        "FEEXPAY_EXPIRY_SECONDS": str(plan.EXPIRY_SECONDS),
        "FEEXPAY_RATE_LIMIT": "6000/min",
        "FEEXPAY_PROMPTS_PER_PHONE": "0",
        "FEEXPAY_SANDBOX_PORT": sandbox.rpartition(":")[2],
        "FEEXPAY_SANDBOX_STATE": str(folder / "sandbox.sqlite3"),
        "FEEXPAY_SANDBOX_WEBHOOK_URL": f"{shop}/api/v1/payments/feexpay/webhook/",
        "FEEXPAY_SANDBOX_WEBHOOK_MODE": "hmac",
        "FEEXPAY_SANDBOX_WEBHOOK_SECRET": secret,
    }


if __name__ == "__main__":
    sys.exit(main())
