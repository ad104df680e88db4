"""`make demo`: runs the shop, the worker and the sandbox. With `--once` it makes one purchase by HTTP and ends."""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from demo_http import answers, wait_for
from demo_processes import DemoError, Processes
from demo_purchase import Outcome, Purchase, Target
from shop.demo_data import MAIL_DOMAIN

_ROOT = Path(__file__).resolve().parents[1]
STATE = _ROOT / ".demo"
_CLIENT_TOOL = _ROOT / "tools" / "client.py"
HOST = "127.0.0.1"
PLAYER, STAFF = "player", "staff"

_START_SECONDS = 60.0
_ONCE_SECONDS = 120.0
_DISPLAY_SECONDS = 15.0
_WATCH_EVERY_SECONDS = 0.2

# Variables of another project must not reach the demo.
_OURS = (
    "FEEXPAY_",
    "DJANGO_",
    "DEMO_",
    "PYTHONPATH",
    "PYTHONHOME",
    "REDIS_URL",
    "Q_BROKER",
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "LOG_FORMAT",
)


class TookTooLongError(Exception):
    """`--once` took too long. Not a DemoError, because `answers` takes that for "not ready yet"."""


@dataclass(frozen=True)
class Demo:
    """The addresses and secrets of one run. `folder` holds the database, the sandbox's state and the logs."""

    folder: Path
    shop_port: int
    sandbox_port: int
    with_data: bool = False
    player_password: str = field(default_factory=lambda: secrets.token_hex(6), repr=False)
    staff_password: str = field(default_factory=lambda: secrets.token_hex(6), repr=False)
    webhook_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def shop(self) -> str:
        return f"http://{HOST}:{self.shop_port}"

    @property
    def sandbox(self) -> str:
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def database(self) -> Path:
        return self.folder / "db.sqlite3"

    def environment(self) -> dict[str, str]:
        """The environment of the demo's processes: the caller's, without variables that could redirect them."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return kept | {
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "ENV_FILE": "",
            "DATABASE_URL": f"sqlite:///{quote(str(self.database))}",
            "FEEXPAY_BASE_URL": f"{self.sandbox}/api",
            "FEEXPAY_API_KEY": "test_sandbox_key",
            "FEEXPAY_SHOP_ID": "SANDBOXSHOP0001",
            "FEEXPAY_RATES": "USD:600",  # an invented rate, as the money is invented, too
            "FEEXPAY_SHOP_NAME": "Coin shop",
            "FEEXPAY_PROMPTS_PER_PHONE": "0",  # no real phone is prompted, so a magic number may be used often
            "FEEXPAY_WEBHOOK_MODES": "status,hmac",
            "FEEXPAY_WEBHOOK_SECRETS": f"hmac:{self.webhook_secret}",
            "FEEXPAY_SANDBOX_PORT": str(self.sandbox_port),
            "FEEXPAY_SANDBOX_STATE": str(self.folder / "sandbox.sqlite3"),
            "FEEXPAY_SANDBOX_SHOP_NAME": "Coin shop",
            "FEEXPAY_SANDBOX_WEBHOOK_URL": f"{self.shop}/api/v1/payments/feexpay/webhook/",
            "FEEXPAY_SANDBOX_WEBHOOK_MODE": "hmac",
            "FEEXPAY_SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
            "DEMO_SANDBOX_URL": self.sandbox,
            "DEMO_USERNAME": PLAYER,
            "DEMO_PASSWORD": self.player_password,
            "DEMO_STAFF_USERNAME": STAFF,
            "DEMO_STAFF_PASSWORD": self.staff_password,
        }


def main() -> int:
    arguments = _arguments()
    # SIGINT, too: a shell script starts its background processes with SIGINT ignored, and Python would keep that.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        if arguments.once:
            return _once(arguments.state, arguments.port)
        _serve(arguments.state, arguments.port, arguments.client, with_data=arguments.data)
    except (DemoError, TookTooLongError) as error:
        sys.stderr.write(f"\nThe demo failed: {error}\n")
        return 1
    except KeyboardInterrupt:
        _say("\nstopped")
        return 130 if arguments.once else 0
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="buy one pack by HTTP and exit")
    parser.add_argument("--data", action="store_true", help="first write a year of made-up payments")
    parser.add_argument("--port", type=int, default=0, help="port of the shop (default: a free one)")
    parser.add_argument("--state", type=Path, default=STATE, help="folder for databases and logs (default: .demo)")
    parser.add_argument("--client", type=Path, help="Python of the client's environment: open its window, too")
    arguments = parser.parse_args()
    if arguments.once and arguments.data:
        parser.error(
            "one purchase is made on an empty database, so it takes no made-up payments: run make demo ONCE=1, or "
            "make demo DATA=1"
        )
    return arguments


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _time_limit_reached(signum: int, frame: object) -> None:
    raise TookTooLongError(f"it took longer than {_ONCE_SECONDS:.0f} seconds")


# --- the two ways to run -----------------------------------------------------------------------------


def _serve(state: Path, port: int, client: Path | None, *, with_data: bool) -> None:
    """Run until Ctrl-C. Raises DemoError when a process exits."""
    with ExitStack() as stack:
        demo = Demo(stack.enter_context(_permanent_folder(state)), *free_ports(port), with_data=with_data)
        processes = stack.enter_context(started(demo))
        stack.enter_context(_announced(demo))
        _say(_addresses(demo))
        if client is not None:
            _open_window(demo, processes, client)
        while True:
            processes.check()
            for log in processes.failed_windows():
                _say(f"The client's window has ended with an error; the demo goes on without it. Its log: {log}")
            time.sleep(_WATCH_EVERY_SECONDS)


def _once(state: Path, port: int) -> int:
    """Make one purchase on empty databases; exit code 0 only if the coins were credited exactly once."""
    signal.signal(signal.SIGALRM, _time_limit_reached)
    signal.setitimer(signal.ITIMER_REAL, _ONCE_SECONDS)
    with ExitStack() as stack:
        demo = Demo(stack.enter_context(_fresh_folder(state)), *free_ports(port))
        processes = stack.enter_context(started(demo))
        outcome = _purchase(demo, processes)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return print_result(outcome)


def print_result(outcome: Outcome) -> int:
    """Print the result as the last line; exit code 0 only for one charge and one credit."""
    once = (outcome.credited, outcome.charges) == (1, 1)
    if not once:
        sys.stderr.write("The demo failed: one purchase must be one charge and one credit.\n")
    _say(f"credited={outcome.credited} charges={outcome.charges} seconds={outcome.seconds:.1f}")
    return 0 if once else 1


def _purchase(demo: Demo, processes: Processes) -> Outcome:
    _say(f"shop {demo.shop}/ · payer's phone {demo.sandbox}/\n")
    target = Target(demo.shop, demo.sandbox, PLAYER, demo.player_password, demo.database)
    try:
        return Purchase(target).run()
    except (DemoError, TookTooLongError) as error:
        processes.check()  # if a process died, its log is the better error
        raise DemoError(f"{error}\n{processes.last_log_lines()}") from error


# --- starting ----------------------------------------------------------------------------------------


@contextmanager
def started(demo: Demo) -> Iterator[Processes]:
    """Start all processes and wait until they answer; stop them afterwards."""
    with Processes(demo.folder, demo.environment()) as processes:
        try:
            _start(demo, processes)
            yield processes
        finally:
            # A second Ctrl-C during the two seconds of stopping would leave processes running.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def _start(demo: Demo, processes: Processes) -> None:
    processes.start("sandbox", "django_feexpay.sandbox")
    processes.run("setup", "demo_setup")
    if demo.with_data and not _has_made_up_payments(demo.database):
        _say("A year of made-up payments is written first. That takes about two minutes.")
        processes.run("data", "manage", "feexpay_demo_data", "--add")
    start_shop(demo, processes)
    processes.start("worker", "manage", "feexpay_worker")
    for url in (f"{demo.sandbox}/control/payments", f"{demo.shop}/api/v1/shop/packs/"):
        _await(url, processes)


def start_shop(demo: Demo, processes: Processes) -> None:
    """Start the shop under ASGI, so that the payer's screen gets events."""
    server = ("uvicorn", "config.asgi:application", f"--host={HOST}", f"--port={demo.shop_port}")
    processes.start("shop", *server, "--log-level=warning")


