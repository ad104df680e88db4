"""A program that walks through every entry point with marker secrets and numbers, and breaks each of them once.

test_leak_canaries.py starts it with the settings of leak_settings.py, and searches what it left behind. It writes the
answers that people saw to `answers`, what commands printed to `commands`, and the steps with their results to `steps`.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import django

django.setup()

import requests  # noqa: E402 -- after django.setup
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django_q.models import OrmQ, Task  # noqa: E402
from django_q.tasks import async_task  # noqa: E402

import django_feexpay  # noqa: E402
from django_feexpay import failpoints  # noqa: E402
from django_feexpay.background import tasks  # noqa: E402
from django_feexpay.background.worker import Worker  # noqa: E402
from django_feexpay.models import Attempt, Payment  # noqa: E402
from tests.security import canaries  # noqa: E402

FOLDER = Path(os.environ["LEAKS_FOLDER"])
BASE = "/api/v1/payments/feexpay/"
SANDBOX = os.environ["LEAKS_SANDBOX"]
MANAGE = Path(__file__).resolve().parents[2] / "sample_project" / "manage.py"
PERSON = {"first_name": canaries.FIRST_NAME, "last_name": canaries.LAST_NAME, "email": canaries.EMAIL}

steps: dict[str, Any] = {}


class InjectedError(Exception):
    """Stands for a bug."""


def bug(*args: object, **kwargs: object) -> Any:
    del args, kwargs  # a report shows them as variables of this function, which stands for no line of the package
    raise InjectedError


class Visitor:
    """A client over https whose answers are kept, unless they hold what they must: a new token, an unmasked number."""

    def __init__(self, **headers: str) -> None:
        self._client = Client(raise_request_exception=False, headers={"Host": "shop.example", **headers})

    def sign_in(self, user: User) -> Visitor:
        self._client.force_login(user)
        return self

    def send(self, step: str, method: str, path: str, body: Any = None, *, kept: bool = True, **headers: str) -> Any:
        raw = json.dumps(body) if body is not None else ""
        options = {"content_type": "application/json", "secure": True, "headers": headers}
        return self._keep(step, self._client.generic(method, path, raw, **options), kept)

    def submit(self, step: str, path: str, form: dict[str, Any], *, kept: bool = True) -> Any:
        return self._keep(step, self._client.post(path, form, secure=True), kept)

    def _keep(self, step: str, answer: Any, kept: bool) -> Any:
        steps[step] = answer.status_code
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        with (FOLDER / "answers").open("a") as file:
            file.write(f"{step} {answer.status_code} {dict(answer.headers)}\n")
            if kept:
                file.write(content.decode(errors="replace") + "\n")
        return answer


def control(path: str, **body: Any) -> None:
    requests.post(f"{SANDBOX}/control/{path}", json=body, timeout=30).raise_for_status()


def sweep(seconds: float = 1.5) -> None:
    with Worker() as worker:
        worker.run(threading.Event(), seconds=seconds)


def order(**changes: Any) -> dict[str, Any]:
    body = {"provider": "mtn_bj", "amount": 5000, "phone": canaries.PAYER.written, **PERSON}
    return body | changes


# --- the entry points --------------------------------------------------------------------------------


def walk_sign_in() -> str:
    """Return a token."""
    visitor, path = Visitor(), "/api/v1/auth/token/"
    right = {"username": "ama", "password": canaries.PASSWORD}
    token: str = visitor.send("sign in", "POST", path, right, kept=False).json()["token"]
    visitor.send("wrong password", "POST", path, right | {"password": canaries.NEW_PASSWORD})
    visitor.send("password in a wrong field", "POST", path, {"username": ["ama"], "pass": canaries.PASSWORD})
    with patch("shop.tokens._new_token", bug):
        visitor.send("crash of signing in", "POST", path, right)
    with patch("django.contrib.auth.hashers.check_password", bug), patch("shop.tokens.authenticate", bug):
        visitor.send("crash of the password check", "POST", path, right)
    return token


def walk_api(token: str) -> None:
    player = Visitor(Authorization=f"Bearer {token}")

    def start(step: str, **changes: Any) -> Any:
        key = {"Idempotency-Key": f"key of {step}"}
        return player.send(step, "POST", f"{BASE}initiate/", order(**changes), **key).json()

    paid = start("initiate", merchant_reference="order-1")
    start("initiate again", merchant_reference="order-1", description="once more")
    start("initiate with a wrong number", phone=f"{canaries.PAYER.written} 99")
    start("initiate with an unknown field", cellphone=canaries.PAYER.written)
    start("initiate with a code", provider="orange_bf", phone=canaries.BURKINABE.written, otp=canaries.OTP, amount=700)
    waiting = start("initiate with a second step", provider="coris_bj", amount=800)
    player.send("otp", "POST", f"{BASE}{waiting['id']}/otp/", {"otp": canaries.OTP})
    reference = str(Attempt.objects.get(payment=paid["id"]).gateway_reference)
    control(f"payments/{reference}/force", status="FAILED", webhook=False, reason=f"{PERSON} {canaries.PAYER.digits}")
    sweep()
    player.send("status", "GET", f"{BASE}{paid['id']}/status/")
    player.send("retry", "POST", f"{BASE}retry/{paid['id']}/", {"phone": canaries.PAYER.digits})
    for name in ("history/", "history/?search=order-1", "history/export/?format=csv", "providers/", "health/"):
        player.send(name, "GET", BASE + name)
    player.send("number in an address", "GET", f"{BASE}history/?search=none")
    Visitor().send("health of nobody", "GET", f"{BASE}health/")
    for path, place in {
        "initiate/": "django_feexpay.payments.ledger.open_payment",
        f"retry/{paid['id']}/": "django_feexpay.payments.retry._refuse_unless_retryable",
        f"{waiting['id']}/otp/": "django_feexpay.payments.otp.submit",
    }.items():
        body = {"otp": canaries.OTP} if "otp" in path else order(amount=900)
        body = {"phone": canaries.PAYER.written} if "retry" in path else body
        with patch(place, bug):
            player.send(f"crash of {place}", "POST", BASE + path, body)
    for name in ("before_send", "after_send", "sent"):
        with failpoints.arm(name, bug):
            start(f"crash {name}", amount=1000 + len(name))
    start_by_python()


def walk_line_breaks(token: str) -> None:
    """Texts of a client that would look like a line of the log."""
    player, text = Visitor(Authorization=f"Bearer {token}"), f"a\r\n{canaries.FORGED_LINE}\n"
    player.send("line break in an address", "GET", f"{BASE}a%0D%0A{canaries.FORGED_LINE.replace(' ', '%20')}%0A/")
    player.send("line break in a header", "GET", f"{BASE}history/", **{"User-Agent": text, "X-Request-ID": text})
    for field in ("provider", "merchant_reference", "description", "phone", "first_name"):
        player.send(f"line break in {field}", "POST", f"{BASE}initiate/", order(**{field: text}, amount=4001))
    Visitor().send("line break in a name", "POST", "/api/v1/auth/token/", {"username": text, "password": "x"})
    address = f"{BASE}webhook/{canaries.URL_TOKEN}/"
    body = {"reference": text, "status": text, "reason": text, "callback_info": text}
    Visitor().send("line break in a webhook", "POST", address, body, Authorization=canaries.HEADER)
    Visitor().submit("line break in the admin", "/admin/login/", {"username": text, "password": "x"})


def start_by_python() -> None:
    user = User.objects.get(username="ama")
    django_feexpay.start_payment(
        user=user, provider="mtn_bj", amount=1300, phone=canaries.PAYER.national, idempotency_key="python", **PERSON
    )
    steps["python"] = 200


def walk_faults() -> None:
    """FeexPay fails in many ways, each with the payer's data in its answer."""
    user = User.objects.get(username="ama")
    for amount, faults in enumerate(
        (
            {"fault_calls": "collect", "truncate_percent": 100},
            {"reset_percent": 100},
            {"charged_error_percent": 100},
            {"rate_limit_percent": 100},
            {"latency_percent": 100, "latency_seconds": 1},
        ),
        start=2001,
    ):
        control("reset")
        control("conditions", **faults)
        try:
            django_feexpay.start_payment(user=user, provider="mtn_bj", amount=amount, phone=canaries.PAYER.digits)
            steps[f"fault {faults}"] = 200
        except Exception as error:
            steps[f"fault {faults}"] = type(error).__name__
        sweep(0.6)
    control("reset")


