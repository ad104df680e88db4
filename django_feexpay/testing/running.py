"""The sandbox as a process of its own, for any test that needs a FeexPay on a real socket.

with run_sandbox(webhook_url=…) as sandbox:
    settings.FEEXPAY["BASE_URL"] = sandbox.api_url
    …
    sandbox.approve(reference)
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

API_KEY = "test_sandbox_key"
SHOP_ID = "SANDBOXSHOP0001"

# Delays a hundred times shorter: a payer takes 20 ms, 90 s become 0.9 s.
QUICK = 0.01

# A machine that is busy with other tests answers late.
_TIMEOUT_SECONDS = 30


@dataclass(slots=True)
class RunningSandbox:
    """One sandbox that accepts connections. `base_url` is its root, `api_url` what `FEEXPAY["BASE_URL"]` takes."""

    process: subprocess.Popen[str]
    base_url: str
    ready_line: str
    session: requests.Session

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api"

    @property
    def feexpay(self) -> dict[str, str]:
        """What the dict FEEXPAY needs to speak to it."""
        return {"ENVIRONMENT": "development", "BASE_URL": self.api_url, "API_KEY": API_KEY, "SHOP_ID": SHOP_ID}

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.base_url + path, timeout=_TIMEOUT_SECONDS, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.base_url + path, timeout=_TIMEOUT_SECONDS, **options)

    def payments(self, echo: str | None = None) -> list[dict[str, Any]]:
        """What was collected, newest first; with `echo`, only what carries this `callback_info` or `custom_id`."""
        rows: list[dict[str, Any]] = self._listing(echo)["payments"]
        return rows

    def prompts(self, echo: str | None = None) -> int:
        """How often a payer was asked."""
        count: int = self._listing(echo)["prompts"]
        return count

    def charges(self, echo: str | None = None) -> int:
        """How often money was taken from a payer."""
        count: int = self._listing(echo)["charges"]
        return count

    def approve(self, reference: str) -> dict[str, Any]:
        return self._control(f"payments/{reference}/approve")

    def decline(self, reference: str) -> dict[str, Any]:
        return self._control(f"payments/{reference}/decline")

    def expire(self, reference: str) -> dict[str, Any]:
        return self._control(f"payments/{reference}/expire")

    def resend(self, reference: str) -> dict[str, Any]:
        return self._control(f"payments/{reference}/resend")

    def force(self, reference: str, status: str, **wishes: Any) -> dict[str, Any]:
        """Any status over any other. `wishes`: reason, paid_amount, webhook (False sends none)."""
        return self._control(f"payments/{reference}/force", {"status": status} | wishes)

    def reverse(self, reference: str, **wishes: Any) -> dict[str, Any]:
        """Take the money of a paid payment back. `wishes`: status (REVERSED, REFUNDED, CANCELLED, FAILED), webhook."""
        return self._control(f"payments/{reference}/reverse", wishes)

    def charge_again(self, reference: str, **wishes: Any) -> dict[str, Any]:
        """Charge the payer of a paid payment a second time; the new payment. `wishes`: webhook (False sends none)."""
        return self._control(f"payments/{reference}/charge_again", wishes)

    def send_webhook(self, reference: str, **wishes: Any) -> dict[str, Any]:
        """A webhook as wished: status, amount, reference, delay_seconds, count, signed."""
        return self._control(f"payments/{reference}/webhook", wishes)

    def change(self, **conditions: Any) -> dict[str, Any]:
        """How it answers, breaks and sends webhooks from now on, until `reset`."""
        return self._control("conditions", conditions)

    def links(self, custom_id: str) -> list[dict[str, Any]]:
        """The hosted links with this `custom_id`, newest first."""
        answer = self.get("/control/links", params={"custom_id": custom_id})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["links"]
        return found

    def play_link(self, code: str, choice: str, **form: str) -> dict[str, Any]:
        """On the page of a link: pay, fail, cancel, expire. `form`: method, ending, phone."""
        return self._control(f"links/{code}/{choice}", form)

    def run_scripts(self) -> None:
        """Let every payer with a magic number decide now, instead of after the number's delay."""
        self._control("run_scripts")

    def reset(self) -> None:
        """Forget every payment and every changed setting."""
        self._control("reset")

    def stop(self) -> int:
        """Ends it as a supervisor would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_TIMEOUT_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=_TIMEOUT_SECONDS)

    def _listing(self, echo: str | None) -> dict[str, Any]:
        answer = self.get("/control/payments", params={} if echo is None else {"echo": echo})
        answer.raise_for_status()
        listing: dict[str, Any] = answer.json()
        return listing

    def _control(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.post(f"/control/{path}", json=body or {})
        if answer.status_code >= 400:
            raise requests.HTTPError(f"{answer.status_code} for {path}: {answer.text}", response=answer)
        told: dict[str, Any] = answer.json()
        return told


@contextmanager
def run_sandbox(
    *options: str,
    webhook_url: str = "",
    time_scale: float = QUICK,
    state: Path | None = None,
    port: int = 0,
    environment: dict[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "django_feexpay.sandbox"),
) -> Iterator[RunningSandbox]:
    """Promise: inside the block a sandbox accepts connections; afterwards its process is gone.

    `options` are further command-line options. `port` 0 takes a free one. `RuntimeError` when it does not start,
    with what it said.
    """
    command = [sys.executable, *program, f"--port={port}", f"--time-scale={time_scale}"]
    if webhook_url:
        command.append(f"--webhook-url={webhook_url}")
    if state is not None:
        command.append(f"--state={state}")
    # Our own program and our own options: nothing a stranger wrote is run.
    process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- see above
    with process, requests.Session() as session:
        session.trust_env = False
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+(?=/api )", line)
            if found is None:
                raise RuntimeError(
                    f"the sandbox did not start ({line.strip() or 'its words are above'});"
                    " is its extra installed? pip install 'django-feexpay[sandbox]'"
                )
            yield RunningSandbox(process, found[0], line.rstrip("\n"), session)
        finally:
            process.kill()
