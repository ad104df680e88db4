"""Rotate FIELD_KEYS and HASH_KEY: encrypt and hash again, with the first key of each, what an older key made.

Rows are taken in batches, each in its own short transaction. A row that a payment holds at that moment is left for the
next pass, so no payment waits and nothing can deadlock. What is done stays done: a run that was killed continues where
it stopped, because only rows of an older key are looked for.
A keyed hash can only be made again from the number, and the number is erased some time after the payment is settled.
Such a hash is replaced if the same number is still known from another attempt. Otherwise it stays as it is: it can be
found as long as its key is listed, and `erase_old_hashes` removes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.apps import apps
from django.db import connection, models, transaction
from django.db.models import BinaryField, F, QuerySet, Value
from django.db.models.functions import Concat, Substr
from django.utils.translation import gettext as _

from django_feexpay import crypto
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.models import Attempt, IdempotencyRecord, PromptLift
from django_feexpay.models.fields import Sealed, SealedField, hash_msisdn, msisdn_hashes
from django_feexpay.models.primary import write_columns
from django_feexpay.payments import staff_actions
from django_feexpay.payments.ledger import Source

logger = logging.getLogger("django_feexpay.privacy")

#: Few enough that a payment never waits long for one of these rows.
BATCH = 200
#: Rows that payments held are tried again in at most this many passes.
PASSES = 5

Model = TypeVar("Model", bound=models.Model)
#: Called after each batch with what was processed and the rows done so far.
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Rotation:
    """What a run did, in rows. `unreadable`: no key of FIELD_KEYS decrypts them."""

    encrypted: int = 0
    hashed: int = 0
    erased: int = 0
    unreadable: int = 0
    left: dict[str, int] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        return self.encrypted + self.hashed + self.erased


def rows_of_old_keys() -> dict[str, int]:
    """How many rows carry an older key, by what they hold; only what there is. Reads the tables, writes nothing.

    `hashes of erased numbers`: they cannot be made again, see above.
    """
    counts: dict[str, int] = {}
    for model in _sealed_models():
        for name in _sealed_names(model):
            column = model._meta.get_field(name).verbose_name  # type: ignore[union-attr]  # one of concrete_fields
            counts[f"{model._meta.verbose_name_plural}: {column}"] = _sealed_with_old_key(model, name).count()
    old = _hashed_with_old_key(Attempt.objects.all())
    counts[str(_("hashes of numbers"))] = old.filter(msisdn_sealed__isnull=False).count()
    counts[str(_("hashes of erased numbers"))] = old.filter(msisdn_sealed=None).count()
    return {what: count for what, count in counts.items() if count}


def rotate(*, batch: int = BATCH, progress: Progress = lambda what, done: None) -> Rotation:
    """Encrypt and hash all rows of older keys again.

    Changes: encrypted columns, keyed hashes, and one StaffAction if there was something to do. Run it while payments
    go on. Safe to repeat: yes.
    """
    done = Rotation()
    for _round in range(PASSES):
        before, done.unreadable = done.changed, 0
        for model in _sealed_models():
            _rotate_model(model, done, batch, progress)
        if done.changed == before:
            break
    _name_the_key_of_old_hashes(done, batch, progress)
    return _recorded(done)


def erase_old_hashes(*, batch: int = BATCH, progress: Progress = lambda what, done: None) -> Rotation:
    """Erase the hashes of older keys whose number is erased, after such a key became known to others.

    Those payments can then no longer be found by their number; the masked number stays.
    Changes: Attempt, and one StaffAction if there was something to do. Safe to repeat: yes.
    """
    done = Rotation()
    for rows in _batches(_hashed_with_old_key(Attempt.objects.filter(msisdn_sealed=None)), batch):
        done.erased += Attempt.objects.filter(pk__in=rows, msisdn_sealed=None).update(msisdn_hash="")
        progress("hashes erased", done.erased)
    return _recorded(done)


def _recorded(done: Rotation) -> Rotation:
    done.left = rows_of_old_keys()
    if done.changed:
        staff_actions.record(
            staff_actions.Action.ROTATE_KEYS,
            actor="feexpay_rotate_keys",
            source=Source.COMMAND,
            detail={
                "encrypted": done.encrypted,
                "hashed": done.hashed,
                "erased": done.erased,
                "unreadable": done.unreadable,
                "left": sum(done.left.values()),
                "field_key": crypto.key_id(feexpay.field_keys[0]),
                "hash_key": crypto.key_id(feexpay.hash_keys[0]),
            },
        )
    return done


# --- which rows ---------------------------------------------------------------------------------------


def _sealed_models() -> list[type[models.Model]]:
    """The models with encrypted columns, found so that a new one needs no line here."""
    return [model for model in apps.get_app_config("feexpay").get_models() if _sealed_names(model)]


def _sealed_names(model: type[models.Model]) -> list[str]:
    return [column.name for column in model._meta.concrete_fields if isinstance(column, SealedField)]


def _sealed_with_old_key(model: type[models.Model], name: str) -> QuerySet[Any]:
    prefix = crypto.prefix_of(feexpay.field_keys[0]).encode()
    beginning = Substr(name, 1, len(prefix), output_field=BinaryField())
    rows: QuerySet[Any] = model._default_manager.alias(**{f"{name}_key": beginning})
    return rows.filter(**{f"{name}__isnull": False}).exclude(**{f"{name}_key": prefix})


def _hashed_with_old_key(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.exclude(msisdn_hash="").exclude(msisdn_hash__startswith=crypto.prefix_of(feexpay.hash_keys[0]))


def _batches(rows: QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """The primary keys of `rows` in batches, in ascending order.

    Rows that stop matching meanwhile cause no other row to be skipped.
    """
    last = None
    while True:
        rest = rows if last is None else rows.filter(pk__gt=last)
        batch = list(rest.order_by("pk").values_list("pk", flat=True)[:size])
        if not batch:
            return
        yield batch
        last = batch[-1]


def _locked(rows: QuerySet[Model]) -> QuerySet[Model]:
    """Lock the rows that no other transaction holds. SQLite has one writer anyway.

    They are locked without an order: the order of attempts would join their payments and lock these too.
    """
    rows = rows.order_by()
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True, no_key=True)
    return rows


# --- one batch ----------------------------------------------------------------------------------------


def _rotate_model(model: type[models.Model], done: Rotation, batch: int, progress: Progress) -> None:
    what = str(model._meta.verbose_name_plural)
    for name in _sealed_names(model):
        for chosen in _batches(_sealed_with_old_key(model, name), batch):
            with transaction.atomic():
                _encrypt_again(list(_locked(model._default_manager.filter(pk__in=chosen))), name, done)
            progress(what, done.changed)
    if model is Attempt:
        for chosen in _batches(_hashed_with_old_key(Attempt.objects.filter(msisdn_sealed__isnull=False)), batch):
            with transaction.atomic():
                done.hashed += _hash_again(_locked(Attempt.objects.filter(pk__in=chosen)))
            progress(what, done.changed)


def _encrypt_again(rows: list[Any], name: str, done: Rotation) -> None:
    """Encrypt one column of these rows, which are locked, with the first key."""
    changed, unreadable = [], 0
    for row in rows:
        sealed: Sealed | None = getattr(row, name)
        try:
            rotated = sealed.rotated() if sealed else None
        except crypto.UnreadableError:
            unreadable += 1
            continue
        if rotated is not None:
            setattr(row, name, rotated)
            changed.append(row)
    if changed:
        write_columns(type(changed[0]), [name], [(getattr(row, name), row.pk) for row in changed])
    if unreadable:
        logger.error("no key of FIELD_KEYS decrypts %s of %d rows of %s", name, unreadable, rows[0]._meta.model_name)
    done.encrypted += len(changed)
    done.unreadable += unreadable


def _hash_again(attempts: QuerySet[Attempt]) -> int:
    """Replace the old hashes of these attempts' numbers in all rows that hold them; return how many attempts."""
    replaced: dict[str, str] = {}
    for attempt in attempts:
        if msisdn := _msisdn_of(attempt):
            replaced |= dict.fromkeys(msisdn_hashes(msisdn), hash_msisdn(msisdn))
    replaced = {old: new for old, new in replaced.items() if old != new}
    if not replaced:
        return 0
    of_these = {"msisdn_hash__in": replaced}
    # The index leaves out empty hashes, and of more than a hundred texts PostgreSQL does not see that none is empty.
    indexed = Attempt.objects.exclude(msisdn_hash="").filter(**of_these)
    free = list(_locked(indexed).values_list("msisdn_hash", "pk"))
    lifts = list(PromptLift.objects.filter(**of_these).values_list("msisdn_hash", "pk"))
    for model, rows in ((Attempt, free), (PromptLift, lifts)):
        write_columns(model, ["msisdn_hash"], [(replaced[old], pk) for old, pk in rows])
    return len(free)


def _msisdn_of(attempt: Attempt) -> Msisdn | None:
    try:
        return Msisdn(**attempt.msisdn_sealed.open()) if attempt.msisdn_sealed else None
    except crypto.UnreadableError:
        return None


def _name_the_key_of_old_hashes(done: Rotation, batch: int, progress: Progress) -> None:
    """Put the id of the oldest key before hashes from the time when hashes had none.

    Without it, after the key was removed, nothing would tell that they are of that key.
    """
    prefix = crypto.prefix_of(feexpay.hash_keys[-1])
    for model, name in ((Attempt, "msisdn_hash"), (PromptLift, "msisdn_hash"), (IdempotencyRecord, "fingerprint")):
        nameless = model._default_manager.exclude(**{name: ""}).exclude(**{f"{name}__contains": ":"})
        for chosen in _batches(nameless, batch):
            rows = nameless.filter(pk__in=chosen)
            done.hashed += rows.update(**{name: Concat(Value(prefix), F(name))})
            progress("hashes", done.hashed)
