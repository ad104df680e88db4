"""The only socket to the gateway: one HTTP exchange that ends in time and knows whether anything left.

No exception of requests tells surely whether a request was sent: a TLS handshake that hangs looks like a
missing answer, garbage after the request looks like a failed handshake. So the connection itself notes when
the first byte of a request is written, and every read and write is cut to what is left of one deadline for
the whole exchange. Both reach into urllib3 (response class, pool classes, `_get_conn`, `_new_conn`): the
versions are pinned, and tests/gateway/test_transport_cases.py holds the table of cases that guards them.
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

# Everything requests, urllib3, http.client and the socket raise; ValueError is what a few of their parsers
# let out.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    GatewayError,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. connect: TCP and, again, the TLS handshake. read: silence between two bytes. total:
    everything.

    Only the name look-up obeys the system's resolver and not these.
    """

    connect: float = 3.0
    read: float = 10.0
    total: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """One request as it goes out. fresh_connection: never over a connection that was used before. A longer answer
    than reply_limit_bytes is an unknown outcome.
    """

    method: str
    url: str = field(repr=False)  # a source of rates may take its key in it
    timeouts: Timeouts
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    fresh_connection: bool = False
    reply_limit_bytes: int = REPLY_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class WireReply:
    """A complete answer of any HTTP status. headers: names in lower case. body: decoded, at most what was asked for."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", PrivateBytes(self.body))


class Transport(Protocol):
    """What carries a request to the gateway. Tests and simulations bring their own."""

    def exchange(self, request: WireRequest) -> WireReply:
        """Send once and return the whole answer.

        Raises NotSentError if surely no byte of the request left, OutcomeUnknownError if one may have.
        """
        ...


class _Call(threading.local):
    """The exchange under way in this thread: a session, and so each of its connections, belongs to one."""

    deadline = 0.0
    read_seconds = 0.0
    fresh_connection = False
    began = False
    under_way = False

    def begin(self, request: WireRequest) -> None:
        self.deadline = time.monotonic() + request.timeouts.total
        self.read_seconds = request.timeouts.read
        self.fresh_connection = request.fresh_connection
        self.began = False
        self.under_way = True

    def left(self, at_most: float) -> float:
        """Seconds until the deadline or `at_most`; TimeoutError once it has passed."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the exchange took too long")
        return min(seconds, at_most)


_call = _Call()


class _WithoutQuery(logging.Filter):
    """urllib3 writes each address at DEBUG, and a source of rates may take its key in the query of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _call.under_way and isinstance(record.args, tuple):
            record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQuery())


class _TimedReader(io.RawIOBase):
    """Reads a socket, never past the deadline of the exchange."""

    def __init__(self, sock: socket.socket, inner: io.RawIOBase) -> None:
        self._sock = sock
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_call.left(_call.read_seconds))
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
    """Notes the first byte of a request, and bounds connecting and writing by the deadline."""

    response_class = _TimedResponse
    _connecting = False

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False

    def _new_conn(self) -> socket.socket:
        # Not an OSError: urllib3 takes a reset for a failed write, and would go on to read from nothing.
        try:
            return self._connected()
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error

    def _connected(self) -> socket.socket:
        # urllib3 gives every address of a host the whole timeout: two dead ones would outlast the deadline.
        seconds = self.timeout if self.timeout is not None else _call.read_seconds
        addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
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
            sock.settimeout(_call.left(seconds))
            sock.connect(address)
            sock.settimeout(_call.left(seconds))  # the TLS handshake, or a proxy's answer, comes next
        except BaseException:
            sock.close()
            raise
        return sock

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_call.left(_call.read_seconds))
        # What is written while connecting is the CONNECT to a proxy, not the request.
        _call.began = _call.began or not self._connecting
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _reopened(super()._get_conn(timeout))


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _reopened(super()._get_conn(timeout))


def _reopened(connection: Any) -> Any:
    # Money never goes over a connection that sat idle: closed in the gap between urllib3's check and the
    # write, it looks just like "charged, then dropped". A closed connection reopens by itself.
    if _call.fresh_connection:
        connection.close()
    return connection


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
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, **proxy_kwargs)
        manager.pool_classes_by_scheme = dict(_POOLS)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # The context carries the CA bundle; naming a file here would load it again for every connection.
        conn.cert_reqs = "CERT_REQUIRED"


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # Even with redirects off, requests looks at the next one, and reads the whole body for it.
        return None


class HttpTransport:
    """The real transport: requests over pooled connections, one session a thread, safe over a fork.

    proxy: `http://[user:password@]host:port` or "": nothing of the environment (proxies, .netrc, CA bundles)
    is obeyed. tls: another context than the default one (TLS >= 1.2, certifi's authorities). Raises
    ValueError for another kind of proxy.
    """

    def __init__(self, *, proxy: str = "", tls: ssl.SSLContext | None = None) -> None:
        if proxy and not _is_http_proxy(proxy):
            raise ValueError("the proxy must be http://host:port")
        self._proxy = proxy
        self._tls = tls
        self._mine = threading.local()

    def exchange(self, request: WireRequest) -> WireReply:
        """See Transport. Redirects are answers like others; more than the request's limit is an unknown outcome.

        Whatever else fails in here, a bug included, ends as one of the two errors: its frames hold key and body.
        """
        _call.begin(request)
        stop: BaseException | None = None
        try:
            return self._exchange(request)
        except Exception as error:
            what = _describe(error)
            if not isinstance(error, _FAILURES):
                logger.error("an exchange failed in a way the transport does not know: %s", _describe_with_line(error))
        except BaseException as error:  # the process is to end: gunicorn's time limit raises SystemExit
            stop, what = error.with_traceback(None), "stopped"
        finally:
            _call.under_way = False
        # Raised out here, so that the chain drops requests' exception: it holds the headers and the body.
        if stop is not None:
            stop.__context__ = None
            raise stop
        if _call.began:
            raise OutcomeUnknownError(f"the answer was lost: {what}")
        raise NotSentError(f"nothing was sent: {what}")

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
            timeout=(min(limits.connect, limits.total), limits.read),
            allow_redirects=False,
            stream=True,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return WireReply(response.status_code, headers, _read_body(response, request.reply_limit_bytes))

    def _session(self) -> requests.Session:
        # A forked child shares its parent's sockets: two processes on one TLS stream read each other's answers.
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
    # Counted after decoding: a small compressed answer may be a very large one.
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise OutcomeUnknownError(f"the answer is larger than {limit // 1024} kB")
    return bytes(body)


def _is_http_proxy(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False


def _describe(error: BaseException) -> str:
    """The exceptions' names, outermost first: their texts quote URLs and headers. Our own texts quote nothing."""
    if isinstance(error, GatewayError):
        return str(error)
    names: list[str] = []
    step: BaseException | None = error
    while step is not None and len(names) < 6:
        names.append(re.sub(r"[^A-Za-z]", "", type(step).__name__))
        step = step.__cause__ or step.__context__
    return " < ".join(names)


def _describe_with_line(error: BaseException) -> str:
    """`_describe`, and where it was raised: a traceback would bring its frames along."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return _describe(error) + place
