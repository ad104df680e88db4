"""Validation of the answers in the tests against the API description."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

FORMATS = FormatChecker(("uuid",))


@FORMATS.checks("date-time", raises=ValueError)
def is_an_instant(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).utcoffset() is not None


_describing = threading.Lock()


def document() -> dict[str, Any]:
    """The answer of `GET /api/v1/schema/`. Made once, under a lock, because its generator is not thread-safe."""
    with _describing:
        return _document()


@cache
def _document() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


def assert_described(method: str, path: str, response: HttpResponse) -> None:
    """Assert that the status, media type, headers and body of an answer agree with the description.

    Ignores addresses and methods that are not described.
    """
    template = _template(path)
    if template is None or method.lower() not in document()["paths"][template]:
        return
    where = (template, method.lower(), str(response.status_code))
    answer = _answers(*where[:2]).get(where[2])
    assert answer is not None, f"{where} is not described"
    for name, header in answer.get("headers", {}).items():
        assert not header.get("required") or name in response.headers, f"{where} lacks {name}"
    content = answer.get("content", {})
    if not content:
        assert response.content == b"", f"{where} has a body"
        return
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert media_type in content, f"{where} as {media_type} is not described"
    if media_type.endswith("json") and method.upper() != "HEAD":
        _validator(*where, media_type).validate(json.loads(response.content))


def _template(path: str) -> str | None:
    """The described address that matches the path; addresses without parameters come first."""
    templates = sorted(document()["paths"], key=lambda template: "{" in template)
    return next((template for template in templates if _pattern(template).fullmatch(path)), None)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    uuid = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return re.compile(re.sub("{[a-z]+}", "[^/]+", template.replace("{payment_id}", uuid)))


def _answers(template: str, method: str) -> dict[str, Any]:
    answers: dict[str, Any] = document()["paths"][template][method]["responses"]
    return answers


@cache
def _validator(template: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    shape = _answers(template, method)[status]["content"][media_type]["schema"]
    components = {
        name: without_additional_members(shape) for name, shape in document()["components"]["schemas"].items()
    }
    return Draft202012Validator({**shape, "components": {"schemas": components}}, format_checker=FORMATS)


def without_additional_members(shape: Any) -> Any:
    """The shape without additional members, so that an answer with an undescribed member fails."""
    if isinstance(shape, Mapping):
        inner = {key: without_additional_members(value) for key, value in shape.items()}
        return {"additionalProperties": False} | inner if "properties" in inner and "type" in inner else inner
    if isinstance(shape, list):
        return [without_additional_members(item) for item in shape]
    return shape