def _has_made_up_payments(database: Path) -> bool:
    """Whether an earlier start wrote them: their players have addresses of their own."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        players = "SELECT EXISTS (SELECT 1 FROM auth_user WHERE email LIKE ?)"
        return bool(connection.execute(players, [f"%@{MAIL_DOMAIN}"]).fetchone()[0])


def _open_window(demo: Demo, processes: Processes, python: Path) -> None:
    """Open the client's window; where that is impossible, print why and go on without it."""
    if not python.exists() or not _can_open_window(python):
        _say("The demo goes on without the client's window.\n")
        return
    home = demo.folder / "client"
    more = {"FEEXPAY_SERVER": demo.shop, "FEEXPAY_CLIENT_HOME": str(home)}
    processes.start_window("client", python.absolute(), "feexpay_client", more)


def _can_open_window(python: Path) -> bool:
    """Whether the client's window can open; the tool says why not. An X server far away may not answer at all."""
    asked = [str(python), str(_CLIENT_TOOL), "window"]
    try:
        return not subprocess.run(asked, check=False, timeout=_DISPLAY_SECONDS).returncode  # noqa: S603 -- our own script
    except subprocess.TimeoutExpired:
        _say(f"The client's window could not open: the display did not answer in {_DISPLAY_SECONDS:.0f} seconds.")
        return False


