"""The sample project under an ASGI server, in a process of its own, for tests over real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from tests.limited_site import wait_until_answering

ROOT = Path(__file__).resolve().parents[1]
APPLICATION = "config.asgi:application"
#: What Django warns of when it answers with an open file. The answer is then a 500.
_UNREADABLE = "StreamingHttpResponse must consume synchronous iterators"

#: How each server is started on an inherited socket.
SERVERS: Mapping[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", APPLICATION, "--log-level=error", "--fd={fd}"),
    "gunicorn": (
        *("gunicorn", APPLICATION, "--worker-class=uvicorn_worker.UvicornWorker", "--workers=1"),
        *("--log-level=error", "--bind=fd://{fd}"),
    ),
}


@contextmanager
def asgi_server(name: str, **environment: str) -> Iterator[tuple[tuple[str, int], subprocess.Popen[bytes]]]:
    """Run the sample project on the test database; yield its address and its process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listener.set_inheritable(True)
        database = urlsplit(os.environ["DATABASE_URL"])
        known = os.environ | {
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{settings.DATABASES['default']['NAME']}")),
            "DJANGO_SETTINGS_MODULE": "config.settings.testing",
            "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        }
        command = [part.format(fd=listener.fileno()) for part in SERVERS[name]]
        server = subprocess.Popen(
            [sys.executable, "-W", f"error:{_UNREADABLE}", "-m", *command],
            cwd=ROOT / "sample_project",
            env=known | environment,
            pass_fds=[listener.fileno()],
        )
        try:
            address = listener.getsockname()
            wait_until_answering(address)
            yield address, server
        finally:
            server.terminate()
            server.wait(30)
