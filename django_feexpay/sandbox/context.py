"""The values that endpoints read from a request: the sandbox, the payment, the body."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from django_feexpay.sandbox.bodies import ApiError
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
    """The parts of the running sandbox."""

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


class ConnectionReset(Response):
    """Send no answer: reset the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"][RESET_EXTENSION]()
        while (await receive())["type"] != "http.disconnect":
            continue


def error_response(error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error.body, status_code=error.status_code, headers=headers)


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


def is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def is_from_this_machine(request: Request) -> bool:
    host = request.client.host if request.client else ""
    return is_address(host) and ip_address(host).is_loopback


async def read_body(request: Request) -> bytes:
    """Raises ApiError when the body is larger than `MAX_BODY_BYTES`; the rest is not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, "request entity too large")
    return bytes(body)


async def read_form(request: Request, *, keep_blank: bool = False) -> dict[str, str]:
    """The fields of a posted form; of a repeated field, the last value."""
    text = (await read_body(request)).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=keep_blank))