def walk_checkout() -> None:
    """The pages that repeat to a browser what it typed are not kept."""
    address = django_feexpay.checkout_url(None, "order-9", 5900, "/", description="A drum")
    browser, form = Visitor(), {"provider": "mtn_bj", "phone": canaries.PAYER.written}
    browser.send("checkout", "GET", address)
    browser.submit("checkout with a wrong number", address, form | {"phone": f"{canaries.PAYER.written} 9"}, kept=False)
    with patch("django_feexpay.payments.ledger.open_payment", bug):
        browser.submit("crash of the checkout's start", address, form)
    page = browser.submit("checkout start", address, form).headers["Location"]
    Visitor().send("checkout of another browser", "GET", page)
    with patch("django_feexpay.payments.otp.code_of", bug):
        browser.submit("crash of the checkout's code", f"{page}code/", {"code": canaries.OTP})
    with patch("django_feexpay.checkout.views.retry", bug):
        browser.submit("crash of the checkout's retry", f"{page}retry/", {"phone": canaries.PAYER.written})


def walk_webhook() -> None:
    address, visitor = f"{BASE}webhook/{canaries.URL_TOKEN}/", Visitor()
    reference = str(Attempt.objects.exclude(gateway_reference=None).order_by("created_at")[0].gateway_reference)
    told = {"phoneNumber": canaries.TOLD.digits, "reason": f"{canaries.TOLD.written} {PERSON}", **PERSON}
    body = {"reference": reference, "status": "FAILED", "callback_info": canaries.EMAIL, "amount": 5000, **told}
    visitor.send("webhook", "POST", address, body, Authorization=canaries.HEADER)
    visitor.send("webhook of nobody", "POST", address, body | {"reference": "none"}, Authorization=canaries.HEADER)
    visitor.send("webhook without its header", "POST", address, body)
    visitor.send("webhook with a wrong header", "POST", address, body, Authorization=f"{canaries.HEADER}x")
    visitor.send("webhook at a wrong address", "POST", f"{BASE}webhook/{canaries.URL_TOKEN}x/", body)
    visitor.send("webhook without its token", "POST", f"{BASE}webhook/", body, Authorization=canaries.HEADER)
    visitor.send("webhook as a list", "POST", address, [body], Authorization=canaries.HEADER)
    for place in ("django_feexpay.webhooks.views.hint_from", "django_feexpay.webhooks.views.verify"):
        with patch(place, bug):
            visitor.send(f"crash of {place}", "POST", address, body, Authorization=canaries.HEADER)
    sweep()


