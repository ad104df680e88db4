"""Follow docs/how-to/deploy.md on a server of its own: `python -m tools.deployment.bare_server`.

The server is a set of Linux namespaces on this machine: its own processes with a real systemd, its own network with
only the loopback, and its own changes to the file system, which are gone afterwards. It needs root, and the Debian
packages that the page installs. Each command of the page is run in its order; then tools.deployment.measure measures,
and tools.deployment.watch follows Prometheus and the alerts. An argument runs one of the two: `… bare_server watch`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "deploy.md"
PYTHON = "/usr/bin/python3"  # Debian's, which the page uses
NEEDED = (
    *("unshare", "nsenter", "systemctl", "nginx", "redis-server", "pg_ctlcluster", "openssl", "curl", "ip"),
    "prometheus",
)
PARTS = ("measure", "watch")
_START_SECONDS = 30.0

# What differs from a server that has just booted: the targets of the early boot are empty, since there is no hardware,
# and the clone stands where the page puts it.
_BOOT = """
set -eu
mount --make-rprivate /
mkdir -p "$1/layers" && mount -t tmpfs tmpfs "$1/layers"
for part in etc var srv root usr; do
    mkdir -p "$1/layers/$part/upper" "$1/layers/$part/work"
    mount -t overlay overlay -o "lowerdir=/$part,upperdir=$1/layers/$part/upper,workdir=$1/layers/$part/work" "/$part"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/systemd/system /root/shop
mount --bind "$2" /root/shop
ip link set lo up
echo '127.0.0.1 localhost' > /etc/hosts
rm -f /etc/nginx/sites-enabled/shop /usr/sbin/policy-rc.d
mount -o bind,ro /proc/sys /proc/sys
for target in sysinit basic; do
    printf '[Unit]\\nDefaultDependencies=no\\n' > "/run/systemd/system/$target.target"
done
for unit in /lib/systemd/system/*.target.wants/*; do
    ln -sf /dev/null "/run/systemd/system/${unit##*/}"
done
rm /run/systemd/system/systemd-journald* /run/systemd/system/dbus*
printf '[Unit]\\nDefaultDependencies=no\\nWants=dbus.socket postgresql.service\\nAfter=postgresql.service\\n' \\
    > /run/systemd/system/bare.target
systemd-tmpfiles --create postgresql-common.conf dbus.conf 2>/dev/null || true
mkdir -p /run/dbus
mount --make-rshared /
exec env -i container=namespaces PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=bare.target \\
    --show-status=no
"""


class PageError(Exception):
    """A command of the page failed."""


def commands(page: str) -> list[str]:
    """The commands of the page in their order, without those under a comment `<!-- not run: … -->`."""
    found: list[str] = []
    for skipped, block in re.findall(r"(<!-- not run[^\n]*-->\n)?[ ]*```console\n(.*?)```", page, re.DOTALL):
        if not skipped:
            found += re.findall(r"^ *\$ (.+)$", block, re.MULTILINE)
    return found


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Boot the server and yield the process id of its systemd; end everything in it afterwards."""
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount",
        "--cgroup",
        "--net",
        "--uts",
        "--ipc",
        "--mount-proc",
    ]
    with (folder / "boot.log").open("wb") as log:
        outside = subprocess.Popen(
            [*command, "sh", "-c", _BOOT, "boot", str(folder), str(ROOT)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _first_process(outside, folder)
    finally:
        # When its first process ends, the kernel ends all others of a process namespace.
        for child in _children(outside.pid):
            os.kill(child, signal.SIGKILL)
        outside.wait()


def inside(system: int, *command: str) -> list[str]:
    """The arguments that run a command on the server."""
    return ["nsenter", f"--target={system}", "--all", *command]


def environment(wheels: Path) -> dict[str, str]:
    """The variables of root's shell on the server."""
    return {
        "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        # The server has no network, so pip takes what was fetched before.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "SHOP_PYTHON": PYTHON,
    }


def follow(system: int, variables: dict[str, str], text: str) -> None:
    """Run these commands of the page in one shell, as a reader would. Raises: PageError."""
    script = "set -e\n" + "".join(f"printf '\\n$ %s\\n' {_quoted(line)}\n{line}\n" for line in commands(text))
    done = subprocess.run(inside(system, "bash", "-c", script), env=variables, check=False)
    if done.returncode:
        raise PageError(f"the page needs a correction: its last command ended with {done.returncode}")


def run_part(system: int, part: str, variables: dict[str, str]) -> int:
    """Run tools.deployment.measure or .watch on the server; return its exit code."""
    command = inside(system, f"--wd={ROOT}", sys.executable, "-m", f"tools.deployment.{part}")
    return subprocess.run(command, env=variables, check=False).returncode


def fetch_wheels(folder: Path) -> None:
    """Everything that deploy.sh installs, for Debian's Python. This is the only step with a network."""
    environment = folder.parent / "fetching"
    _run(PYTHON, "-m", "venv", str(environment))
    pip = [str(environment / "bin" / "python"), "-m", "pip"]
    _run(*pip, "install", "--quiet", "pip>=25.1")
    group = f"{ROOT / 'pyproject.toml'}:production"
    _run(
        *pip,
        "wheel",
        "--quiet",
        "--wheel-dir",
        str(folder),
        "pip>=25.1",
        "hatchling>=1.27",
        ".",
        "--group",
        group,
        cwd=ROOT,
    )


def main(parts: list[str]) -> int:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        print(f"This needs root and the packages of {PAGE.name}; missing: {', '.join(missing) or 'root'}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    with tempfile.TemporaryDirectory(prefix="feexpay-server-", dir="/tmp") as name:  # noqa: S108 -- not below /var
        folder = Path(name)
        folder.chmod(0o755)
        wheels = Path(os.environ.get("DEPLOY_WHEELS", folder / "wheels"))
        if not wheels.exists():
            fetch_wheels(wheels)
        with server(folder) as system:
            try:
                follow(system, environment(wheels), PAGE.read_text())
                codes = [run_part(system, part, environment(wheels)) for part in parts or PARTS]
                return max(codes)
            except PageError as error:
                print(f"✘ {error}")
                subprocess.run(inside(system, "journalctl", "--no-pager", "--lines=60", "--output=cat"), check=False)
                return 1


def _first_process(outside: subprocess.Popen[bytes], folder: Path) -> int:
    """The systemd of the server, as soon as it answers. Raises: RuntimeError with its messages."""
    give_up_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up_at and outside.poll() is None:
        for child in _children(outside.pid):
            ready = subprocess.run(
                inside(child, "systemctl", "is-active", "bare.target"), capture_output=True, check=False
            )
            if ready.stdout.strip() == b"active":
                return child
        time.sleep(0.2)
    raise RuntimeError(f"systemd does not start: {(folder / 'boot.log').read_text()}")


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(one) for one in found.read_text().split()] if found.exists() else []


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
