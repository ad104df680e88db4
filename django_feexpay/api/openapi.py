"""Hand the calls to drf-spectacular. Imported only if `drf_spectacular` is among the host's apps."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from django_feexpay.api import calls, schema
from django_feexpay.api.calls import ANSWER_HEADERS, REQUEST_HEADERS, Answer, Call
from django_feexpay.problems import CONTENT_TYPE, PROBLEMS

Operation = dict[str, Any]
Endpoint = tuple[str, str, str, Callable[..., Any]]

_REQUEST_ID = "8f14e45fceea467f9a1c2d3e4f5a6b7c"


class Described(AutoSchema):
    """The schema of a view whose calls are listed in `calls`: drf-spectacular guesses nothing."""

    calls: Mapping[str, Call] = {}

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Operation:
        self.path, self.path_regex, self.path_prefix, self.method = path, path_regex, path_prefix, method
        self.registry = registry
        register_shapes(registry)
        try:
            call = self.calls[method.lower()]
        except KeyError:
            name = type(self.view).__name__
            raise LookupError(f"{method} of {name} is not described in django_feexpay/api/calls.py") from None
        security = self.get_auth() if self.view.authentication_classes else []
        names = re.findall(r"{(\w+)}", path)
        path_parameters = self._resolve_path_parameters(names)  # type: ignore[no-untyped-call]  # theirs
        return operation(call, path_parameters, security, suffix="_with_token" if "{token}" in path else "")


def describe(view: str, described: Mapping[str, Call], *, subclasses: bool = False) -> type[OpenApiViewExtension]:
    """Describe a view, given by its dotted path, with the calls of each method."""

    class Extension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # theirs
        target_class = view
        match_subclasses = subclasses

        def view_replacement(self) -> type[APIView]:
            known = calls.CALLS.get(self.target.__name__, {}) if subclasses else described
            described_schema = type("DescribedSchema", (Described,), {"calls": known})
            return type(self.target.__name__, (self.target,), {"schema": described_schema()})

    return Extension


def register_shapes(registry: ComponentRegistry) -> None:
    """Put every named shape under `components/schemas`, once."""
    for name, shape in schema.SHAPES.items():
        kind = ResolvedComponent.SCHEMA
        component = ResolvedComponent(name, kind, dict(shape), name)  # type: ignore[no-untyped-call]  # theirs
        registry.register_on_missing(component)


def operation(call: Call, path_parameters: list[Any], security: list[Any], suffix: str = "") -> Operation:
    """The OpenAPI operation object of a call."""
    written: Operation = {
        "operationId": call.id + suffix,
        "summary": call.summary,
        "description": call.description,
        "tags": [call.tag],
        "parameters": [*path_parameters, *_parameters(call)],
        "security": security,
        "responses": _responses(call),
    }
    if call.body is not None:
        content = {"schema": call.body, "examples": _examples(call.body_examples)}
        written["requestBody"] = {"required": call.body_required, "content": {calls.JSON: content}}
    return written


def _parameters(call: Call) -> list[Operation]:
    places = [
        ("query", call.query, call.required),
        ("header", {name: REQUEST_HEADERS[name] for name in call.headers}, ()),
    ]
    return [
        _parameter(place, name, shape, name in required)
        for place, shapes, required in places
        for name, shape in shapes.items()
    ]


def _parameter(place: str, name: str, shape: schema.Shape, required: bool) -> Operation:
    bare = {key: value for key, value in shape.items() if key not in ("description", "example")}
    texts = {key: shape[key] for key in ("description", "example") if key in shape}
    return {"in": place, "name": name, "required": required, "schema": bare, **texts}


def _responses(call: Call) -> dict[str, Operation]:
    """Answers and problems by status. The 503 of `health/` is both, so its two contents are merged."""
    responses = {str(status): _response(answer) for status, answer in call.answers.items()}
    codes_by_status = defaultdict(list)
    for code in call.problems:
        codes_by_status[int(PROBLEMS[code][0])].append(code)
    for status, codes in codes_by_status.items():
        problems = _problems(status, codes)
        known = responses.setdefault(str(status), problems)
        if known is not problems:
            known["content"] = {**known["content"], **problems["content"]}
            known["headers"] = {**problems["headers"], **known["headers"]}
    return dict(sorted(responses.items()))


def _response(answer: Answer) -> Operation:
    headers = {name: _header(name, required=True) for name in answer.headers}
    headers |= {name: _header(name, required=False) for name in answer.optional_headers}
    response: Operation = {"description": answer.description, "headers": headers}
    if answer.shape is not None:
        content = {"schema": answer.shape, "examples": _examples(answer.examples)}
        response["content"] = dict.fromkeys(answer.media_types, content)
    if answer.linked_calls:
        given = {"payment_id": "$response.body#/id"}
        response["links"] = {name: {"operationId": name, "parameters": given} for name in answer.linked_calls}
    return response


def _problems(status: int, codes: list[str]) -> Operation:
    """The problems of one status: their common shape, narrowed to the codes of this call."""
    narrowed = {"properties": {"code": schema.one_of(codes), "status": {"const": status}}}
    content = {
        "schema": {"allOf": [schema.reference("Problem"), narrowed]},
        "examples": {code: {"value": _problem(code)} for code in codes},
    }
    with translation.override("en"):
        description = " · ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes)
    return {"description": description, "headers": _problem_headers(status, codes), "content": {CONTENT_TYPE: content}}


def _problem_headers(status: int, codes: list[str]) -> Operation:
    headers = {"X-Request-ID": _header("X-Request-ID", required=True)}
    if status in (429, 503):
        headers["Retry-After"] = _header("Retry-After", required=True)
    if "idempotency_conflict" in codes:
        headers["Retry-After"] = _header("Retry-After", required=False)
    if status == 401:
        headers["WWW-Authenticate"] = _header("WWW-Authenticate", required=True)
    return headers


def _problem(code: str) -> Operation:
    status, title = PROBLEMS[code]
    with translation.override("en"):
        text = str(title)
    field_error = {"field": "amount", "code": "not_an_integer", "message": "Must be an integer."}
    return {
        "type": f"urn:feexpay:problem:{code}",
        "title": text,
        "status": int(status),
        "detail": text,
        "code": code,
        "errors": [field_error] if code == "validation_error" else [],
        "request_id": _REQUEST_ID,
        **({"payment_id": "6f1c1c0e-5f0a-4c7e-9a54-0d6f7c2b8f11"} if code == "duplicate_payment" else {}),
    }


def _header(name: str, *, required: bool) -> Operation:
    shape = {"type": "integer", "minimum": 0} if name == "Retry-After" else {"type": "string"}
    return {"description": ANSWER_HEADERS[name], "required": required, "schema": shape}


def _examples(values: Mapping[str, Any]) -> Operation:
    return {re.sub(r"\W+", "_", name) or "example": {"value": value} for name, value in values.items()}


class WebhookEndpoint(APIView):
    """Represents the webhook in the description: the real one is a plain Django view."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = type("WebhookSchema", (Described,), {"calls": {"post": calls.WEBHOOK}})()

    def post(self) -> None:
        """Only described, never called."""


def with_webhook(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Add the webhook's addresses to those of the API. For PREPROCESSING_HOOKS."""
    view = WebhookEndpoint.as_view()
    found = list(endpoints)
    for path, regex, _, _ in endpoints:
        if path.endswith("/initiate/"):
            mount, mounted = path.removesuffix("initiate/"), regex.removesuffix("initiate/")
            found.append((f"{mount}webhook/", f"{mounted}webhook/", "POST", view))
            found.append((f"{mount}webhook/{{token}}/", f"{mounted}webhook/<str:token>/", "POST", view))
    return found


describe("django_feexpay.api.views.FeexPayView", {}, subclasses=True)
