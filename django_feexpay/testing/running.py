"""A sandbox process for tests that need FeexPay on a real socket.

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

# Delays are a hundred times shorter: a scripted payer takes 20 ms instead of 2 s.
QUICK = 0.01

# Generous, for a machine that is busy with other tests.
_TIMEOUT_SECONDS = 30


@dataclass(slots=True)
class RunningSandbox:
    """A sandbox that accepts connections. `base_url`: its root. `api_url`: the value for `FEEXPAY["BASE_URL"]`."""

    process: subprocess.Popen[str]
    base_url: str
    ready_line: str
    session: requests.Session

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api"

    @property
    def feexpay(self) -> dict[str, str]:
        """The keys of the dict FEEXPAY that point at this sandbox."""
        return {"ENVIRONMENT": "development", "BASE_URL": self.api_url, "API_KEY": API_KEY, "SHOP_ID": SHOP_ID}

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.base_url + path, timeout=_TIMEOUT_SECONDS, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.base_url + path, timeout=_TIMEOUT_SECONDS, **options)

    def payments(self, echo: str | None = None) -> list[dict[str, Any]]:
        """Every payment, newest first; with `echo`, only those with this `callback_info` or `custom_id`."""
        rows: list[dict[str, Any]] = self._listing(echo)["payments"]
        return rows

    def prompts(self, echo: str | None = None) -> int:
        """How often payers were prompted."""
        count: int = self._listing(echo)["prompts"]
        return count

    def charges(self, echo: str | None = None) -> int:
        """How often payers were charged."""
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

    def force(self, reference: str, status: str, **fields: Any) -> dict[str, Any]:
        """Set any status. `fields`: reason, paid_amount, webhook (False sends none)."""
        return self._control(f"payments/{reference}/force", {"status": status} | fields)

    def reverse(self, reference: str, **fields: Any) -> dict[str, Any]:
        """Give the money of a paid payment back. `fields`: status (REVERSED, REFUNDED, CANCELLED, FAILED), webhook."""
        return self._control(f"payments/{reference}/reverse", fields)

    def charge_again(self, reference: str, **fields: Any) -> dict[str, Any]:
        """Charge the payer of a paid payment a second time; the new payment. `fields`: webhook (False sends none)."""
        return self._control(f"payments/{reference}/charge_again", fields)

    def send_webhook(self, reference: str, **fields: Any) -> dict[str, Any]:
        """Send a webhook, true or forged. `fields`: status, amount, reference, delay_seconds, count, signed."""
        return self._control(f"payments/{reference}/webhook", fields)

    def change(self, **settings: Any) -> dict[str, Any]:
        """Change fault settings until `reset`: its answers, faults and webhooks."""
        return self._control("conditions", settings)

    def links(self, custom_id: str) -> list[dict[str, Any]]:
        """The hosted links with this `custom_id`, newest first."""
        answer = self.get("/control/links", params={"custom_id": custom_id})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["links"]
        return found

    def play_link(self, code: str, choice: str, **form: str) -> dict[str, Any]:
        """Press a button on the page of a link: pay, fail, cancel, expire. `form`: method, ending, phone."""
        return self._control(f"links/{code}/{choice}", form)

    def run_scripts(self) -> None:
        """Let every payer with a magic number decide now, instead of after the number's delay."""
        self._control("run_scripts")

    def reset(self) -> None:
        """Forget every payment and every changed setting."""
        self._control("reset")

    def stop(self) -> int:
        """Stop it with SIGTERM; its exit code."""
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
        result: dict[str, Any] = answer.json()
        return result


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
    """Run a sandbox for the block. `options`: further command-line options. `port` 0 takes a free one.

    Raises RuntimeError when it does not start.
    """
    command = [sys.executable, *program, f"--port={port}", f"--time-scale={time_scale}"]
    if webhook_url:
        command.append(f"--webhook-url={webhook_url}")
    if state is not None:
        command.append(f"--state={state}")
    process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- our own program
    with process, requests.Session() as session:
        session.trust_env = False
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+(?=/api )", line)
            if found is None:
                raise RuntimeError(
                    f"the sandbox did not start ({line.strip() or 'its error is above'});"
                    " is its extra installed? pip install 'django-feexpay[sandbox]'"
                )
            yield RunningSandbox(process, found[0], line.rstrip("\n"), session)
        finally:
            process.kill()
