"""Counters in the database, for hosts whose cache cannot count atomically (see `django_feexpay.counters`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models, router, transaction
from django.utils.translation import gettext_lazy as _

from django_feexpay import conf, isolation
from django_feexpay.models.primary import PrimaryQuerySet

#: A caller that writes a new row deletes at most this many expired rows.
_DROPPED_AT_ONCE = 100

_SET_FIRST = """
INSERT INTO feexpay_counter (key, value, expires_at) VALUES (%s, %s, %s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
WHERE feexpay_counter.expires_at <= %s
"""
_INCREASE = """
INSERT INTO feexpay_counter (key, value, expires_at) VALUES (%s, %s, %s)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value + CASE WHEN feexpay_counter.expires_at > %s THEN feexpay_counter.value ELSE 0 END,
  expires_at = CASE WHEN feexpay_counter.expires_at > %s THEN feexpay_counter.expires_at ELSE excluded.expires_at END
"""


_CounterRows = models.Manager.from_queryset(PrimaryQuerySet)


class CounterManager(_CounterRows["Counter"]):
    """`counters.Counters` over the table. Reads the primary database: a replica lags."""

    def read(self, keys: Iterable[str]) -> Mapping[str, int]:
        return dict(self._live(conf.now()).filter(pk__in=list(keys)).values_list("pk", "value"))

    def set_first(self, key: str, value: int, seconds: float) -> bool:
        now = conf.now()
        with isolation.read_committed(self._alias), connections[self._alias].cursor() as cursor:
            cursor.execute(
                _SET_FIRST, [key, value, self._adapted(now + timedelta(seconds=seconds)), self._adapted(now)]
            )
            taken: bool = cursor.rowcount == 1
        if taken:
            self.drop_expired(now)
        return taken

    def increase(self, key: str, seconds: float, by: int = 1) -> int:
        now = conf.now()
        at = self._adapted(now)
        # The row stays locked until the commit, so this caller reads what it wrote.
        alias = self._alias
        with isolation.read_committed(alias), transaction.atomic(alias), connections[alias].cursor() as cursor:
            cursor.execute(_INCREASE, [key, by, self._adapted(now + timedelta(seconds=seconds)), at, at])
            cursor.execute("SELECT value FROM feexpay_counter WHERE key = %s", [key])
            value: int = cursor.fetchone()[0]
        return value

    def keep(self, key: str, seconds: float) -> None:
        now = conf.now()
        self._live(now).filter(pk=key).update(expires_at=now + timedelta(seconds=seconds))

    def forget(self, keys: Iterable[str]) -> None:
        self.using(self._alias).filter(pk__in=list(keys)).delete()

    def written_with(self, prefix: str, now: datetime) -> list[tuple[datetime, int]]:
        """The expiry and the value of each counter whose key begins with `prefix`."""
        return list(self._live(now).filter(pk__startswith=prefix).values_list("expires_at", "value"))

    def drop_expired(self, now: datetime) -> None:
        """Delete some expired rows. Rows locked by another caller are skipped, so that no two callers deadlock."""
        with transaction.atomic(self._alias):
            expired = self.using(self._alias).filter(expires_at__lte=now).select_for_update(skip_locked=True)
            keys = list(expired.order_by().values_list("pk", flat=True)[:_DROPPED_AT_ONCE])
            if keys:
                self.forget(keys)

    def _live(self, now: datetime) -> models.QuerySet[Counter]:
        return self.using(self._alias).filter(expires_at__gt=now)

    @property
    def _alias(self) -> str:
        return router.db_for_write(self.model)

    def _adapted(self, at: datetime) -> Any:
        return connections[self._alias].ops.adapt_datetimefield_value(at)


class Counter(models.Model):
    """One counter, ignored after `expires_at`. Losing it weakens a limit and loses no payment."""

    key = models.CharField(_("key"), max_length=200, primary_key=True)
    value = models.BigIntegerField(_("value"))
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    objects = CounterManager()

    class Meta:
        verbose_name = _("counter")
        verbose_name_plural = _("counters")
        default_permissions = ()
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.key
