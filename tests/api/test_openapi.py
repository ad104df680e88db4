"""The API description is complete. Tests that use `Caller` check that the answers match it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern
from jsonschema import Draft202012Validator

from django_feexpay import urls
from django_feexpay.api import inputs
from django_feexpay.api.filters import PaymentFilters, ProviderFilters
from django_feexpay.api.outputs import PAYMENT_FIELDS
from django_feexpay.problems import PROBLEMS
from tests.api.caller import BASE
from tests.api.described import FORMATS, document, without_additional_members


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


OPERATIONS = dict(operations())


def query_names(path: str) -> set[str]:
    return {item["name"] for item in OPERATIONS[f"get {BASE}{path}"]["parameters"] if item["in"] == "query"}


def problem_codes(operation: dict[str, Any]) -> set[str]:
    answers = [answer["content"] for answer in operation["responses"].values() if "content" in answer]
    problems = [content["application/problem+json"] for content in answers if "application/problem+json" in content]
    return {code for problem in problems for code in problem["examples"]}


def test_description_is_openapi_3_1() -> None:
    assert document()["openapi"] == "3.1.0"


def test_every_url_pattern_is_described() -> None:
    patterns = [pattern for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)]
    written = {BASE + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)) for pattern in patterns}

    # The metrics are text for Prometheus, and docs/reference/metrics.md describes them.
    assert written - set(document()["paths"]) == {f"{BASE}metrics/"}


def test_every_problem_is_described() -> None:
    given = set().union(*(problem_codes(operation) for operation in OPERATIONS.values()))

    not_here = {"method_not_allowed"}  # no described method answers it
    assert set(PROBLEMS) - given == not_here


@pytest.mark.parametrize("name", OPERATIONS)
def test_examples_match_their_schemas(name: str) -> None:
    contents = [answer.get("content", {}) for answer in OPERATIONS[name]["responses"].values()]
    contents.append(OPERATIONS[name].get("requestBody", {}).get("content", {}))
    components = {key: without_additional_members(shape) for key, shape in document()["components"]["schemas"].items()}
    shown = 0
    for content in contents:
        for described in content.values():
            shape = {**described["schema"], "components": {"schemas": components}}
            for example in described["examples"].values():
                Draft202012Validator(shape, format_checker=FORMATS).validate(example["value"])
                shown += 1
    assert shown > 0


def test_request_bodies_allow_no_other_members() -> None:
    for name, operation in OPERATIONS.items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or "webhook" in name:
            continue
        shape = content["schema"]
        if "$ref" in shape:
            shape = document()["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        assert shape["additionalProperties"] is False, name


def test_described_fields_and_filters_match_the_code() -> None:
    payment = document()["components"]["schemas"]["Payment"]

    assert tuple(payment["properties"]) == PAYMENT_FIELDS
    assert query_names("history/") == {*PaymentFilters.base_filters, "cursor", "page_size"}
    assert query_names("providers/") == set(ProviderFilters.base_fields)
    assert query_names("quote/") == set(inputs.QuoteInput().fields)


def test_description_lists_the_public_calls() -> None:
    open_to_all = {
        name for name, operation in OPERATIONS.items() if {} in operation["security"] or not operation["security"]
    }

    assert {name.rpartition("/api/v1/")[2] for name in open_to_all} == {
        "auth/token/",
        "payments/feexpay/health/",
        "payments/feexpay/health/live/",
        "payments/feexpay/health/ready/",
        "payments/feexpay/webhook/",
        "payments/feexpay/webhook/{token}/",
        "shop/packs/",
    }