def walk_admin() -> None:
    boss = User.objects.create_superuser("boss", password=canaries.PASSWORD)
    office, door = Visitor().sign_in(boss), "/admin/login/"
    form = {"username": "boss", "password": canaries.PASSWORD}
    Visitor().submit("admin sign in", door, form)
    Visitor().submit("admin wrong password", door, form | {"password": canaries.NEW_PASSWORD})
    with patch("django.contrib.auth.forms.authenticate", bug):
        Visitor().submit("crash of the admin's sign in", door, form)
    with patch("shop.sign_in.remember_address", bug):
        Visitor().submit("crash after the admin's sign in", door, form)
    payment = Payment.objects.order_by("created_at")[0]
    lists = reverse("admin:feexpay_payment_changelist")
    find = reverse("admin:feexpay_payment_find")
    unmask = f"{reverse('admin:feexpay_payment_unmask')}?payment={payment.pk}"
    for name in ("payment", "attempt", "paymentevent", "webhookdelivery", "incident", "staffaction", "outboxmessage"):
        office.send(f"admin list {name}", "GET", f"/admin/feexpay/{name}/")
    office.send("admin payment", "GET", reverse("admin:feexpay_payment_change", args=[payment.pk]))
    office.send("admin overview", "GET", "/admin/feexpay/")
    office.submit("admin search", lists, {"q": canaries.SOUGHT.written})
    office.submit("admin find", find, {"phone": canaries.SOUGHT.written})
    office.submit("admin find a payer", find, {"phone": canaries.PAYER.written})
    lift, lifted = reverse("admin:feexpay_promptlift_lift"), {"phone": canaries.SOUGHT.written, "hours": "1"}
    office.submit("admin lift", lift, lifted | {"reason": "a family shares it"})
    office.submit("admin unmask", unmask, {"reason": "the payer calls"}, kept=False)
    for step, path, sent in (
        ("search", lists, {"q": canaries.SOUGHT.written}),
        ("find", find, {"phone": canaries.SOUGHT.written}),
        ("lift", lift, lifted | {"reason": "a family shares it"}),
    ):
        with patch("django_feexpay.admin.search.possible_msisdns", bug):
            office.submit(f"crash of admin {step}", path, sent)
    with patch("django_feexpay.payments.staff_actions.record", bug):
        office.submit("crash of admin unmask", unmask, {"reason": "the payer calls"})


