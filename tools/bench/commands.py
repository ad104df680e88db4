"""`python -m tools.bench.commands [--payments N]`: seconds and peak memory of the commands that read every payment.

On the database of `tools.bench.office`; DATABASE_URL names one that lasts. Not part of `make bench`.
"""

from __future__ import annotations

import os
import sys
import time
from tempfile import TemporaryDirectory

from tools.bench import filled

_COMMANDS = (
    ("feexpay_verify",),
    ("feexpay_totals", "--rebuild"),
    ("feexpay_statement",),
    ("feexpay_export", "--output", "payments.csv"),
)


def main() -> int:
    payments = filled.parser("commands", __doc__).parse_args().payments
    failed = 0
    with filled.database(payments), TemporaryDirectory() as folder:
        os.chdir(folder)
        print(f"{'command':52}{'seconds':>9}{'CPU':>7}{'peak MiB':>10}")
        for command in _COMMANDS:
            code, seconds, cpu, peak = _run(command)
            failed += code != 0
            print(f"{' '.join(command):52}{seconds:9.1f}{cpu:7.1f}{peak:10.0f}", flush=True)
    return failed


def _run(command: tuple[str, ...]) -> tuple[int, float, float, float]:
    """Exit code, seconds, CPU seconds of the process (not of PostgreSQL) and its peak memory in MiB."""
    os.environ["PYTHONPATH"] = f"{filled.ROOT}:{filled.ROOT}/sample_project"
    begun = time.monotonic()
    arguments = [sys.executable, str(filled.ROOT / "sample_project/manage.py"), *command]
    to_stderr = [(os.POSIX_SPAWN_DUP2, 2, 1)]  # standard output is for our table
    pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=to_stderr)
    _, status, used = os.wait4(pid, 0)
    seconds = time.monotonic() - begun
    return os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
