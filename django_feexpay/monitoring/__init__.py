"""Health checks, the diagnosis of `feexpay_doctor`, and the route of the webhook."""

from __future__ import annotations
