"""The provider list is cached for all users, and renewed at once after a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_feexpay import cache_state
from django_feexpay.api import provider_list as module
from django_feexpay.api.filters import ProviderQuery
from django_feexpay.api.provider_list import ProviderList, provider_list
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.models import Provider
from django_feexpay.payments.admission import circuit_breaker
from tests.api.caller import Caller
from tests.payments.fakes import Clock
from tests.payments.threads import at_once

ALL = ProviderQuery()
Render = Callable[[ProviderQuery, str], tuple[ProviderList, int]]


def rows(caller: Caller, language: str = "en", **query: str) -> dict[str, dict[str, Any]]:
    answer = caller.get("providers/", {"Accept-Language": language}, **query)
    return {row["code"]: row for row in answer.json()}


def fail_calls(operation: str = "collect", provider: str | None = "mtn_bj") -> None:
    for _ in range(5):
        circuit_breaker.record(
            CallSeen(operation=operation, outcome="not_sent", seconds=0.0, provider_code=provider, error=NotSentError())
        )


@pytest.fixture
def renderings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ProviderQuery, str]]:
    """The query and language of each rendering."""
    made: list[tuple[ProviderQuery, str]] = []
    real: Render = module._render

    def render(query: ProviderQuery, language: str) -> tuple[ProviderList, int]:
        made.append((query, language))
        return real(query, language)

    monkeypatch.setattr(module, "_render", render)
    return made


@pytest.mark.django_db
def test_hit_costs_no_statement(renderings: list[Any]) -> None:
    provider_list(ALL, "en")

    with CaptureQueriesContext(connection) as captured:
        for _ in range(99):
            provider_list(ALL, "en")

    assert (len(captured), len(renderings)) == (0, 1)


@pytest.mark.django_db
def test_hit_over_http_reads_none_of_our_tables(caller: Caller) -> None:
    caller.get("providers/")

    with CaptureQueriesContext(connection) as captured:
        caller.get("providers/")

    assert [query["sql"] for query in captured.captured_queries if "feexpay" in query["sql"]] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_fifty_parallel_misses_render_once(renderings: list[Any]) -> None:
    answers = at_once(50, lambda number: provider_list(ALL, "en"))

    assert len(renderings) == 1
    assert all(answer == answers[0] and isinstance(answer, ProviderList) for answer in answers)


@pytest.mark.django_db
def test_waiting_process_uses_the_list_of_the_other(renderings: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the lock, and stores the list a moment later."""
    theirs = ProviderList(b"[]", 'W/"theirs"', 60)
    monkeypatch.setattr(cache_state, "put_first", lambda *args, **kwargs: False)

    def store_list(seconds: float) -> None:
        version = cache_state.version(cache_state.PROVIDERS)
        cache_state.put(f"providers:{version}:{module.__version__}:en:::", theirs, 60)

    monkeypatch.setattr(module.time, "sleep", store_list)

    assert provider_list(ALL, "en") == theirs
    assert renderings == []


@pytest.mark.django_db
def test_process_renders_itself_if_the_other_died(renderings: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_state, "put_first", lambda *args, **kwargs: False)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)

    assert json.loads(provider_list(ALL, "en").body)
    assert len(renderings) == 1


@pytest.mark.django_db
def test_each_filter_and_language_has_its_own_entry(renderings: list[Any]) -> None:
    for _ in range(2):
        provider_list(ALL, "en")
        provider_list(ALL, "fr")
        provider_list(ProviderQuery(country="BJ"), "en")

    assert len(renderings) == 3


@pytest.mark.django_db
def test_unknown_countries_share_one_entry(caller: Caller, renderings: list[Any]) -> None:
    for country in ("FR", "DE", "US", "ZZ"):
        caller.get("providers/", country=country)

    assert len(renderings) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        lambda: Provider.objects.filter(pk="mtn_bj").update(enabled=False),
        lambda: _save(enabled=False),
        lambda: Provider.objects.bulk_update([_changed()], ["enabled"]),
    ],
    ids=["update", "save", "bulk update"],
)
def test_changed_row_is_visible_at_once(caller: Caller, change: Callable[[], object]) -> None:
    assert rows(caller)["mtn_bj"]["enabled"] is True
    try:
        change()

        assert rows(caller)["mtn_bj"]["enabled"] is False
    finally:
        _save(enabled=True)


@pytest.mark.django_db(transaction=True)
def test_change_is_visible_from_its_commit_on(caller: Caller) -> None:
    """A reader between the change and its commit caches the old rows: the commit must make that copy stale."""
    rows(caller)
    try:
        with transaction.atomic():
            _save(enabled=False)
            at_once(1, lambda number: provider_list(ALL, "en"))

        assert rows(caller)["mtn_bj"]["enabled"] is False
    finally:
        _save(enabled=True)


def _changed() -> Provider:
    provider = Provider.objects.get(pk="mtn_bj")
    provider.enabled = False
    return provider


