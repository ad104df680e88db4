"""`feexpay_doctor` finds what is wrong, says what to do, and shows no secret."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

import django_feexpay
from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Heartbeat, OutboxMessage
from django_feexpay.monitoring import doctor
from django_feexpay.signals import payment_succeeded
from tests.conftest import Configure

KEY = "test_a_key_that_no_line_shows"
REFUSAL = b'{"type": "urn:feexpay:problem:method_not_allowed"}'
WEBHOOK = ("--webhook-url", "https://shop.example/pay/webhook/")


class FakeInternet:
    """Answers as a FeexPay that accepts the key, and as the host's webhook does to the outside."""

    def __init__(self) -> None:
        self.date = ""
        self.webhook = WireReply(405, {}, REFUSAL)
        self.error: NotSentError | None = None

    def exchange(self, request: WireRequest) -> WireReply:
        if self.error:
            raise self.error
        if "/balance/" not in request.url:
            return self.webhook
        return WireReply(200, {"date": self.date}, b'{"success": true, "balances": {"MTN": 5000}}')


@pytest.fixture
def internet(configure: Configure, settings: Any, transactional_db: None) -> Iterator[FakeInternet]:
    settings.DEBUG = True
    configure(API_KEY=KEY)
    Heartbeat.objects.create(name=worker.WORKER, beat_at=conf.now())
    internet = FakeInternet()
    with conf.use_transport(internet):
        yield internet


def examined(*arguments: str) -> tuple[str, bool]:
    """What the command wrote, and whether it found no problem."""
    out = io.StringIO()
    try:
        call_command("feexpay_doctor", *arguments, stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}{error}\n", False
    return out.getvalue(), True


def test_healthy_project_has_no_problem(internet: FakeInternet) -> None:
    internet.date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")

    written, is_well = examined(*WEBHOOK)

    assert is_well, written
    assert "✘" not in written
    for line in (
        "✔ key: a test key",
        "✔ worker: running (worker)",
        "✔ signals: all delivered",
        "✔ old keys: no row carries one",
        "✔ receivers: payment_succeeded has a receiver",
        "✔ gateway: accepts the key",
        "✔ gateway clock:",
        "✔ webhook route: /api/v1/payments/feexpay/webhook/",
        "✔ webhook: reachable",
    ):
        assert line in written


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda internet: setattr(internet, "date", "Mon, 01 Jan 2024 00:00:00 GMT"), "✘ gateway clock:"),
        (lambda internet: Heartbeat.objects.all().delete(), "✘ worker: no heartbeat yet"),
        (
            lambda internet: setattr(internet, "webhook", WireReply(200, {}, b"<html>")),
            "✘ webhook: another program answers",
        ),
    ],
    ids=["clock wrong", "no worker", "another site"],
)
def test_one_problem_is_found_and_counted(
    internet: FakeInternet, spoil: Callable[[FakeInternet], Any], line: str
) -> None:
    spoil(internet)

    written, is_well = examined(*WEBHOOK)

    assert not is_well
    assert line in written
    assert written.endswith("1 problem.\n")


@pytest.mark.parametrize(
    ("base_url", "advice"),
    [
        ("http://127.0.0.1:8801/api", "Is feexpay_sandbox running?"),
        ("https://api-v2.feexpay.me/api", "Check BASE_URL, PROXY, DNS and the firewall."),
    ],
)
def test_unreachable_gateway_is_named_with_its_address(
    internet: FakeInternet, configure: Configure, base_url: str, advice: str
) -> None:
    configure(BASE_URL=base_url)
    internet.error = NotSentError("nothing was sent to 127.0.0.1:8801: NewConnectionError (Connection refused)")

    written, _ = examined()

    assert (
        f"✘ gateway: nothing was sent to 127.0.0.1:8801: NewConnectionError (Connection refused)\n    {advice}\n"
        in written
    )


def test_missing_receiver_of_payment_succeeded_is_found(
    internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_succeeded, "receivers", [])

    assert "✘ receivers: No receiver of payment_succeeded is connected" in examined()[0]


