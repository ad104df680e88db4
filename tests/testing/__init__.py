"""Tests of `django_feexpay.testing`, the test tools for host projects, used as a host uses them."""

from __future__ import annotations
