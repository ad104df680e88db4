"""Each file in sample_project/deploy is loaded by its own program: `python -m tools.deployment.check`.

A program that is not installed is named, together with the files that were therefore not checked.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.deploy_check import random_environment
from tools.deployment.site import DEPLOY, write_site

# Exposure as `systemd-analyze security` counts it, times ten: 0 is nothing, 100 is a process of root without limits.
MOST_EXPOSURE = 20
_TIMEOUT_SECONDS = 300


class WrongFileError(Exception):
    """A program refused a file; the message is what the program printed."""


@dataclass(frozen=True)
class Check:
    """`program` loads `files` in `run`, which gets an empty folder and the path of the program."""

    program: str
    files: str
    run: Callable[[Path, str], None]


def nginx(folder: Path, program: str) -> None:
    site = write_site(folder, http_port=8080, https_port=8443)
    _run(program, "-t", "-c", str(site.config), "-p", str(folder))


def units(folder: Path, program: str) -> None:
    """Syntax and directives of all units, and how far a taken-over service could reach."""
    shutil.copytree(DEPLOY / "systemd", folder, dirs_exist_ok=True)
    services = sorted(folder.glob("*.service"))
    for unit in services:
        # The programs of a release are not on this machine; their arguments stay.
        unit.write_text(re.sub(r"^(Exec\w+=)/\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE))
    names = [_instance(path) for path in sorted(folder.iterdir()) if path.is_file()]
    # It exits with 0 also after "Unknown key"; so it must print nothing.
    printed = _run(program, "verify", "--man=no", *names, environment={"SYSTEMD_UNIT_PATH": f"{folder}:"})
    if printed:
        raise WrongFileError(printed)
    for unit in services:
        if "ProtectSystem=" in unit.read_text():
            _run(program, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", str(unit))


def gunicorn(folder: Path, program: str) -> None:
    environment = random_environment() | {"ENV_FILE": ""}
    for kind in ("gthread", *(["asgi"] if (DEPLOY.parent / "config" / "asgi.py").exists() else [])):
        config = str(DEPLOY / "gunicorn.conf.py")
        _run(program, "--check-config", "--config", config, environment=environment | {"WEB_WORKER_CLASS": kind})


def supervisor(folder: Path, program: str) -> None:
    """supervisord has no check of its own, so it starts with the programs off and lists them."""
    programs = (DEPLOY / "supervisor" / "shop.conf").read_text()
    programs = programs.replace("autostart=true\n", "").replace("autorestart=true", "autorestart=true\nautostart=false")
    programs = re.sub(r"^user=shop$", f"user={getpass.getuser()}", programs, flags=re.MULTILINE)
    programs = re.sub(r"^socket_owner=.*$", f"socket_owner={getpass.getuser()}", programs, flags=re.MULTILINE)
    for path, replacement in {
        "/srv/shop/current/sample_project": str(DEPLOY.parent),
        "/run/shop": str(folder),
        "/var/log/shop": str(folder),
    }.items():
        programs = programs.replace(path, replacement)
    config = folder / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/pid\nnodaemon=true\n"
        f"[unix_http_server]\nfile={folder}/control\n[supervisorctl]\nserverurl=unix://{folder}/control\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" + programs
    )
    process = subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        give_up_at = time.monotonic() + _TIMEOUT_SECONDS
        while not (folder / "control").exists():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise WrongFileError(process.stdout.read() if process.stdout and process.poll() is not None else "")
            time.sleep(0.05)
        listed = _run(shutil.which("supervisorctl") or "supervisorctl", "-c", str(config), "avail")
    finally:
        process.terminate()
        process.communicate()
    if len(re.findall("in use", listed)) != 5:
        raise WrongFileError(f"supervisorctl avail lists other programs:\n{listed}")


def folders(folder: Path, program: str) -> None:
    """The folders that are created when the machine starts, below an empty folder."""
    rules = folder / "shop.conf"
    text = (DEPLOY / "supervisor" / "tmpfiles.conf").read_text()
    rules.write_text(text.replace("root root", "- -").replace("shop shop", "- -"))
    _run(program, "--create", f"--root={folder}", str(rules))
    if not (folder / "run/shop/metrics").is_dir():
        raise WrongFileError("/run/shop/metrics was not made")


def logrotate(folder: Path, program: str) -> None:
    rules = folder / "shop"
    text = (DEPLOY / "logrotate" / "shop").read_text()
    rules.write_text(text.replace("su root root", f"su {getpass.getuser()} root"))
    rules.chmod(0o644)
    printed = _run(program, "--debug", "--state", str(folder / "state"), str(rules))
    if "error:" in printed:
        raise WrongFileError(printed)


def scripts(folder: Path, program: str) -> None:
    found = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.read_bytes().startswith(b"#!/bin/")]
    _run(program, *map(str, found))


def compose(folder: Path, program: str) -> None:
    shutil.copytree(DEPLOY / "docker", folder, dirs_exist_ok=True)
    shutil.copyfile(DEPLOY / "env" / "production.env", folder / "shop.env")
    kind = ["compose"] if Path(program).name == "docker" else []
    _run(program, *kind, "--file", str(folder / "compose.yaml"), "config")


def dockerfile(folder: Path, program: str) -> None:
    _run(program, str(DEPLOY / "docker" / "Dockerfile"))


def alert_rules(folder: Path, program: str) -> None:
    """The rules and the configuration, and the rules' own tests: which series raise which alert, and when."""
    shutil.copytree(DEPLOY / "prometheus", folder, dirs_exist_ok=True)
    _run(program, "check", "rules", str(folder / "feexpay.rules.yml"))
    for tests in sorted(folder.glob("*.test.yml")):
        _run(program, "test", "rules", str(tests))


