"""`python -m tools.schema_dump FILE`: this version's PostgreSQL schema with a few payments, as SQL.

Each release adds its file to tests/upgrade/schemas, and every later version is tested against it. The code of the
release itself writes the rows, so they are what a host's database holds: a credited payment, a failed one, and an open
one. Numbers are encrypted with the keys of the test settings, and belong to nobody.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import servers

ROOT = Path(__file__).resolve().parent.parent
#: `migrate` writes the rows of these tables again.
_WITHOUT_ROWS = ("auth_permission", "django_content_type")
#: What psql alone understands, and settings of one version of PostgreSQL.
_LEFT_OUT = re.compile(r"^(--.*|\\.*|SET .*|SELECT pg_catalog\.set_config.*|\s*)$")


def main() -> int:
    if len(sys.argv) != 2:
        print("python -m tools.schema_dump tests/upgrade/schemas/VERSION.sql", file=sys.stderr)
        return 2
    target = Path(sys.argv[1])
    sys.path.insert(0, str(ROOT / "sample_project"))
    with servers.postgres() as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings.testing"}
        _fill()
        target.write_text(_dump(url))
    print(f"{target}: {len(target.read_text().splitlines())} lines")
    return 0


def _fill() -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connections
    from django.test import override_settings

    from django_feexpay import conf, start_payment
    from tests.payments.fake_gateway import ModelGateway
    from tests.payments.fakes import sweep

    call_command("migrate", verbosity=0)
    gateway, payer = ModelGateway(), User.objects.create_user("ama")
    # Not the sample shop's orders: the payments have none.
    with conf.use_transport(gateway), override_settings(FEEXPAY={**settings.FEEXPAY, "PAYABLE": "any_amount"}):
        for reference, end in (("paid", "approve"), ("declined", "decline"), ("open", "")):
            payment = start_payment(
                user=payer, provider="mtn_bj", amount=5000, phone="+229 01 61 00 00 50", merchant_reference=reference
            )
            if end:
                getattr(gateway.last(), end)()
                payment.attempts.update(next_poll_at=conf.now())
                sweep()
    connections.close_all()


def _dump(url: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        program = servers.postgres_binaries(Path(folder), {}) / "pg_dump"
        kept = [f"--exclude-table-data={table}" for table in _WITHOUT_ROWS]
        command = [str(program), url, "--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", *kept]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(f"{line}\n" for line in text.splitlines() if not _LEFT_OUT.match(line))


if __name__ == "__main__":
    sys.exit(main())
