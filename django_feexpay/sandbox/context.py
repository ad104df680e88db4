"""What endpoints find on a request: the sandbox, the payment, the body."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from django_feexpay.sandbox.fault_settings import CurrentSettings, FaultSettings
from django_feexpay.sandbox.networks import Flow, Network
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.payment_engine import PaymentEngine
from django_feexpay.sandbox.store import Payment, Store
from django_feexpay.sandbox.timers import Timers

MAX_BODY_BYTES = 100_000

RESET_EXTENSION = "sandbox.reset_connection"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One running sandbox."""

    options: Options
    store: Store
    timers: Timers
    current_settings: CurrentSettings

    @property
    def settings(self) -> FaultSettings:
        return self.current_settings.now

    @property
    def engine(self) -> PaymentEngine:
        return self.timers.engine

    def flow_of(self, network: Network) -> Flow:
        return self.settings.flows.get(network.suffix, network.flow)


class BodyTooLargeError(Exception):
    """The body is over `MAX_BODY_BYTES`; the rest was not read."""


class ConnectionReset(Response):
    """No answer: the socket is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"][RESET_EXTENSION]()
        while (await receive())["type"] != "http.disconnect":
            continue


def sandbox_of(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


def page_url(request: Request, path: str) -> str:
    """The address at which a payer's browser reaches one of our pages."""
    root = sandbox_of(request).options.public_url or str(request.base_url)
    return root.rstrip("/") + path


def payment_of(request: Request) -> Payment | None:
    """The payment that the path's `reference` names, or None."""
    return sandbox_of(request).store.payment(request.path_params["reference"])


async def read_body(request: Request) -> bytes:
    """Raises BodyTooLargeError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError
    return bytes(body)
