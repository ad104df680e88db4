"""gunicorn's settings: `gunicorn --config deploy/gunicorn.conf.py` in the folder of manage.py.

Under systemd and supervisor, the process manager holds the listening socket and passes it on, so requests wait in the
socket while gunicorn restarts. `WEB_BIND` is used without them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# `gthread` runs config.wsgi. `asgi`, or a worker class of uvicorn, runs config.asgi, which also serves events/.
worker_class = os.environ.get("WEB_WORKER_CLASS", "gthread")
_asynchronous = worker_class == "asgi" or "uvicorn" in worker_class.lower()
wsgi_app = "config.asgi:application" if _asynchronous else "config.wsgi:application"

chdir = str(Path(__file__).resolve().parents[1])
bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_PROCESSES", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))

# The master loads the application before it reports that it is ready. So a release that cannot start fails in
# `systemctl restart`, while the other gunicorn still serves the old release.
preload_app = True

# A call to FeexPay ends after 15 s, so a worker that is silent for 60 s hangs.
timeout = 60
# Requests under way may finish. TimeoutStopSec and stopwaitsecs of the process managers are longer.
graceful_timeout = 45
# Small leaks of the host's code end with the process. The jitter keeps two workers from restarting together.
max_requests = 20_000
max_requests_jitter = 2_000

# The heartbeats of workers are files; on a disk, a slow write could look like a worker that hangs.
worker_tmp_dir = "/dev/shm"  # noqa: S108 -- gunicorn creates unnamed files there
# Only the proxy reaches the socket, and it overwrites these headers.
forwarded_allow_ips = "*" if bind.startswith(("unix:", "fd:")) else "127.0.0.1,::1"
# nginx answers longer ones; these are the last limits.
limit_request_line = 4_094
limit_request_fields = 60
limit_request_field_size = 8_190
# Newer versions open a socket for commands in the home folder, which the user of the service does not have.
control_socket_disable = True
# nginx writes the access log, without tokens in addresses. Errors go to the journal.
accesslog = None
errorlog = "-"


def pre_fork(server: Any, worker: Any) -> None:
    """Close connections that the master opened while it loaded the application: two processes must not share one."""
    from django.db import connections

    connections.close_all()


def child_exit(server: Any, worker: Any) -> None:
    """Tell the metrics that the process is gone, so that its gauges are no longer counted."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
