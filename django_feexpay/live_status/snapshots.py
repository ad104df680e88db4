"""A payment at one instant, as the frame that its event streams send."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import translation

from django_feexpay.etags import etag
from django_feexpay.models import Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments.payer_options import next_poll_seconds

#: Makes the body of an event from a payment that `read_payments()` returned.
Render = Callable[[Payment], Mapping[str, Any]]

#: A settled payment changes rarely, and its streams end soon.
_SETTLED_SECONDS = 60
_AT_ONCE = 200


class View(NamedTuple):
    """How some readers of a payment see it. Readers with equal views share one rendering."""

    render: Render
    language: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`tag`: the event's id. `user_id`: the owner, so that a stream ends when its payer is erased."""

    tag: str
    frame: bytes
    is_settled: bool
    read_again_seconds: int
    user_id: Any


def snapshot(payment: Payment, view: View) -> Snapshot:
    """Render a payment for the readers of one view."""
    with translation.override(view.language):
        body = view.render(payment)
    tag = etag(body)
    seconds = next_poll_seconds(payment)
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Snapshot(
        tag=tag,
        frame=f"id: {tag}\ndata: {data}\n\n".encode(),
        is_settled=seconds is None,
        read_again_seconds=_SETTLED_SECONDS if seconds is None else seconds,
        user_id=payment.user_id,
    )


def read_snapshots(wanted: Mapping[UUID, Collection[View]]) -> dict[UUID, dict[View, Snapshot]]:
    """The present snapshots of these payments, one for each view: one statement for up to 200 payments."""
    found, ids = {}, list(wanted)
    for start in range(0, len(ids), _AT_ONCE):
        for payment in read_payments().filter(pk__in=ids[start : start + _AT_ONCE]):
            found[payment.pk] = {view: snapshot(payment, view) for view in wanted[payment.pk]}
    return found
