"""nginx with the site of sample_project/deploy, moved into one folder and to ports of 127.0.0.1."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "sample_project" / "deploy"
HOST = "shop.example"
START_SECONDS = 60.0

_MAIN = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/shop.conf;
}}
"""


@dataclass(frozen=True)
class Site:
    """Where a moved site listens, and its folder: `web.sock` is the upstream, `shop.log` the access log."""

    folder: Path
    http_port: int
    https_port: int

    @property
    def config(self) -> Path:
        return self.folder / "nginx.conf"


def write_site(folder: Path, *, http_port: int, https_port: int) -> Site:
    """Write the site into the folder, with a certificate of its own, unless fullchain.pem is already there.

    Only paths and ports differ from the shipped files.
    """
    moved = {
        "/etc/shop/tls/": f"{folder}/",
        "/run/shop/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
        "/srv/shop/current/sample_project/staticfiles/": f"{folder}/static/",
        "/var/lib/shop/media/": f"{folder}/media/",
        "/var/www/letsencrypt": f"{folder}/letsencrypt",
        "include snippets/": f"include {folder}/",
        "listen 80 ": f"listen 127.0.0.1:{http_port} ",
        "listen 443 ssl": f"listen 127.0.0.1:{https_port} ssl",
    }
    for name in ("shop.conf", "shop-proxy.conf", "shop-headers.conf"):
        text = (DEPLOY / "nginx" / name).read_text()
        for old, new in moved.items():
            text = text.replace(old, new)
        text = "".join(line for line in text.splitlines(keepends=True) if "listen [::]" not in line)
        (folder / name).write_text(text)
    if not (folder / "fullchain.pem").exists():
        _write_certificate(folder)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
    return Site(folder, http_port, https_port)


@contextmanager
def serving(site: Site) -> Iterator[None]:
    """Run nginx in the foreground until the block ends. Raises: RuntimeError with its messages."""
    command = [
        shutil.which("nginx") or "/usr/sbin/nginx",
        "-c",
        str(site.config),
        "-p",
        str(site.folder),
        "-g",
        "daemon off;",
    ]
    with (site.folder / "nginx.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not (site.folder / "nginx.pid").exists():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError((site.folder / "nginx.out").read_text())
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def _write_certificate(folder: Path) -> None:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_pem.write_to_path(str(folder / "privkey.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(folder / "fullchain.pem"), append=number > 0)
