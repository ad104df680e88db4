"""Tools that record what an error reporter records: the variables of every frame, and the request body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

from rest_framework.views import APIView

PHONE, OTHER_PHONE = "+226 74 98 76 50", "+229 01 61 98 76 50"
OTP = "738291"
PAYER = {"first_name": "Zebulon", "last_name": "Quackenbush", "email": "zeb.quack@payer.test"}
API_KEY, HASH_KEY = "fp_canary_of_the_key", "the canary of the hash key that is long enough"
HEADER, URL_TOKEN = "Bearer canary-of-the-header", "canary-of-the-address"

CANARIES = (
    *("74987650", "74 98 76 50", "61987650", "61 98 76 50", OTP, "Zebulon", "Quackenbush", "zeb.quack"),
    *("canary of the hash", "canary_of_the_key", "canary-of-the-header", "canary-of-the-address"),
)


def canaries_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def shown(frame: FrameType) -> Iterator[tuple[str, str]]:
    """Each local variable as a reporter writes it. A mapping without `__sentry_repr__` is shown as a dict."""
    for name, value in frame.f_locals.items():
        if isinstance(value, Mapping) and not hasattr(type(value), "__sentry_repr__"):
            yield name, repr(dict(value))
        else:
            yield name, repr(value)


def traceback_below_the_test(error: BaseException) -> TracebackType | None:
    """The traceback of an error, without the frames of the test itself."""
    step = error.__traceback__
    while step is not None and any(part in step.tb_frame.f_code.co_filename for part in ("/tests/", "/django/test/")):
        step = step.tb_next
    return step


def leaks_of(error: BaseException) -> list[str]:
    """The places that show a canary, in the frames of an error and of its causes."""
    found = []
    chain: BaseException | None = error
    while chain is not None:
        if canaries_in(str(chain)):
            found.append(f"text of {type(chain).__name__}")
        for frame, _ in walk_tb(traceback_below_the_test(chain)):
            place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}"
            found += [f"{place} {name}" for name, text in shown(frame) if canaries_in(text)]
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return found


class RequestBodies:
    """The bodies of API requests, read when the error is reported, as Sentry's Django integration does."""

    def __init__(self, monkeypatch: Any) -> None:
        self._requests: list[Any] = []
        usual = APIView.initial

        def initial(view: Any, request: Any, *args: Any, **kwargs: Any) -> None:
            self._requests.append(request)
            usual(view, request, *args, **kwargs)

        monkeypatch.setattr(APIView, "initial", initial)

    def last(self) -> Any:
        return deepcopy(self._requests[-1].data) if self._requests else None


class Sentry:
    """The client of sentry-sdk with its defaults, and a transport that records instead of sending."""

    def __init__(self) -> None:
        import sentry_sdk
        from sentry_sdk.transport import Transport

        self.sent: list[str] = []
        sent = self.sent

        class Recording(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                sent.extend(json.dumps(item.payload.json, default=str) for item in envelope.items)

        self._client = sentry_sdk.Client(
            dsn="https://key@sentry.example/1",
            transport=Recording,
            default_integrations=False,
            auto_enabling_integrations=False,
        )

    def report(self, error: BaseException, body: Any) -> str:
        """Report an error of a request with this body, and return all that was sent."""
        from sentry_sdk.utils import event_from_exception

        exc_info = type(error), error, traceback_below_the_test(error)
        event, hint = event_from_exception(exc_info, client_options=self._client.options)
        event["request"] = {"method": "POST", "data": body}
        self._client.capture_event(event, hint)
        self._client.flush()
        return "".join(self.sent)
