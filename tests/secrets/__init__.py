"""Secrets from files, AWS Secrets Manager and Vault, and their rotation without a restart."""

from __future__ import annotations
