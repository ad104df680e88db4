"""Hand the calls to drf-spectacular. Imported only if `drf_spectacular` is among the host's apps."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from django_feexpay.api import calls, examples, schema
from django_feexpay.api.calls import ANSWER_HEADERS, REQUEST_HEADERS, Answer, Call
from django_feexpay.problems import CONTENT_TYPE, PROBLEMS, WITHOUT_RETRY_AFTER, problem

Operation = dict[str, Any]
Endpoint = tuple[str, str, str, Callable[..., Any]]

_REQUEST = SimpleNamespace(feexpay_request_id="8f14e45fceea467f9a1c2d3e4f5a6b7c")


class DescribedSchema(AutoSchema):
    """The schema of a view whose calls are listed by method in `calls`: drf-spectacular guesses nothing."""

    calls: Mapping[str, Call] = {}

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Operation:
        self.path, self.path_regex, self.path_prefix, self.method = path, path_regex, path_prefix, method
        self.registry = registry
        for name, shape in schema.SHAPES.items():
            kind = ResolvedComponent.SCHEMA
            component = ResolvedComponent(name, kind, dict(shape), name)  # type: ignore[no-untyped-call]  # spectacular's
            registry.register_on_missing(component)
        call = self.calls[method.lower()]
        names = re.findall(r"{(\w+)}", path)
        path_parameters = self._resolve_path_parameters(names)  # type: ignore[no-untyped-call]  # drf-spectacular's
        operation: Operation = {
            "operationId": call.id + ("_with_token" if "token" in names else ""),
            "summary": call.summary,
            "description": call.description,
            "tags": [call.tag],
            "parameters": [*path_parameters, *_parameters(call)],
            "security": self.get_auth() if self.view.authentication_classes else [],
            "responses": _responses(call),
        }
        if call.body is not None:
            content = {"schema": call.body, "examples": _examples(call.body_examples)}
            operation["requestBody"] = {"required": call.body_required, "content": {calls.JSON: content}}
        return operation


#: Not sent where the request was not counted: a 401, or while the cache does not answer.
_RATE_HEADERS = ("RateLimit", "RateLimit-Policy")


def describe(view: str, described: Mapping[str, Call]) -> None:
    """Describe a view and its subclasses, given by its dotted path, with the call of each method."""
    described_schema = type("DescribedSchema", (DescribedSchema,), {"calls": described})

    class Extension(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # drf-spectacular's
        target_class = view
        match_subclasses = True

        def view_replacement(self) -> type[APIView]:
            return type(self.target.__name__, (self.target,), {"schema": described_schema()})


def _parameters(call: Call) -> list[Operation]:
    wanted = [("query", name, shape) for name, shape in call.query.items()]
    wanted += [("header", name, REQUEST_HEADERS[name]) for name in call.headers]
    parameters = []
    for place, name, shape in wanted:
        texts = {key: shape[key] for key in ("description", "example") if key in shape}
        bare = {key: value for key, value in shape.items() if key not in texts}
        parameters.append({"in": place, "name": name, "required": name in call.required, "schema": bare, **texts})
    return parameters


def _responses(call: Call) -> dict[str, Operation]:
    """Answers and problems by status. The 503 of `health/` is both, so its two contents are merged."""
    responses = {str(status): _response(answer) for status, answer in call.answers.items()}
    codes_by_status = defaultdict(list)
    for code in call.problems:
        codes_by_status[PROBLEMS[code][0]].append(code)
    for status, codes in codes_by_status.items():
        problems = _problems(status, codes)
        known = responses.setdefault(str(status), problems)
        known["content"] = {**known["content"], **problems["content"]}
        known["headers"] = {**problems["headers"], **known["headers"]}
    if call.counted:
        for response in responses.values():
            response["headers"] = {**response["headers"], **_headers((), _RATE_HEADERS)}
    return dict(sorted(responses.items()))


def _response(answer: Answer) -> Operation:
    headers = _headers(answer.headers, answer.optional_headers)
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
    headers, optional = ["X-Request-ID"], []
    waiting = set(codes) - WITHOUT_RETRY_AFTER
    if status in (429, 503) and waiting == set(codes):
        headers.append("Retry-After")
    elif (status == 503 and waiting) or "idempotency_conflict" in codes:
        optional.append("Retry-After")
    if status == 401:
        headers.append("WWW-Authenticate")
    narrowed = {"properties": {"code": schema.one_of(codes), "status": {"const": status}}}
    with translation.override("en"):
        content = {
            "schema": {"allOf": [schema.reference("Problem"), narrowed]},
            "examples": {code: {"value": _problem(code)} for code in codes},
        }
        description = " · ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes)
    return {"description": description, "headers": _headers(headers, optional), "content": {CONTENT_TYPE: content}}


def _problem(code: str) -> Operation:
    field_error = {"field": "amount", "code": "not_an_integer", "message": "Must be an integer."}
    extra = {"payment_id": examples.PAYMENT_ID} if code == "duplicate_payment" else {}
    return problem(_REQUEST, code, errors=[field_error] if code == "validation_error" else [], **extra)[1]


def _headers(required: Iterable[str], optional: Iterable[str]) -> Operation:
    return {
        name: {
            "description": ANSWER_HEADERS[name],
            "required": name in required,
            "schema": schema.AMOUNT if name == "Retry-After" else schema.TEXT,
        }
        for name in (*required, *optional)
    }


def _examples(values: Mapping[str, Any]) -> Operation:
    return {re.sub(r"\W+", "_", name): {"value": value} for name, value in values.items()}


class WebhookEndpoint(APIView):
    """Stands in for the webhook in the description, because the real one is a plain Django view."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self) -> None:
        """Exists only to be described; it is never called."""


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


for _view, _calls in calls.CALLS.items():
    describe(_view, _calls)
