"""The sample project under a web server: production never calls a sandbox, and the shop's own server does not start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from django_feexpay.models import Attempt, Credit, Payment
from django_feexpay.payments import initiate
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.terms import PaymentRequest
from tests.api.caller import BASE, initiate_body, new_token
from tests.conftest import Configure
from tests.sample.test_settings import PRODUCTION, SAMPLE
from tests.sandbox.running import RunningSandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

#: Sends requests to an application with these settings, and prints the answers. As in a project whose server runs no
#: system check, the refusal of config/wsgi.py is left out.
SERVE = """
import json, sys, django
django.setup()
from django.test import Client
client = Client(raise_request_exception=False, headers={"Host": "shop.example", "X-Forwarded-Proto": "https"})
for method, path, body, headers in json.loads(sys.argv[1]):
    answer = client.generic(method, path, json.dumps(body), content_type="application/json", headers=headers)
    print(json.dumps([answer.status_code, answer.json()]))
"""


def serve(*requests: tuple[str, str, Any, dict[str, str]], **variables: str) -> list[tuple[int, Any]]:
    """The answers of a server process with the production settings and this test's database."""
    database = connection.settings_dict
    account = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    environment = {
        **PRODUCTION,
        "PATH": os.defpath,
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "DATABASE_URL": f"postgres://{account}/{database['NAME']}",
        "FEEXPAY_HASH_KEY": "testing hash key that is long enough to be one",
        **variables,
    }
    command = [sys.executable, "-c", SERVE, json.dumps(requests)]
    done = subprocess.run(command, cwd=SAMPLE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def sandbox(running_sandbox: RunningSandbox, configure: Configure) -> RunningSandbox:
    running_sandbox.reset()
    configure(**running_sandbox.feexpay, PAYABLE="any_amount")
    return running_sandbox


@pytest.fixture
def headers(player: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {new_token(player)}"}


@pytest.fixture
def player(django_user_model: Any, db: None) -> Any:
    return django_user_model.objects.create_user("ama")


def test_production_neither_prompts_nor_credits_with_a_sandbox(
    sandbox: RunningSandbox, player: Any, headers: dict[str, str]
) -> None:
    """Otherwise a sandbox could prompt payers, and its answers would be credited."""
    order = PaymentRequest(
        user=player, provider="mtn_bj", amount=5000, phone="0161000050", merchant_reference="coins-500:1"
    )
    known = initiate.start(order, source=Source.API)
    sandbox.approve(str(known.attempt.gateway_reference))
    Attempt.objects.update(next_poll_at=known.created_at)
    here = {"FEEXPAY_BASE_URL": sandbox.api_url, "FEEXPAY_API_KEY": "fp_unused"}

    read, started = serve(
        ("GET", f"{BASE}{known.pk}/status/", None, headers),
        ("POST", f"{BASE}initiate/", initiate_body(), headers),
        **here,
    )

    assert (read[0], read[1]["status"]) == (200, "pending")
    assert (started[0], started[1]["status"], started[1]["reason"]["code"]) == (201, "failed", "misconfigured")
    assert (sandbox.prompts(), Credit.objects.count()) == (1, 0)
    assert Payment.objects.get(pk=started[1]["id"]).attempt.reason_code == "unsafe_address"


def test_staging_server_may_use_a_sandbox(sandbox: RunningSandbox, headers: dict[str, str]) -> None:
    here = {"FEEXPAY_BASE_URL": sandbox.api_url, "FEEXPAY_API_KEY": "test_sandbox_key"}
    here |= {"FEEXPAY_SHOP_ID": sandbox.feexpay["SHOP_ID"], "FEEXPAY_ENVIRONMENT": "staging"}

    [started] = serve(("POST", f"{BASE}initiate/", initiate_body(), headers), **here)

    assert (started[0], started[1]["status"]) == (201, "pending")
    assert sandbox.prompts() == 1


SANDBOX = {"FEEXPAY_BASE_URL": "http://127.0.0.1:8801/api", "FEEXPAY_API_KEY": "test_sandbox_key"}
REFUSED = {
    "a sandbox": ({"FEEXPAY_BASE_URL": SANDBOX["FEEXPAY_BASE_URL"]}, "feexpay.E006 BASE_URL is refused: it is http"),
    "a test key": ({"FEEXPAY_API_KEY": "test_key"}, "feexpay.E004 A test API key in production"),
    "development": ({"FEEXPAY_ENVIRONMENT": "development"}, "FEEXPAY_ENVIRONMENT is 'development'"),
}


def start_the_server(**variables: str) -> subprocess.CompletedProcess[str]:
    """Load what gunicorn loads."""
    environment = {**PRODUCTION, "PATH": os.defpath, "ENV_FILE": "", **variables}
    command = [sys.executable, "-c", "from config.wsgi import application"]
    return subprocess.run(command, cwd=SAMPLE, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", REFUSED)
def test_production_server_does_not_start_with(case: str) -> None:
    variables, why = REFUSED[case]

    started = start_the_server(**variables)

    assert started.returncode != 0
    assert why in started.stderr


@pytest.mark.parametrize("case", ["a sandbox", "a test key"])
def test_production_cluster_does_not_start_with(case: str) -> None:
    variables, why = REFUSED[case]
    environment = {**PRODUCTION, "PATH": os.defpath, "ENV_FILE": "", **variables}
    command = [sys.executable, "manage.py", "qcluster"]
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.production"}

    started = subprocess.run(
        command, cwd=SAMPLE, env=environment | settings, capture_output=True, text=True, check=False, timeout=120
    )

    assert started.returncode != 0
    assert why.split(" ")[0] in started.stderr


@pytest.mark.parametrize("variables", [{}, SANDBOX | {"FEEXPAY_ENVIRONMENT": "staging"}], ids=["production", "staging"])
def test_server_starts(variables: dict[str, str]) -> None:
    assert start_the_server(**variables).returncode == 0


@pytest.mark.parametrize(("environment", "starts"), [("production", False), ("staging", True)])
def test_sandbox_command_refuses_in_production(environment: str, starts: bool) -> None:
    command = [sys.executable, "manage.py", "feexpay_sandbox", "--help" if starts else "--port=0"]
    variables = {**PRODUCTION, "PATH": os.defpath, "FEEXPAY_ENVIRONMENT": environment}
    variables |= {"DJANGO_SETTINGS_MODULE": "config.settings.production", "ENV_FILE": ""}
    done = subprocess.run(command, cwd=SAMPLE, env=variables, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode == 0) is starts, done.stderr
    assert ("does not run in production" in done.stderr) is not starts
