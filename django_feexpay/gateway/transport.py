"""The only socket to the gateway: one HTTP exchange, bounded in time, that knows whether the request left.

No exception of requests shows reliably whether a request was sent: a TLS handshake that hangs looks like a
missing answer, and garbage after the request looks like a failed handshake. The transport therefore reports
NotSentError only for a failure before urllib3 received the request, or while a connection of its own class
was connecting. Every other failure is an unknown outcome, also with a connection class of a future urllib3.

Extension points used: the adapter's, pool's and connection's public classes and methods, http.client's
`response_class`, and urllib3's `_new_conn`. Without the last two, only the deadline would be less exact.
tests/gateway/test_transport_cases.py is the table of cases; run it against each new version of either package.
"""

from __future__ import annotations

import functools
import http.client
import io
import logging
import os
import re
import socket
import ssl
import threading
import time
import traceback
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
import requests.adapters
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from django_feexpay.gateway.errors import GatewayError, NotSentError, OutcomeUnknownError
from django_feexpay.private import PrivateBytes

logger = logging.getLogger("django_feexpay.gateway")

#: No answer about one payment is larger; a page of history, 500 rows, may be.
REPLY_LIMIT_BYTES = 256 * 1024
_CHUNK_BYTES = 8192

# All that requests, urllib3, http.client and the socket raise; a few of their parsers raise ValueError.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    GatewayError,
    OSError,
    ValueError,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds. connect: for TCP, and again for the TLS handshake. read: between two bytes. total: for all.

    None of them bounds the name lookup: the system's resolver has its own limits.
    """

    connect: float = 3.0
    read: float = 10.0
    total: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """One request as it goes out.

    fresh_connection: use no connection that was used before. A reply longer than reply_limit_bytes is an
    unknown outcome.
    """

    method: str
    url: str = field(repr=False)  # a source of exchange rates may expect its key here
    timeouts: Timeouts
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    fresh_connection: bool = False
    reply_limit_bytes: int = REPLY_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class WireReply:
    """A complete reply of any HTTP status. headers: names in lower case. body: decoded, within the request's limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", PrivateBytes(self.body))


class Transport(Protocol):
    """Carries a request to the gateway. Tests and simulations bring their own."""

    def exchange(self, request: WireRequest) -> WireReply:
        """Send the request once and return the whole reply.

        Raises: NotSentError if certainly no byte of the request left, OutcomeUnknownError if one may have.
        """
        ...


class _Exchange(threading.local):
    """The exchange that runs in this thread. A session, and so each of its connections, belongs to one thread."""

    deadline = 0.0
    read_seconds = 0.0
    needs_new_connection = False
    may_have_left = False
    is_running = False

    def start(self, request: WireRequest) -> None:
        self.deadline = time.monotonic() + request.timeouts.total
        self.read_seconds = request.timeouts.read
        self.needs_new_connection = request.fresh_connection
        self.may_have_left = False
        self.is_running = True

    def seconds_left(self, at_most: float) -> float:
        """Seconds until the deadline, or `at_most` if that is less. Raises: TimeoutError past the deadline."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the exchange took too long")
        return min(seconds, at_most)


_exchange = _Exchange()


class _WithoutQuery(logging.Filter):
    """Drops the query from the addresses that urllib3 logs: a source of exchange rates may expect its key there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _exchange.is_running and isinstance(record.args, tuple):
            record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQuery())


class _TimedReader(io.RawIOBase):
    """Reads a socket until the deadline of the exchange."""

    def __init__(self, sock: socket.socket, inner: io.RawIOBase) -> None:
        self._sock = sock
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_exchange.seconds_left(_exchange.read_seconds))
        return self._inner.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    """A connection that connects and writes within the deadline, and records while it connects that nothing left."""

    response_class = _TimedResponse

    @property
    def is_connected(self) -> bool:
        # urllib3 asks before it reuses a connection, and reopens one that is not connected. A payment request
        # must not use an idle connection: if the gateway closes it in the instant between this check and the
        # write, that looks exactly like "charged, then dropped".
        return super().is_connected and not _exchange.needs_new_connection

    def connect(self) -> None:
        # A base class that is not http.client's may write the request here.
        _exchange.may_have_left = not isinstance(self, http.client.HTTPConnection)
        _exchange.needs_new_connection = False
        super().connect()
        _exchange.may_have_left = True

    def _new_conn(self) -> socket.socket:
        # urllib3 takes an OSError from here for a failed write, and would go on to read from no socket.
        try:
            return self._connected()
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error

    def _connected(self) -> socket.socket:
        # urllib3 gives each address of a host the whole timeout: two dead addresses would outlast the deadline.
        seconds = self.timeout if self.timeout is not None else _exchange.read_seconds
        addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in addresses:
            try:
                return self._open(socket.socket(family, kind, protocol), address, seconds)
            except OSError as error:
                failure = error
        raise failure

    def _open(self, sock: socket.socket, address: Any, seconds: float) -> socket.socket:
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(_exchange.seconds_left(seconds))
            sock.connect(address)
            sock.settimeout(_exchange.seconds_left(seconds))  # for the TLS handshake or the proxy's reply
        except BaseException:
            sock.close()
            raise
        return sock

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _exchange.needs_new_connection:  # a urllib3 that does not ask is_connected
            self.close()
            _exchange.may_have_left = False
            raise ConnectionError("the request needs a new connection")
        self.sock.settimeout(_exchange.seconds_left(_exchange.read_seconds))
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _PlainPool, "https": _TlsPool}