def walk_background() -> None:
    """A sweep that fails, a receiver that fails, a worker process and a cluster."""
    user = User.objects.get(username="ama")
    met = threading.Event()

    def bug_in_a_sweep(*args: object, **kwargs: object) -> Any:
        del args, kwargs  # as above
        met.set()
        bug()

    with patch("django_feexpay.background.worker.reconcile_claimed", bug_in_a_sweep), Worker() as worker:
        django_feexpay.start_payment(user=user, provider="mtn_bj", amount=3001, phone=canaries.PAYER.digits)
        worker.run(met, seconds=60)
    assert met.is_set(), "no sweep met the bug"
    tasks.schedule()
    async_task("django_feexpay.background.tasks.sweep", "no time")  # fails, and its traceback is kept
    django_feexpay.start_payment(user=user, provider="mtn_bj", amount=3002, phone=canaries.PAYER.digits)
    _keep_queue(*(queued.task for queued in OrmQ.objects.all()))
    steps["qcluster"] = _process("qcluster", lambda: Task.objects.filter(success=False).exists())
    _keep_queue(*((task.func, task.args, task.kwargs, task.result) for task in Task.objects.all()))
    steps["feexpay_worker"] = _process("feexpay_worker", lambda: "is running" in (FOLDER / "commands").read_text())


def _keep_queue(*entries: object) -> None:
    """The queue's tables, unpacked: their columns hold pickles."""
    with (FOLDER / "queue").open("a") as file:
        file.writelines(f"{entry!r}\n" for entry in entries)


def _process(command: str, has_worked: Callable[[], bool]) -> int:
    """Run a command of the project until it has worked, then stop it as systemd does."""
    with (FOLDER / "commands").open("a") as file:
        process = subprocess.Popen([sys.executable, "-u", str(MANAGE), command], stdout=file, stderr=file)
        give_up_at = time.monotonic() + 120
        while process.poll() is None and not has_worked() and time.monotonic() < give_up_at:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        return process.wait(60)


def walk_commands() -> None:
    for command in (
        ("check", "--deploy"),
        ("feexpay_export",),
        ("feexpay_verify",),
        ("feexpay_reconcile",),
        ("feexpay_doctor",),
        ("feexpay_statement",),
        ("feexpay_totals", "--rebuild"),
        ("feexpay_roles",),
        ("feexpay_trigger", "successful"),
        ("feexpay_purge",),
        ("feexpay_rotate_keys",),
        ("feexpay_verify_audit",),
        ("feexpay_export_subject", "--number", "--output", str(FOLDER / "what the payer asked for")),
        ("feexpay_erase_subject", "--number", "--no-input"),
        ("feexpay_close_review", str(Payment.objects.earliest("created_at").pk), "--decision", "not_paid")
        + ("--reason", "no money came", "--actor", "boss"),
    ):
        output = io.StringIO()
        try:
            with patch("sys.stdin", io.StringIO(f"{canaries.PAYER.written}\n")):
                call_command(*command, stdout=output, stderr=output)
            steps[command[0]] = 0
        except (CommandError, SystemExit) as error:
            output.write(str(error))
            steps[command[0]] = 1
        with (FOLDER / "commands").open("a") as file:
            file.write(output.getvalue())


def main() -> None:
    connection.force_debug_cursor = True  # Django logs each statement with its parameters
    User.objects.create_user("ama", password=canaries.PASSWORD)
    token = walk_sign_in()
    walks: tuple[Callable[[], None], ...] = (
        walk_checkout,  # before the faults, after which starts are refused for a while
        walk_faults,
        walk_webhook,
        walk_admin,
        walk_background,
        walk_commands,
    )
    walk_api(token)
    walk_line_breaks(token)
    for walk in walks:
        walk()
    (FOLDER / "steps").write_text(json.dumps({"token": token, "steps": steps}))


if __name__ == "__main__":
    main()
