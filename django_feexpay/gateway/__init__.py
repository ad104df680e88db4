"""FeexPay's wire protocol: requests, replies, signatures, errors. Imports no Django."""

from __future__ import annotations