@functools.cache
def _default_tls() -> ssl.SSLContext:
    """One context for all connections: loading the CA bundle costs 15 ms of CPU each time."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = dict(_POOLS)
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        # requests would name a CA file here, and load it again for every connection.
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._tls}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the pool as it is: its TLS context carries the CA bundle."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        _exchange.may_have_left = True  # until a connection of ours says otherwise
        return super().send(*args, **kwargs)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Even with redirects off, requests computes the next request, and reads the whole body for it.
        return None


class HttpTransport:
    """The transport over real sockets: pooled connections, one session per thread, safe across a fork.

    It ignores the environment (proxies, .netrc, CA bundles). proxy: `http://[user:password@]host:port` or "".
    tls: a context that replaces the default (TLS >= 1.2, certifi's authorities).

    Raises: ValueError for another kind of proxy.
    """

    def __init__(self, *, proxy: str = "", tls: ssl.SSLContext | None = None) -> None:
        if proxy and not _is_http_proxy(proxy):
            raise ValueError("the proxy must be http://host:port")
        self._proxy = proxy
        self._tls = tls
        self._mine = threading.local()

    def exchange(self, request: WireRequest) -> WireReply:
        """Send the request once, see Transport. A redirect is a reply like any other.

        Every failure in here, a bug included, ends as one of the two errors, because the frames of the original
        exception hold the key and the body.
        """
        _exchange.start(request)
        stop: BaseException | None = None
        try:
            return self._exchange(request)
        except Exception as error:
            what = _describe(error)
            if not isinstance(error, _FAILURES):
                # Not a traceback: it would keep its frames, and so the key and the body.
                frames = traceback.extract_tb(error.__traceback__)
                line = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}"
                logger.error("unexpected exception in an exchange: %s at %s", what, line)
        except BaseException as error:  # the process ends: gunicorn's time limit raises SystemExit
            stop, what = error.with_traceback(None), "stopped"
        finally:
            _exchange.is_running = False
        # Raised outside the handlers, so that it is not chained to requests' exception, which holds headers and body.
        if stop is not None:
            stop.__context__ = None
            raise stop
        if _exchange.may_have_left:
            raise OutcomeUnknownError(f"the reply was lost: {what}")
        raise NotSentError(f"nothing was sent to {_host_and_port(self._proxy or request.url)}: {what}")

    def close(self) -> None:
        """Close this thread's connections; the next exchange opens new ones."""
        session: requests.Session | None = self._mine.__dict__.pop("session", None)
        if session is not None:
            session.close()

    def _exchange(self, request: WireRequest) -> WireReply:
        limits = request.timeouts
        with self._session().request(
            request.method,
            request.url,
            data=request.body,
            headers=dict(request.headers),
            timeout=(_exchange.seconds_left(limits.connect), limits.read),
            allow_redirects=False,
            stream=True,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return WireReply(response.status_code, headers, _read_body(response, request.reply_limit_bytes))

    def _session(self) -> requests.Session:
        # A forked child shares its parent's sockets, and two processes on one TLS stream read each other's replies.
        if getattr(self._mine, "pid", None) != os.getpid():
            self._mine.__dict__.clear()
        if "session" not in self._mine.__dict__:
            self._mine.pid = os.getpid()
            self._mine.session = self._new_session()
        session: requests.Session = self._mine.session
        return session

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False
        session.headers.clear()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if self._proxy:
            session.proxies = {"http": self._proxy, "https": self._proxy}
        adapter = _Adapter(self._tls or _default_tls())
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session


def _read_body(response: requests.Response, limit: int) -> bytes:
    """Return the decoded body. Raises: OutcomeUnknownError above the limit or for a coding that we do not decode."""
    # Decoded here, because older versions of urllib3 expand a compressed chunk whole, and codings within codings.
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise OutcomeUnknownError("the reply has a content coding that was not asked for")
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if coding == "gzip" else None
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
        body += decoder.decompress(chunk, limit + 1 - len(body)) if decoder else chunk
        if len(body) > limit:
            raise OutcomeUnknownError(f"the reply is larger than {limit // 1024} kB")
    if decoder and not decoder.eof:
        raise OutcomeUnknownError("the reply ended early")
    return bytes(body)


def _is_http_proxy(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False


def _describe(error: BaseException) -> str:
    """The names of the chained exceptions, outermost first, and the system's text for the innermost error number.

    The exceptions' own texts quote URLs and headers; those of GatewayError do not.
    """
    if isinstance(error, GatewayError):
        return str(error)
    names: list[str] = []
    system_text = ""
    step: BaseException | None = error
    while step is not None and len(names) < 6:
        names.append(re.sub(r"[^A-Za-z]", "", type(step).__name__))
        number = getattr(step, "errno", None)
        if isinstance(number, int) and number > 0:
            system_text = f" ({os.strerror(number)})"
        step = step.__cause__ or step.__context__
    return " < ".join(names) + system_text


def _host_and_port(url: str) -> str:
    """The part of a URL that holds no secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
