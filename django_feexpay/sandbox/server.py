"""The sandbox as a server: the Starlette app on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import struct
import sys
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from django_feexpay.sandbox import (
    api,
    bodies,
    collect,
    control,
    control_page,
    history,
    hosted,
    links,
    pages,
    payment_list,
    payouts,
    phone_page,
)
from django_feexpay.sandbox.context import RESET_EXTENSION, Sandbox, error_response
from django_feexpay.sandbox.fault_settings import CurrentSettings, SettingError
from django_feexpay.sandbox.faults import FaultInjection
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.same_origin import SameOriginOnly
from django_feexpay.sandbox.store import START_ANEW, Store
from django_feexpay.sandbox.timers import Timers

ROUTED_MODULES = (collect, links, history, api, payouts, control, phone_page, hosted, payment_list, control_page, pages)

# At a stop, requests that wait on purpose (slow answer, synchronous operator) get this long.
_STOP_SECONDS = 1


def build_app(options: Options, store: Store) -> Starlette:
    """The sandbox as an ASGI app; its timers run during its lifespan.

    Raises SettingError when `store` keeps a setting that this version does not know.
    """
    current_settings = CurrentSettings(store, options.settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        timers = Timers(store, options, current_settings)
        app.state.sandbox = Sandbox(options, store, timers, current_settings)
        loop = asyncio.create_task(timers.run())
        yield
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop

    app = Starlette(
        routes=[route for module in ROUTED_MODULES for route in module.ROUTES],
        lifespan=lifespan,
        middleware=[Middleware(SameOriginOnly), Middleware(FaultInjection)],
        exception_handlers={bodies.ApiError: _api_error, 404: _not_found, 405: _not_found},
    )
    app.router.redirect_slashes = False
    return app


async def _api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, bodies.ApiError):
        raise error
    return error_response(error)


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer as NestJS under /api/, where a wrong method is a 404, too; elsewhere with a page."""
    if request.url.path.startswith("/api/"):
        return error_response(bodies.no_such_path(request.method, request.url.path))
    if isinstance(error, HTTPException) and error.status_code == 405:
        return JSONResponse({"error": "method not allowed"}, status_code=405, headers=error.headers)
    return pages.not_found(request)


class _ResettableProtocol(H11Protocol):
    """HTTP/1.1 with an extension by which a request can reset its own connection."""

    async def _app_with_reset(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[RESET_EXTENSION] = self._reset
        await self.config.loaded_app(scope, receive, send)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it so
        super().connection_made(transport)
        self.app = self._app_with_reset

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        # SO_LINGER with zero seconds: closing sends RST and discards unsent data.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _AnnouncingServer(uvicorn.Server):
    """Prints one line with the addresses once it accepts connections and handles signals."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def main_loop(self) -> None:
        # Not at the end of `startup`: with a signal before its main loop, uvicorn 0.30 returns without a shutdown.
        sys.stdout.write(self._line + "\n")
        sys.stdout.flush()
        await super().main_loop()


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises RuntimeError when the address or the state file cannot be used."""
    with (
        _until_signalled(),
        contextlib.closing(_listen(options)) as listening,
        _open_app(options) as app,
    ):
        config = uvicorn.Config(
            app,
            http=_ResettableProtocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        _AnnouncingServer(config, _ready_line(listening)).run(sockets=[listening])


class _StoppedError(BaseException):
    """A stop signal. Not an Exception, so that no `except Exception` swallows it."""


@contextlib.contextmanager
def _until_signalled() -> Iterator[None]:
    """End the block at SIGTERM or SIGINT. uvicorn first stops gracefully, then raises the signal again."""

    def stop(signum: int, frame: object) -> None:
        raise _StoppedError

    with contextlib.suppress(_StoppedError):
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        yield


@contextlib.contextmanager
def _open_app(options: Options) -> Iterator[Starlette]:
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(contextlib.closing(Store(options.state)))
            app = build_app(options, store)
        except sqlite3.DatabaseError as error:
            raise RuntimeError(f"cannot keep the state in {options.state}: {error}") from error
        except SettingError as error:
            raise RuntimeError(f"cannot keep the state in {options.state}: {error}. {START_ANEW}") from error
        yield app


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listening = socket.create_server((options.host, options.port), family=family, backlog=256)
    except OSError as error:
        code = error.errno or 0
        # create_server adds its own words to the system's message; an unknown host name has no errno.
        reason = os.strerror(code) if code > 0 else error.strerror
        raise RuntimeError(f"cannot listen on {options.host}:{options.port}: {reason}") from error
    # Head and body of an answer are two writes; with Nagle's algorithm the second waits 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _ready_line(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    root = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return (
        f"FeexPay sandbox ready: API {root}/api | payer's phone {root}/"
        f" | payments {root}/payments | control {root}/control/payments"
    )
