"""Live status: a payment as Server-Sent Events, for the API and for the checkout.

`streaming` makes the response of one stream. All streams of a process share one `hub`, which reads the payments that
changed; `listeners` tell the hub which ones.
"""

from __future__ import annotations

from django_feexpay.live_status.streaming import stream

__all__ = ["stream"]
