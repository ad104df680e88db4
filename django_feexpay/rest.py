"""For a host's own DRF views: the strict input, the problems and the rate limit of our API.

Name `django_feexpay.api.parsers.StrictJSONParser` and `django_feexpay.api.errors.exception_handler` in REST_FRAMEWORK.
"""

from __future__ import annotations

from django_feexpay.api.errors import Unavailable
from django_feexpay.api.filters import refuse_unknown
from django_feexpay.api.inputs import StrictInput, StrictString
from django_feexpay.problems import problem_response, server_error
from django_feexpay.rate_limit import wait_seconds

__all__ = [
    "StrictInput",
    "StrictString",
    "Unavailable",
    "problem_response",
    "refuse_unknown",
    "server_error",
    "wait_seconds",
]
