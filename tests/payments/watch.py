"""A transport that shows what was asked, and lets something happen before the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from django_feexpay.gateway.transport import Transport, WireReply, WireRequest


@dataclass
class Watch:
    """A transport that notes each question with its deadline. `meanwhile` runs before each answer."""

    inner: Transport
    asked: list[tuple[str, float]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def exchange(self, request: WireRequest) -> WireReply:
        self.asked.append((request.url.rsplit("/", 1)[1], request.timeouts.total))
        self.meanwhile()
        return self.inner.exchange(request)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]