@contextmanager
def _announced(demo: Demo) -> Iterator[None]:
    """Write the shop's address to a file where `make client` finds it."""
    address = demo.folder / "address"
    address.write_text(demo.shop, encoding="utf-8")
    try:
        yield
    finally:
        address.unlink(missing_ok=True)


def _await(url: str, processes: Processes) -> None:
    def answers_now() -> bool | None:
        processes.check()
        return answers(url)

    wait_for(url, answers_now, seconds=_START_SECONDS)


def free_ports(wanted: int) -> tuple[int, int]:
    """Free ports for the shop (0: any) and the sandbox. Raises DemoError when the wanted port is taken.

    Both servers listen only seconds later. So no port is one of those from 32,768 on, which the system gives meanwhile
    to outgoing connections.
    """
    chosen: list[int] = []
    with ExitStack() as held:
        for port in (wanted, 0):
            some = random.sample(range(10_000, 32_768), 100)  # noqa: S311 -- not for secrets
            chosen.append(_bound([port] if port else [one for one in some if one not in chosen], held))
    return chosen[0], chosen[1]


def _bound(candidates: Sequence[int], held: ExitStack) -> int:
    """The first port that is free; it stays taken until `held` is closed. Raises DemoError if there is none."""
    for port in candidates:
        probe = held.enter_context(socket.socket())
        # As the servers do: a port with connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            problem = DemoError(f"port {port} is not available: {error}")
        else:
            return port
    raise problem


@contextmanager
def _fresh_folder(state: Path) -> Iterator[Path]:
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="once-", dir=state)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _permanent_folder(state: Path) -> Iterator[Path]:
    """The same folder at each start, so that coins and payments are kept. Only one demo may use it at a time."""
    folder = state.resolve() / "kept"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("another demo uses this state folder: stop that one first") from None
        yield folder


# --- output ------------------------------------------------------------------------------------------


def _addresses(demo: Demo) -> str:
    return f"""
The demo is running. Ctrl-C stops it.

  the shop           {demo.shop}/
  the payer's phone  {demo.sandbox}/
  the admin          {demo.shop}/admin/
  the API            {demo.shop}/api/v1/

  player             {PLAYER} / {demo.player_password}
  staff              {STAFF} / {demo.staff_password}

  database and logs  {demo.folder}
"""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
