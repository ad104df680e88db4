"""`python -m tools.load [--seconds 20] [--payers 8]`, which is `make load SECONDS=20 PAYERS=8`.

It runs the sample shop with its production settings under gunicorn, a worker, PostgreSQL, Redis and the sandbox, all
on this machine. Payers make whole payments over HTTP: a start, an approval, a signed webhook, FeexPay's status, the
credit. It prints the CPU time of each part for a payment. The exit code is 1 unless each charge is credited once.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import django
from cryptography.fernet import Fernet

from tests import servers
from tools.deployment.measure import LIFTED

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
# As in docs/reference/performance.md: processes and threads of the goals for webhooks.
_WEB_PROCESSES, _WEB_THREADS = 2, 4
# Variables of the caller that the processes keep. Others could be those of another project.
_KEPT = ("HOME", "PATH", "TMPDIR")


def main() -> int:
    """Exit code 0 when each charge was credited exactly once, 130 after an interrupt, otherwise 1."""
    arguments = _arguments()
    if not Path("/proc/self/stat").exists():
        sys.stderr.write("make load reads CPU times from /proc, so it needs Linux.\n")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="feexpay-load-"))
    code = 1
    try:
        with ExitStack() as stack:
            addresses = stack.enter_context(servers.postgres()), stack.enter_context(servers.redis())
            code = _load(folder, *addresses, arguments)
    except KeyboardInterrupt:
        code = 130
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
    if code == 1:
        sys.stderr.write(f"The logs are in {folder}.\n")
    else:
        shutil.rmtree(folder)
    return code


def _load(folder: Path, database_url: str, redis_url: str, arguments: argparse.Namespace) -> int:
    shop, sandbox = (f"http://{HOST}:{servers.free_port()}" for _ in range(2))
    environment = _environment(folder, database_url, redis_url, shop, sandbox)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(1, str(ROOT / "sample_project"))
    django.setup()
    from tools.load.run import Setup, run  # it imports models, so only after setup()

    # As in the units of sample_project/deploy. This process would write its own counts there.
    metrics = folder / "metrics"
    metrics.mkdir()
    counting = environment | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    return run(Setup(folder, shop, sandbox, counting, arguments.seconds, arguments.payers))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make load", description="Cores per 1,000 payments/s.")
    parser.add_argument("--seconds", type=_positive, default=20, help="how long payments are started (default 20)")
    parser.add_argument("--payers", type=_positive, default=8, help="payers at the same time (default 8)")
    return parser.parse_args()


def _positive(text: str) -> int:
    """At most 600, so that the sandbox lists all payments at the end in one answer."""
    if not 1 <= int(text) <= 600:
        raise argparse.ArgumentTypeError("between 1 and 600")
    return int(text)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _environment(folder: Path, database_url: str, redis_url: str, shop: str, sandbox: str) -> dict[str, str]:
    """A staging server, which may use the sandbox. The limits that stop a load from one machine are lifted."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    lifted = dict(line.split("=", 1) for line in LIFTED.splitlines())
    anchors, secret = folder / "audit", secrets.token_hex(32)
    anchors.mkdir()
    return (
        kept
        | lifted
        | {
            "DJANGO_SETTINGS_MODULE": "tools.load.settings",
            "ENV_FILE": "",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": HOST,
            "NUM_PROXIES": "0",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "WEB_BIND": shop.removeprefix("http://"),
            "WEB_PROCESSES": str(_WEB_PROCESSES),
            "WEB_THREADS": str(_WEB_THREADS),
            "FEEXPAY_ENVIRONMENT": "staging",
            "FEEXPAY_BASE_URL": f"{sandbox}/api",
            "FEEXPAY_API_KEY": "test_sandbox_key",
            "FEEXPAY_SHOP_ID": "SANDBOXSHOP0001",
            "FEEXPAY_FIELD_KEYS": Fernet.generate_key().decode(),
            "FEEXPAY_HASH_KEY": secrets.token_hex(32),
            "FEEXPAY_AUDIT_KEYS": secrets.token_hex(32),
            "FEEXPAY_AUDIT_ANCHORS": str(anchors),
            "FEEXPAY_WEBHOOK_MODES": "status,hmac",
            "FEEXPAY_WEBHOOK_SECRETS": f"hmac:{secret}",
            "FEEXPAY_SANDBOX_PORT": sandbox.rpartition(":")[2],
            "FEEXPAY_SANDBOX_STATE": str(folder / "sandbox.sqlite3"),
            "FEEXPAY_SANDBOX_WEBHOOK_URL": f"{shop}/api/v1/payments/feexpay/webhook/",
            "FEEXPAY_SANDBOX_WEBHOOK_MODE": "hmac",
            "FEEXPAY_SANDBOX_WEBHOOK_SECRET": secret,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
