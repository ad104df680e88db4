"""Checks of the settings for monitors and alerts. No message shows a token or an address of alerts."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from importlib import util

from django_feexpay.checks.messages import Messages, error, everywhere, is_readable, is_valid
from django_feexpay.conf import feexpay
from django_feexpay.monitoring.facts import BY_NAME

_SHORTEST_TOKEN = 24
_LONGEST_WINDOW = timedelta(hours=24)


@everywhere
def monitor_token() -> Messages:
    if any(len(token.reveal()) < _SHORTEST_TOKEN for token in feexpay.monitor_tokens):
        hint = 'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one.'
        yield error(90, f"A token of MONITOR_TOKEN is shorter than {_SHORTEST_TOKEN} characters.", hint)


@everywhere
def monitor_networks() -> Messages:
    if not is_readable(lambda: feexpay.monitor_networks):
        yield error(91, "MONITOR_NETWORKS is not a list of networks.", "For example 10.20.0.0/16, 192.0.2.7/32.")


@everywhere
def thresholds() -> Messages:
    if not is_readable(lambda: feexpay.monitor_thresholds):
        hint = "Write a number by the name of a fact: worker_silent:300,success_rate_low:70."
        yield error(92, "MONITOR_THRESHOLDS is not a list of numbers by name.", hint)
        return
    for name in feexpay.monitor_thresholds:
        if name not in BY_NAME:
            nearest = get_close_matches(name, BY_NAME, n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else f"The facts are {', '.join(BY_NAME)}."
            yield error(92, f"MONITOR_THRESHOLDS: there is no health fact {name!r}.", hint)


@everywhere
def window() -> Messages:
    if not is_valid(lambda: timedelta(minutes=1) <= feexpay.monitor_window <= _LONGEST_WINDOW):
        yield error(93, "MONITOR_WINDOW_MINUTES is not a number from 1 to 1440.", "For example 60.")


@everywhere
def quiet_hours() -> Messages:
    if not is_readable(lambda: feexpay.alert_quiet_hours):
        hint = 'Write two times of day in the time zone of the project: "22:00-06:00"; "" for no quiet hours.'
        yield error(94, "ALERT_QUIET_HOURS is not a period of the day.", hint)


@everywhere
def alert_package() -> Messages:
    if feexpay.alert_urls and util.find_spec("apprise") is None:
        yield error(95, "ALERT_URLS needs the package apprise.", "pip install 'django-feexpay[alerts]'")
