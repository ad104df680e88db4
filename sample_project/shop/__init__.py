"""A small game shop that sells coins: how a host project uses django_feexpay."""

from __future__ import annotations
