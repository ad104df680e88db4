"""Compare a period with FeexPay's history: nightly, or by command."""

from __future__ import annotations