def _save(*, enabled: bool) -> None:
    provider = Provider.objects.get(pk="mtn_bj")
    provider.enabled = enabled
    provider.save()


# --- circuit breaker ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_failing_provider_is_shown_with_a_reason_in_both_languages(caller: Caller, clock: Clock) -> None:
    rows(caller)
    fail_calls()
    circuit_breaker.record(CallSeen(operation="status", outcome="answered", seconds=0.0, http_status=200))
    clock.advance(1)
    cache_state.drop("breaker:gateway:open")

    english, french = rows(caller), rows(caller, "fr")

    assert (english["mtn_bj"]["enabled"], english["wave_sn"]["unavailable_reason"]) == (False, _own_reason("wave_sn"))
    assert "MTN Mobile Money (Benin) has a problem at the moment" in english["mtn_bj"]["unavailable_reason"]
    assert "MTN Mobile Money (Bénin) rencontre un incident en ce moment" in french["mtn_bj"]["unavailable_reason"]


def _own_reason(code: str) -> str | None:
    provider = Provider.objects.get(pk=code)
    return None if provider.is_available else provider.spec.unavailable_text_en


@pytest.mark.django_db
def test_failing_gateway_disables_every_provider(caller: Caller, clock: Clock) -> None:
    before = rows(caller)["mtn_cm"]["unavailable_reason"]
    fail_calls("history", None)

    after = rows(caller)

    assert [code for code, row in after.items() if row["enabled"]] == []
    assert "FeexPay does not answer" in after["moov_bj"]["unavailable_reason"]
    assert after["mtn_cm"]["unavailable_reason"] == before


@pytest.mark.django_db
def test_provider_is_enabled_again_when_a_probe_is_allowed(caller: Caller, clock: Clock) -> None:
    """Otherwise no payment would be started, and no probe would find that FeexPay works again."""
    fail_calls()
    clock.advance(10)
    shown = caller.get("providers/")
    assert shown.headers["Cache-Control"] == "private, max-age=20"

    clock.advance(20)
    cache_state.invalidate(cache_state.PROVIDERS)  # the cache's clock is real, so its 20 s have not passed

    assert rows(caller)["mtn_bj"]["enabled"] is True


@pytest.mark.django_db
def test_providers_are_enabled_again_when_the_circuit_breaker_closes(caller: Caller, clock: Clock) -> None:
    fail_calls()
    assert rows(caller)["mtn_bj"]["enabled"] is False

    clock.advance(30)
    assert circuit_breaker.wait_seconds("mtn_bj", circuit_breaker.Action.SEND) == 0
    assert rows(caller)["mtn_bj"]["enabled"] is False, "the probe is on its way"
    circuit_breaker.record(
        CallSeen(operation="collect", outcome="answered", seconds=0.0, provider_code="mtn_bj", http_status=200)
    )

    assert rows(caller)["mtn_bj"]["enabled"] is True


@pytest.mark.django_db
def test_start_with_an_open_circuit_breaker_gets_retry_after(caller: Caller, clock: Clock) -> None:
    fail_calls()
    clock.advance(10)

    answer = caller.initiate()

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_unavailable")
    assert answer.headers["Retry-After"] == "20"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("only_the_provider", "language", "words"),
    [
        (True, "en", "MTN Mobile Money (Benin) has a problem at the moment. Please try again soon or choose another"),
        (True, "fr", "MTN Mobile Money (Bénin) rencontre un incident en ce moment."),
        (False, "en", "FeexPay does not answer at the moment. Please try again in a few minutes."),
    ],
)
def test_refusal_names_the_one_in_trouble(
    caller: Caller, clock: Clock, only_the_provider: bool, language: str, words: str
) -> None:
    fail_calls()
    if only_the_provider:
        cache_state.drop("breaker:gateway:open")

    answer = caller.initiate(headers={"Accept-Language": language}).json()

    assert answer["code"] == "gateway_unavailable"
    assert answer["detail"].startswith(words)
    assert answer["detail"].endswith("Rien n'a été débité." if language == "fr" else "Nothing was taken.")


@pytest.mark.django_db
def test_health_names_the_open_circuits(caller: Caller, clock: Clock) -> None:
    fail_calls()
    body = caller.get("health/").json()

    assert (body["status"], body["providers_in_trouble"]) == ("degraded", ["gateway", "mtn_bj"])


# --- without the cache -------------------------------------------------------------------------------


class BrokenCache(LocMemCache):
    """A cache like a Redis that is down: every call raises."""

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis is down")

    get = set = add = incr = get_many = delete_many = delete = get_or_set = _raise


@pytest.mark.django_db
def test_list_works_without_the_cache(
    caller: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache"}}
    monkeypatch.setattr(cache_state, "_availability", cache_state._Availability())

    assert rows(caller)["mtn_bj"]["enabled"] is True
    Provider.objects.filter(pk="mtn_bj").update(enabled=False)

    assert rows(caller)["mtn_bj"]["enabled"] is False
    assert caplog.text.count("the cache does not answer") == 1