def test_missing_urls_are_found(internet: FakeInternet, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.testing.no_urls"

    assert "✘ webhook route: django_feexpay.urls is not mounted" in examined()[0]


class LoginRedirectMiddleware:
    """A host's middleware that sends every visitor to a login page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        pass

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect("/login/")


def test_middleware_that_intercepts_the_webhook_is_named(internet: FakeInternet, settings: Any) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        f"{__name__}.LoginRedirectMiddleware",
        "django.middleware.gzip.GZipMiddleware",
    ]

    assert f"✘ webhook route: {__name__}.LoginRedirectMiddleware answers instead of the webhook" in examined()[0]


class RedisWithoutItsPackage(BaseCache):
    def __init__(self, location: str, options: dict[str, Any]) -> None:
        super().__init__(options)

    def set(self, *arguments: Any, **options: Any) -> None:
        raise ModuleNotFoundError("No module named 'redis'", name="redis")


def test_missing_package_of_the_cache_is_named(internet: FakeInternet, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.RedisWithoutItsPackage", "LOCATION": ""}}

    assert "✘ cache: the package redis is not installed\n    Run `pip install redis`." in examined()[0]


def test_naive_times_are_reported_by_the_settings_check_and_not_compared(internet: FakeInternet, settings: Any) -> None:
    settings.USE_TZ = False

    written, _ = examined()

    assert "✘ settings: feexpay.E022 USE_TZ is off" in written
    assert "– worker: not checked while USE_TZ is off" in written


def test_short_timeout_of_the_queue_is_found(internet: FakeInternet, settings: Any) -> None:
    settings.Q_CLUSTER = {"timeout": 90, "retry": 120}

    assert "✘ django-q2: feexpay.W011 Q_CLUSTER" in examined()[0]


@pytest.mark.parametrize(
    ("error", "age", "line", "advice"),
    [
        (
            "hangs: shop.receivers.give_coins",
            timedelta(minutes=1),
            "✘ signals: 1 not delivered to every receiver (hangs: shop.receivers.give_coins)",
            "Fix the receiver",
        ),
        (
            "ValueError in shop.receivers.give_coins",
            timedelta(seconds=1),
            "✘ signals: 1 not delivered to every receiver (ValueError in shop.receivers.give_coins)",
            "Fix the receiver",
        ),
        ("", timedelta(minutes=1), "✘ signals: 1 not delivered to every receiver", "Start a worker"),
    ],
    ids=["hangs", "raised just now", "never delivered"],
)
def test_undelivered_signals_are_counted_with_the_last_error(
    internet: FakeInternet, error: str, age: timedelta, line: str, advice: str, django_user_model: Any
) -> None:
    payment = django_feexpay.start_payment(
        user=django_user_model.objects.create_user("ama"), provider="mtn_bj", amount=500, phone="0161000050"
    )
    OutboxMessage.objects.create(
        payment=payment,
        signal="payment_failed",
        created_at=conf.now() - age,
        next_delivery_at=conf.now(),
        last_error=error,
    )

    written, is_well = examined()

    assert not is_well
    assert line in written
    assert advice in written


def test_missing_and_wrong_keys_are_found(internet: FakeInternet, configure: Configure) -> None:
    configure(API_KEY="")
    assert "✘ key: API_KEY or SHOP_ID is not set" in examined()[0]

    configure(API_KEY="fp_" + "x" * 32)
    assert "✘ key: a live key in development" in examined()[0]

    configure(API_KEY=KEY, ENVIRONMENT="production")
    assert "✘ key: no live key in production" in examined()[0]


def test_wrong_setting_is_shown_with_its_hint(internet: FakeInternet, configure: Configure) -> None:
    configure(POLL_SECOND=[1])

    assert '✘ settings: feexpay.E002 FEEXPAY["POLL_SECOND"] is not a setting.' in examined()[0]


def test_no_secret_is_shown(internet: FakeInternet, configure: Configure) -> None:
    internet.error = NotSentError(code="connection_refused")
    configure(WEBHOOK_MODES=["status", "header"], WEBHOOK_SECRETS=["header:Bearer sesame-open-up"])

    written, _ = examined()

    assert KEY not in written
    assert "sesame" not in written


def test_doctor_has_french_texts(internet: FakeInternet) -> None:
    written, _ = examined("--language", "fr")

    assert "✔ key: une clé de test" in written


def test_check_that_never_ends_is_stopped() -> None:
    never = threading.Event()

    with pytest.raises(TimeoutError):
        doctor._with_timeout(never.wait, seconds=0.05)
    never.set()


def test_age_of_the_audit_anchor_is_shown(
    internet: FakeInternet, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line() -> str:
        return next(line for line in examined(*WEBHOOK)[0].splitlines() if "audit anchor" in line)

    assert line() == "– audit anchor: AUDIT_ANCHORS is not set: none are written"
    configure(AUDIT_ANCHORS=str(tmp_path))
    assert line().startswith(f"✘ audit anchor: none is in {tmp_path}")
    today = conf.now().astimezone(UTC).date()
    (tmp_path / f"feexpay-audit-{today - timedelta(days=3)}.txt").touch()
    assert line().startswith(f"✘ audit anchor: of {today - timedelta(days=3)}, which ended ")
    (tmp_path / f"feexpay-audit-{today - timedelta(days=1)}.txt").touch()
    assert line().startswith(f"✔ audit anchor: of {today - timedelta(days=1)}, which ended ")
