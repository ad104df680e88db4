from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import trustme

from django_feexpay.gateway.transport import HttpTransport
from tests.gateway.wire_server import Peer, WireServer

ServerFactory = Callable[..., WireServer]


@pytest.fixture
def serve() -> Iterator[ServerFactory]:
    """Start a server: `serve(behave)` or `serve(behave, tls=context)`."""
    with ExitStack() as stack:

        def start(behave: Callable[[Peer], None], tls: ssl.SSLContext | None = None) -> WireServer:
            return stack.enter_context(WireServer(behave, tls))

        yield start


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server context with a certificate for `localhost`."""
    return server_context(authority, "localhost")


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A client context that trusts only the authority of the tests."""
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.fixture
def transport(client_tls: ssl.SSLContext) -> Iterator[HttpTransport]:
    made = HttpTransport(tls=client_tls)
    yield made
    made.close()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
