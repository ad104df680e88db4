"""A real SMTP server on a socket, which can refuse, fail and stop."""

from __future__ import annotations

import email
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

from tests import servers


class MailServer:
    """Keeps the messages that it accepted. Its port stays the same while it is stopped and started."""

    def __init__(self) -> None:
        self.port = servers.free_port()
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        #: The answer to RCPT TO, "" to accept.
        self.refusal = ""
        self._controller: Controller | None = None

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's name
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.recipients.append(list(envelope.rcpt_tos))
        self.messages.append(message)
        return "250 OK"

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=60)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def only(self) -> EmailMessage:
        (message,) = self.messages
        return message


def part(message: EmailMessage, kind: str) -> str:
    """The body of a message as `plain` or `html`."""
    body = message.get_body(preferencelist=(kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def subject(message: EmailMessage) -> str:
    """The subject without the space at which a long one is folded."""
    return str(message["Subject"]).strip()
