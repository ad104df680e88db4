"""Requests generated from the API description, and every answer validated against it.

The sandbox answers on a real socket, so that valid payments start. Every check of schemathesis is on, among them that
a call without a token or with a wrong one is refused, and that data against the description is. Every run sends the
same requests, except in the nightly profile, which prints its seed. FEEXPAY_SCHEMA_SEED repeats such a run.

Rules that JSON Schema cannot express are applied to the valid requests:

- a provider has limits and a rule for numbers, and may need a code first: `apply_field_rules` fills in valid values;
- a text must not contain NUL (`allow-x00`), because PostgreSQL cannot store it;
- a cursor comes from an answer, and an instant lies between 1970 and 2200;
- JSON Schema accepts 5.0 as an integer and the API does not, so such requests are skipped.
"""

from __future__ import annotations

import os
import random
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from config.wsgi import application
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.utils import translation
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from django_feexpay.api.views import ProvidersView, QuoteView
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Payment
from tests.api.caller import BASE, new_token
from tests.api.described import document
from tests.sandbox.running import RunningSandbox

REPEATABLE = settings.get_current_profile_name() != "nightly"
SEED = 0 if REPEATABLE else int(os.environ.get("FEEXPAY_SCHEMA_SEED") or random.randrange(2**32))
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": SEED,
        "generation": {"deterministic": REPEATABLE, "allow-x00": False, "with-security-parameters": False},
    },
)
_ALLOWED_YEARS = re.compile(r"(19[7-9]\d|2[01]\d\d)-")


def answer_like_a_server(environ: Any, start_response: Any) -> list[bytes]:
    """Answer as a server does: it closes every response, which deletes the file of an export."""
    # A thread keeps the language of its last request, and the next test would use it.
    with translation.override(translation.get_language()):
        answer = application(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            answer.close()


schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", answer_like_a_server, config=CONFIG)


@schema.auth(refresh_interval=None)
class SignedIn:
    """The user of the `token` fixture."""

    token = ""

    def get(self, case: Any, context: Any) -> str:
        return SignedIn.token

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


EXAMPLES = settings(
    max_examples=6 if REPEATABLE else 60,
    deadline=None,
    derandomize=REPEATABLE,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def apply_field_rules(case: Any) -> None:
    """Apply the rules between fields to a valid request, and give it a new Idempotency-Key."""
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if isinstance(case.body, dict) and case.operation.path != f"{BASE}initiate/":
        case.body.pop("phone", None)
        if "otp" in case.body:
            case.body["otp"] = "123456"
    if case.operation.path == f"{BASE}initiate/":
        assume(type(case.body["amount"]) is int)  # not 5.0
        case.body |= {**valid_fields(case.body), "merchant_reference": uuid.uuid4().hex, "otp": "123456"}
        for name in ("currency", "return_url", "cancel_url", "metadata"):
            case.body.pop(name, None)
    for name in ("created_after", "created_before"):
        if not _ALLOWED_YEARS.match((case.query or {}).get(name, "")):
            (case.query or {}).pop(name, None)
    (case.query or {}).pop("cursor", None)
    if case.operation.path == f"{BASE}quote/":
        wanted = valid_fields(case.query)
        case.query |= {"provider": wanted["provider"], "amount": wanted["amount"]}
        case.query.pop("currency", None)


def valid_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields within the limits of the provider, with a number that the sandbox approves.

    Replaces a provider that needs a code first, because its retry would need one too, which the description of
    `retry/` cannot say.
    """
    spec = CATALOGUE[body["provider"]]
    if spec.phone is None or spec.unavailable_text_en or spec.otp_in_first_call:
        spec = CATALOGUE["mtn_bj"]
    amount = min(max(int(body["amount"]), spec.min_amount), spec.max_amount)
    assert spec.phone is not None
    return {"provider": spec.code, "amount": amount, "phone": spec.phone.example[:-2] + "00"}


def is_valid_case(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Keep the connection of the test: a server closes old connections, and the transaction of the test with it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(one_connection: None, sandbox: RunningSandbox, player: User) -> str:
    print(f"FEEXPAY_SCHEMA_SEED={SEED}")  # pytest shows it if the test fails
    SignedIn.token = new_token(player)
    return SignedIn.token


@schema.parametrize()
@seed(SEED)
@EXAMPLES
def test_every_answer_is_described(case: Any, token: str) -> None:
    if is_valid_case(case):
        apply_field_rules(case)
    case.call_and_validate()


def test_links_of_answers_lead_to_described_calls(token: str) -> None:
    """Follows the links of answers: started payments are read, retried and listed.

    Events are left out: this server speaks WSGI, and answers 406 to each request for them.
    """

    class Journey(schema.exclude(path_regex="/events/$").as_state_machine()):  # type: ignore[misc]  # made at run time
        def before_call(self, case: Any) -> None:
            if is_valid_case(case):
                apply_field_rules(case)

    Journey.run(settings=settings(EXAMPLES, max_examples=12, stateful_step_count=8))
    assert Payment.objects.exists()


# --- the checks find what they are for ---------------------------------------------------------------------------


def failed_checks(path: str, token: str, mode: GenerationMode) -> set[str]:
    """The checks that fail for requests to this call, by the names of their failures."""
    found = set()

    @given(case=schema[f"{BASE}{path}"]["GET"].as_strategy(generation_mode=mode))
    @EXAMPLES
    def send(case: Any) -> None:
        try:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
        except FailureGroup as group:
            found.update(type(failure).__name__ for failure in group.exceptions)

    send()
    return found


def test_every_check_is_on() -> None:
    load_all_checks()
    configured = schema.config.checks_config_for()

    names = set(CHECKS.get_all_names())
    assert {"ignored_auth", "negative_data_rejection", "positive_data_acceptance", "unsupported_method"} <= names
    assert [name for name in names if not configured.get_by_name(name=name).enabled] == []


def test_call_that_ignores_its_token_is_found(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed_checks("providers/", token, GenerationMode.POSITIVE) == set()

    monkeypatch.setattr(ProvidersView, "permission_classes", (AllowAny,))
    monkeypatch.setattr(ProvidersView, "authentication_classes", ())

    assert "IgnoredAuth" in failed_checks("providers/", token, GenerationMode.POSITIVE)


def test_call_that_accepts_invalid_data_is_found(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed_checks("quote/", token, GenerationMode.NEGATIVE) == set()
    answers = document()["paths"][f"{BASE}quote/"]["get"]["responses"]["200"]["content"]["application/json"]

    example = next(iter(answers["examples"].values()))["value"]
    monkeypatch.setattr(QuoteView, "get", lambda self, request: Response(example))

    assert "AcceptedNegativeData" in failed_checks("quote/", token, GenerationMode.NEGATIVE)
