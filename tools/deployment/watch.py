"""Follow Prometheus and the alerts of the installation of docs/how-to/deploy.md, on the server where it runs.

A payment by the client's engine is in the scraped metrics; every query of every dashboard returns data; Prometheus and
the sandbox are killed and come back; each rule of the registry of health facts is told to a real HTTP receiver when it
begins and when it is over. It takes a quarter of an hour, since a trouble is over when it was away for five minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.deployment.measure import PAYMENTS, Shop, run, wait
from tools.monitoring_files import BOARDS

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / ".venv-client" / "bin" / "python"
CREDENTIALS = Path("/etc/shop/credentials")
SETTINGS = Path("/etc/shop/shop.env")
RECEIVER_PORT = 9911
_SCRAPE_SECONDS = 15
_PASSWORD = "a-password-of-staging"  # noqa: S105 -- of a server that is thrown away
_FAILS, _NEVER_ANSWERS, _APPROVED = "03", "04", "00"
#: Announced in other words than the fact's when it is over: without a database there is no row of it.
_DATABASE_IS_BACK = "The database answers again."


class Receiver:
    """The team: an HTTP server that keeps every notice."""

    def __init__(self) -> None:
        self._notices: list[tuple[str, bool]] = []

    def add(self, notice: dict[str, Any]) -> None:
        text = f"{notice.get('title', '')}\n{notice.get('message', '')}"
        self._notices.append((text, notice.get("type") == "success"))

    def has(self, words: str, *, recovery: bool) -> bool:
        return any(words in text and is_recovery == recovery for text, is_recovery in self._notices)

    @contextmanager
    def running(self) -> Iterator[None]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.add(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", RECEIVER_PORT), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def main() -> int:
    receiver = Receiver()
    with receiver.running():
        (CREDENTIALS / "FEEXPAY_ALERT_URLS").write_text(f"json://127.0.0.1:{RECEIVER_PORT}/\n")
        run("systemctl", "restart", "shop-web@1", "shop-web@2", "shop-worker@1")
        if "✔ json" not in run("shop-manage", "feexpay_alert_test"):
            print("✘ the receiver did not get the test")
            return 1
        shop, pending, failed = payments()
        empty = panels()
        for name, unit, answers in (
            ("Prometheus", "prometheus.service", lambda: bool(query("feexpay_up"))),
            ("the sandbox", "shop-sandbox.service", sandbox_answers),
        ):
            kill(name, unit, answers)
        missing = every_alert(receiver, pending, failed)
    print(f"watch empty_panels={len(empty)} alerts_missing={len(missing)}")
    return 1 if empty or missing else 0


# --- payments and what Prometheus knows of them ---------------------------------------------------------------------


def payments() -> tuple[Shop, str, str]:
    """Make a payment by the client, and others that fail, wait or are refused.

    Returns the ids of one that waits and of one that failed.
    """
    run("shop-manage", "feexpay_demo_user", "watcher", _PASSWORD)
    shop = Shop()
    shop.token = shop.ask("POST", "/api/v1/auth/token/", {"username": "watcher", "password": _PASSWORD}).body["token"]
    pack = shop.ask("GET", "/api/v1/shop/packs/").body[0]
    shop.pack = {"amount": pack["price"], "metadata": pack["metadata"]}
    began = time.monotonic()
    done = run(str(CLIENT), str(ROOT / "tools/deployment/pay_with_client.py"), shop.token, f"01961000{_APPROVED}")
    print(f"a payment by the client's engine: {done} after {time.monotonic() - began:.1f} s", flush=True)
    failed = [start(shop, number, _FAILS) for number in range(10)]
    pending = start(shop, 20, _NEVER_ANSWERS)
    for _ in range(130):  # more than the limit of a minute
        shop.ask("GET", f"{PAYMENTS}/providers/")
    for number in range(25):
        Shop().ask("POST", f"{PAYMENTS}/webhook/", {"reference": "x", "status": "SUCCESSFUL"}, number=number)
    return shop, pending, failed[0]


def start(shop: Shop, number: int, ending: str) -> str:
    body = {"provider": "mtn_bj", "phone": f"01962{number:03}{ending}", **shop.pack}
    body["metadata"] = dict(body["metadata"])
    answer = shop.ask(
        "POST", f"{PAYMENTS}/initiate/", body, number=number, key=f"watch-{number}-{ending}-{time.time()}"
    )
    if answer.status not in (201, 202):
        raise RuntimeError(f"a payment did not start: {answer.status} {answer.body}")
    return str(answer.body["id"])


def panels() -> list[str]:
    """Wait until every query of every dashboard returns data; the titles of those that do not within three minutes."""
    queries = {
        f"{board}: {panel.title} ({legend})": expression.replace("$__rate_interval", f"{4 * _SCRAPE_SECONDS}s")
        for board, (_title, panels) in BOARDS.items()
        for panel in panels
        for expression, legend in panel.queries.items()
    }
    began, left = time.monotonic(), list(queries)
    while left and time.monotonic() - began < 180:
        left = [title for title in left if not query(queries[title])]
        time.sleep(2)
    shown = f"{len(queries) - len(left)} of {len(queries)} panels return data"
    print(f"Prometheus, {len(rules())} rules: {shown} after {time.monotonic() - began:.0f} s", flush=True)
    for title in left:
        print(f"  ✘ {title}", flush=True)
    return left


def query(expression: str) -> list[Any]:
    """What Prometheus answers now; empty while it is away. Raises: RuntimeError for a query that it refuses."""
    found = _prometheus(f"/api/v1/query?query={quote(expression)}")
    if found and "data" not in found:
        raise RuntimeError(f"{expression}: {found.get('error', found)}")
    return list(found["data"]["result"]) if found else []


def rules() -> list[Any]:
    found = _prometheus("/api/v1/rules")
    return [rule for group in found["data"]["groups"] for rule in group["rules"]] if found else []


def _prometheus(path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", 9090, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


# --- kills ----------------------------------------------------------------------------------------------------------


def sandbox_answers() -> bool:
    connection = HTTPConnection("127.0.0.1", 8801, timeout=5)
    try:
        connection.request("GET", "/control/payments")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def kill(name: str, unit: str, answers: Callable[[], bool]) -> None:
    """kill -9, until systemd has started it again and it answers."""
    before = run("systemctl", "show", "--property=MainPID", unit)
    began = time.monotonic()
    run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)
    seconds = wait(lambda: run("systemctl", "show", "--property=MainPID", unit) != before and answers(), began)
    print(f"kill -9 of {name}: back after {seconds:.1f} s", flush=True)


# --- alerts ---------------------------------------------------------------------------------------------------------


def every_alert(receiver: Receiver, pending: str, failed: str) -> list[str]:
    """Bring about every trouble and end it; the facts whose beginning or end the team was not told."""
    words = ask_shop("words()")["words"]
    stop_until_told(receiver, "redis-server", words["cache_silent"])
    stop_until_told(receiver, "postgresql@15-main", words["database_unreachable"])
    # The cache remembers that this was told, and the cure empties it.
    seconds = wait(lambda: receiver.has(_DATABASE_IS_BACK, recovery=True), time.monotonic(), seconds=180)
    print(f"postgresql@15-main runs again: the team was told after {seconds:.0f} s", flush=True)
    lose_the_keys(receiver, words)
    run("systemctl", "stop", "shop-worker@1")
    looked = ask_shop(f"provoke({pending!r}, {failed!r})")
    print(f"{len(looked['troubles'])} facts in trouble at once, {looked['told']} alerts told", flush=True)
    silent = [fact for fact in words if not receiver.has(words[fact], recovery=False)]

    ask_shop(f"cure({pending!r}, {failed!r})")
    run("systemctl", "start", "shop-worker@1")
    began = time.monotonic()
    ends = words | {"database_unreachable": _DATABASE_IS_BACK}
    lasting = list(ends)
    while lasting and time.monotonic() - began < 600:
        lasting = [fact for fact in lasting if not receiver.has(ends[fact], recovery=True)]
        time.sleep(2)
    told = f"the beginning of {len(words) - len(silent)} and the end of {len(words) - len(lasting)} of {len(words)}"
    print(f"alerts: the team was told {told} rules; the last end {time.monotonic() - began:.0f} s after the cure")
    for fact in silent:
        print(f"  ✘ {fact}: its beginning was not told")
    for fact in lasting:
        print(f"  ✘ {fact}: its end was not told", flush=True)
    return [*silent, *lasting]


def stop_until_told(receiver: Receiver, unit: str, words: str) -> None:
    """A real outage, until the team was told by a worker that runs on."""
    began = time.monotonic()
    run("systemctl", "stop", unit)
    seconds = wait(lambda: receiver.has(words, recovery=False), began, seconds=180)
    run("systemctl", "start", unit)
    print(f"{unit} is stopped: the team was told after {seconds:.0f} s", flush=True)


def lose_the_keys(receiver: Receiver, words: dict[str, str]) -> None:
    """The three facts about secrets, which exclude each other, each by the key that the shop reads."""
    file = CREDENTIALS / "FEEXPAY_API_KEY"
    kept = file.read_text()
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86_400))
    for until in (today, "2020-01-01"):
        file.write_text(f"{kept.strip()} until {until}\n")
        ask_shop("look()")
    file.write_text(kept)
    lost = Path("/var/lib/shop/api-key")
    lost.write_text(kept)
    lost.chmod(0o644)
    ask_shop(f"key_file_is_lost({str(lost)!r})", FEEXPAY_API_KEY_FILE=str(lost), FEEXPAY_SECRETS_TTL_SECONDS="1")
    ask_shop("look()")


def ask_shop(call: str, **variables: str) -> dict[str, Any]:
    """Run a function of tools/deployment/troubles.py in the installed shop; return what it says."""
    code = (ROOT / "tools/deployment/troubles.py").read_text()
    kept = SETTINGS.read_text()
    SETTINGS.write_text(kept + "".join(f"{name}={value}\n" for name, value in variables.items()))
    command = ["/usr/local/sbin/shop-manage", "shell", "--verbosity", "0"]
    try:
        done = subprocess.run(command, input=f"{code}\n{call}\n", capture_output=True, text=True, check=False)
    finally:
        SETTINGS.write_text(kept)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{call} ended with {done.returncode}: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