def promtail(folder: Path, program: str) -> None:
    _run(program, "-check-syntax", f"-config.file={DEPLOY / 'promtail' / 'promtail.yml'}")


def filebeat(folder: Path, program: str) -> None:
    """filebeat refuses a file that another user owns, so it reads a copy."""
    config = folder / "filebeat.yml"
    shutil.copyfile(DEPLOY / "filebeat" / "filebeat.yml", config)
    config.chmod(0o600)
    key = {"ELASTICSEARCH_API_KEY": "id:key"}
    _run(program, "test", "config", "-c", str(config), "--path.data", str(folder), environment=key)


CHECKS = (
    Check("nginx", "nginx/*.conf", nginx),
    Check("systemd-analyze", "systemd/*", units),
    Check("gunicorn", "gunicorn.conf.py", gunicorn),
    Check("supervisord", "supervisor/shop.conf", supervisor),
    Check("systemd-tmpfiles", "supervisor/tmpfiles.conf", folders),
    Check("logrotate", "logrotate/shop", logrotate),
    Check("shellcheck", "bin/*, docker/nginx.sh", scripts),
    Check("docker-compose", "docker/compose.yaml", compose),
    Check("hadolint", "docker/Dockerfile", dockerfile),
    Check("promtool", "prometheus/*.yml", alert_rules),
    Check("promtail", "promtail/promtail.yml", promtail),
    Check("filebeat", "filebeat/filebeat.yml", filebeat),
)


def program_path(name: str) -> str | None:
    """The program next to this Python, on PATH, or where Debian puts programs of root."""
    if name == "docker-compose" and (docker := _docker_with_compose()):
        return docker
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")
    return shutil.which(name, path=os.pathsep.join(places))


def _docker_with_compose() -> str | None:
    """Current docker has compose as a plugin; Debian 12 has the older program."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    done = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    return docker if done.returncode == 0 else None


def results() -> Iterator[tuple[Check, str | None]]:
    """Each check with "" if the file is right, the program's message if not, or None without the program."""
    for check in CHECKS:
        program = program_path(check.program)
        if program is None:
            yield check, None
            continue
        with tempfile.TemporaryDirectory(prefix="feexpay-deploy-") as folder:
            try:
                check.run(Path(folder), program)
            except WrongFileError as error:
                yield check, str(error) or "refused without a message"
            else:
                yield check, ""


def main() -> int:
    wrong = False
    for check, message in results():
        if message is None:
            print(f"– {check.files}: NOT CHECKED, {check.program} is not installed")
        elif message:
            wrong = True
            print(f"✘ {check.files}: {check.program} says\n{message}")
        else:
            print(f"✔ {check.files}: {check.program}")
    return 1 if wrong else 0


def _instance(path: Path) -> str:
    """A template is verified as one of its instances."""
    return str(path.with_name(path.name.replace("@.", "@1.")))


def _run(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what the program prints. Raises: WrongFileError with it if the program fails."""
    done = subprocess.run(
        [program, *arguments],
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    printed = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise WrongFileError(printed)
    return printed


if __name__ == "__main__":
    sys.exit(main())
