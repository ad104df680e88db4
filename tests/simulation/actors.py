"""What the actors may do next: the moves of payers, FeexPay, the worker, staff, and of what disturbs them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db.models import Model, QuerySet

from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Discrepancy, Incident, Payment, Provider, Refund
from django_feexpay.payments import incidents, order_release, refunds, reviews
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import discrepancies
from django_feexpay.privacy import erasure, subjects
from tests.api.caller import Caller, initiate_body
from tests.payments.fake_gateway import SUCCESSFUL, Charge
from tests.payments.strategies import REQUEST_CASES, RequestCase
from tests.simulation.background import Background
from tests.simulation.world import Move, ViolationError, World

Row = TypeVar("Row", bound=Model)

#: Orders of one seed. More of them make each step slower, and meet no more of each other.
MOST_ORDERS = 10
#: How long an idempotency key is promised to lead to its payment.
KEYS_LIVE = timedelta(hours=72)


@dataclass
class Order:
    """What a payer buys. `keys`: what the app got for each idempotency key, and when; None: no answer yet."""

    payer: int
    name: str
    case: RequestCase
    body: dict[str, Any]
    keys: dict[str, tuple[str, datetime] | None] = field(default_factory=dict)
    payments: list[str] = field(default_factory=list)


class Payers:
    """The payers and their app, which calls the HTTP API as the Kivy client does."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random
        self._callers = [Caller(user) for user in world.payers]
        self.orders: list[Order] = []

    def moves(self) -> Iterator[Move]:
        if len(self.orders) < MOST_ORDERS:
            yield Move(6, self._order)
        if self.orders:
            yield Move(3, self._tap_again)
            yield Move(3, self._tap_with_another_key)
        if any(order.payments for order in self.orders):
            yield Move(3, self._read_status)
            yield Move(3, self._retry)
            yield Move(1, self._read_history)
        if "code later" in self._world.faults.cases:
            yield Move(5, self._give_code)
        if self._world.gateway.charges:
            yield Move(7, self._answer_prompt)
        if self._world.gateway.open_page_numbers:
            yield Move(3, self._pay_page)

    # --- the app ------------------------------------------------------------------------------------------

    def _order(self) -> bool:
        payer, name = self._random.randrange(len(self._callers)), f"order-{len(self.orders) + 1}"
        if payer in self._world.erased:
            return False
        case = REQUEST_CASES[self._random.choice(self._world.faults.cases)]
        body = initiate_body(**{"phone": None, **case.order, "merchant_reference": name})
        if "phone" in body:
            body["phone"] = _number_of(payer, str(body["phone"]))
        order = Order(payer, name, case, body)
        self.orders.append(order)
        self._initiate(order, self._new_key(order))
        return True

    def _tap_again(self) -> bool:
        order = self._random.choice(self.orders)
        if order.payer in self._world.erased:
            return False
        self._initiate(order, self._random.choice(list(order.keys)))
        return True

    def _tap_with_another_key(self) -> bool:
        order = self._random.choice(self.orders)
        if order.payer in self._world.erased:
            return False
        self._initiate(order, self._new_key(order))
        return True

    def _new_key(self, order: Order) -> str:
        key = f"{order.name}-key-{len(order.keys) + 1}"
        order.keys[key] = None
        return key

    def _initiate(self, order: Order, key: str) -> None:
        caller = self._callers[order.payer]

        def call() -> str:
            response = caller.post("initiate/", order.body, headers={"Idempotency-Key": key})
            return self._learn(order, key, response)

        self._world.begin(f"initiate {order.name} with {key}", "web", call)

    def _learn(self, order: Order, key: str, response: Any) -> str:
        answer = response.json()
        pk = answer.get("id") if response.status_code < 300 else None
        if pk is not None:
            known, now = order.keys[key], self._world.clock.at
            if known is not None and known[0] != pk and now - known[1] < KEYS_LIVE and not _is_erased(known[0]):
                raise ViolationError(f"I9 {key} led to {known[0]}, and now to {pk}")
            order.keys[key] = (pk, known[1] if known and known[0] == pk else now)
        for named in (pk, answer.get("payment_id")):
            if named is not None and named not in order.payments:
                order.payments.append(named)
        return _summary(response)

    def _known(self) -> tuple[Order, str]:
        order = self._random.choice([order for order in self.orders if order.payments])
        return order, self._random.choice(order.payments)

    def _read_status(self) -> None:
        order, pk = self._known()
        self._call(order, "GET", f"{pk}/status/")

    def _read_history(self) -> None:
        order, _ = self._known()
        self._call(order, "GET", "history/")

    def _retry(self) -> None:
        order, pk = self._known()
        body: dict[str, Any] = {}
        if order.case.another_phone and self._random.random() < 0.4:
            body["phone"] = _number_of(order.payer, order.case.another_phone)
        if "otp" in order.case.order:
            body["otp"] = order.case.order["otp"]
        headers = {"Idempotency-Key": f"{pk}-retry"} if self._random.random() < 0.3 else {}
        self._call(order, "POST", f"retry/{pk}/", body, headers)

    def _give_code(self) -> bool:
        waiting = self._waiting_for_a_code()
        if not waiting:
            return False
        attempt = self._random.choice(waiting)
        order = next(order for order in self.orders if order.name == attempt.payment.merchant_reference)
        for _ in range(self._random.choice([1, 1, 2])):
            self._call(order, "POST", f"{attempt.payment_id}/otp/", {"otp": "314159"})
        return True

    def _call(
        self, order: Order, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> None:
        caller = self._callers[order.payer]

        def call() -> str:
            return _summary(caller.get(path) if method == "GET" else caller.post(path, body, headers=headers))

        self._world.begin(f"{method} {path} of {order.name}", "web", call)

    # --- the payer's phone and browser --------------------------------------------------------------------

    def _waiting_for_a_code(self) -> list[Attempt]:
        waiting = Attempt.objects.filter(otp_required=True, status=Status.PENDING).select_related("payment")
        names = {order.name for order in self.orders}
        return [
            attempt for attempt in waiting.order_by("created_at", "pk") if attempt.payment.merchant_reference in names
        ]

    def _open_charges(self) -> list[Charge]:
        """The charges that a payer can approve or decline: prompts, redirects and pages, also long after the expiry."""
        gateway = self._world.gateway
        return [charge for charge in gateway.charges if gateway.may_be_paid(charge)]

    def _answer_prompt(self) -> bool:
        gateway, open_ = self._world.gateway, self._open_charges()
        if not open_:
            return False
        charge = self._random.choice(open_)
        if self._random.random() < 0.7:
            self._world.note(f"the payer approves {charge.reference}{gateway.approve(charge)}")
        else:
            gateway.decline(charge)
            self._world.note(f"the payer declines {charge.reference}")
        return True

    def _pay_page(self) -> None:
        """Also a page that is paid already: the same browser tab, opened again."""
        gateway = self._world.gateway
        number = self._random.choice(gateway.open_page_numbers)
        attempt = Attempt.objects.filter(pk=gateway.pages[number]["custom_id"]).first()
        if attempt is None or attempt.expires_at <= self._world.clock.at:
            gateway.open_page_numbers.remove(number)
            return
        if attempt.redirect_url != gateway.page_url(number):
            return  # its address was never shown, because its sender died or has not written it yet
        charge = gateway.pay_page(number)
        self._world.note(f"a card is entered on page {number} as {charge.reference}")


class FeexPay:
    """What FeexPay does by itself: webhooks, outages, reversals."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random
        self._caller = Caller()

    def moves(self) -> Iterator[Move]:
        faults, gateway = self._world.faults, self._world.gateway
        if any(webhook.not_before <= self._world.clock.at for webhook in gateway.webhooks):
            yield Move(6, self.deliver_webhook)
        if faults.forged_rate:
            yield Move(10 * faults.forged_rate, self._forge_webhook)
        if faults.read_fault_rate:
            yield Move(2 * faults.read_fault_rate, self._go_away)
            yield Move(4 * faults.read_fault_rate, self._answer_malformed)
            yield Move(faults.read_fault_rate, self._cut_history)
        if faults.reversal_rate and self._paid():
            yield Move(10 * faults.reversal_rate, self._take_back)

    def deliver_webhook(self) -> None:
        """Deliver one that is due, in any order."""
        due = [webhook for webhook in self._world.gateway.webhooks if webhook.not_before <= self._world.clock.at]
        webhook = self._random.choice(due)
        self._world.gateway.webhooks.remove(webhook)
        self._post(webhook.body)

    def _forge_webhook(self) -> None:
        words = ["SUCCESSFUL", "FAILED", "REVERSED", "PENDING", "?"]
        body: dict[str, Any] = {"status": self._random.choice(words), "amount": self._random.choice([1, 5000])}
        known = [charge.reference for charge in self._world.gateway.charges]
        body["reference"] = self._random.choice([*known, "made-up"])
        if self._random.random() < 0.3:
            attempts = list(Attempt.objects.order_by("created_at", "pk").values_list("pk", flat=True))
            body["callback_info"] = str(self._random.choice(attempts)) if attempts else "another"
        self._post(body)

    def _post(self, body: dict[str, Any]) -> None:
        named = f"{body.get('reference')} {body.get('status')}"
        self._world.begin(f"webhook {named}", "web", lambda: _summary(self._caller.post("webhook/", body)))

    def _go_away(self) -> None:
        seconds = self._random.choice([5, 60, 900, 7200])
        self._world.gateway.outage_until = self._world.clock.at + timedelta(seconds=seconds)
        self._world.note(f"FeexPay is away for {seconds} s")

    def _answer_malformed(self) -> None:
        self._world.gateway.malformed_reads()

    def _cut_history(self) -> None:
        self._world.gateway.history_is_cut = not self._world.gateway.history_is_cut

    def _paid(self) -> list[Charge]:
        return [charge for charge in self._world.gateway.charges if charge.status == SUCCESSFUL]

    def _take_back(self) -> None:
        charge = self._random.choice(self._paid())
        self._world.gateway.take_back(charge)
        self._world.note(f"FeexPay takes {charge.reference} back: {charge.status}")


class Staff:
    """Two persons in the admin. They decide by chance: the package must refuse what would lose money."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random

    def moves(self) -> Iterator[Move]:
        yield Move(1.5, self._close_review)
        yield Move(1, self._close_incident)
        yield Move(2, self._approve_refund)
        yield Move(0.3, self._refund)
        yield Move(0.3, self._release)
        yield Move(0.1, self._erase)
        yield Move(0.2, self._close_discrepancy)
        yield Move(0.3, self._switch_provider)

    def _person(self) -> dict[str, Any]:
        person: User = self._random.choice(self._world.staff)
        return {"actor": str(person.pk), "source": Source.ADMIN}

    def _begin(self, name: str, work: Callable[[], object]) -> bool:
        def done() -> str:
            work()
            return "done"

        self._world.begin(name, "staff", done)
        return True

    def _any(self, rows: QuerySet[Row]) -> Row | None:
        """One of the rows, which have an order; None if there is none."""
        found = list(rows)
        return self._random.choice(found) if found else None

    def _any_payment(self) -> Payment | None:
        return self._any(Payment.objects.order_by("created_at", "pk"))

    def _close_review(self) -> bool:
        attempt = self._any(Attempt.objects.filter(status=Status.REVIEW).order_by("created_at", "pk"))
        if attempt is None:
            return False
        pk, person = attempt.payment_id, self._person()
        decision = self._random.choice(["credit_taken", "credit_price", "not_paid"])
        approve = self._random.random() < 0.4
        return self._begin(
            f"closes the review of {self._world.name_of(pk)}: {decision}{', as the second person' if approve else ''}",
            lambda: reviews.close(pk, decision, reason="seen in the account", approve=approve, **person),
        )

    def _close_incident(self) -> bool:
        incident = self._any(Incident.objects.filter(closed_at=None).order_by("opened_at", "pk"))
        if incident is None:
            return False
        resolution, person = self._random.choice(incidents.RESOLUTIONS[Incident.Kind(incident.kind)]), self._person()

        def close() -> None:
            charge = refunds.charge_of(incident.payment_id, incident.pk)
            if resolution == Incident.Resolution.REFUNDED and charge.owed > charge.proposed:
                given = {"amount": charge.owed - charge.proposed, "way": "cash", "reason": "sent back"}
                refunds.record(incident.payment_id, incident_id=incident.pk, **given, **person)
            incidents.close(incident.pk, "done by phone", resolution=str(resolution), **person)

        return self._begin(f"closes the {incident.kind} of {incident.gateway_reference}: {resolution}", close)

    def _refund(self) -> bool:
        payment, person = self._any_payment(), self._person()
        if payment is None:
            return False
        amount = self._random.choice([1, payment.charged_amount or 1])
        given = {"amount": amount, "way": "cash", "reason": "asked for it"}
        name = f"refunds {amount} of {self._world.name_of(payment.pk)}"
        return self._begin(name, lambda: refunds.record(payment.pk, **given, **person))

    def _approve_refund(self) -> bool:
        refund, person = self._any(Refund.objects.filter(state=Refund.State.PROPOSED).order_by("pk")), self._person()
        if refund is None:
            return False
        return self._begin("approves a refund", lambda: refunds.approve(refund.pk, reason="agreed", **person))

    def _release(self) -> bool:
        payment, person = self._any_payment(), self._person()
        if payment is None:
            return False
        name = f"releases {self._world.name_of(payment.pk)}"
        return self._begin(name, lambda: order_release.release(payment.pk, reason="wants to pay again", **person))

    def _erase(self) -> bool:
        """A payer who asks for it, and who buys nothing more."""
        number = self._random.randrange(len(self._world.payers))
        self._world.erased.add(number)
        user: User = self._world.payers[number]
        subject, person = subjects.of_user(user.username), self._person()
        return self._begin(f"erases {user.username}", lambda: erasure.erase(subject, reason="asked for it", **person))

    def _close_discrepancy(self) -> bool:
        row = self._any(Discrepancy.objects.still_open().order_by("pk"))
        if row is None:
            return False
        return self._begin(f"closes discrepancy {row.identity}", lambda: discrepancies.close(row.pk, "known"))

    def _switch_provider(self) -> None:
        code = self._random.choice(["mtn_bj", "moov_bj", "visa"])
        enabled = self._random.random() < 0.7
        Provider.objects.filter(code=code).update(enabled=enabled)
        self._world.note(f"staff switches {code} {'on' if enabled else 'off'}")


class Disturbance:
    """Kills, flushes of the cache, clocks that jump, and time that passes."""

    def __init__(self, world: World, background: Background) -> None:
        self._world, self._random, self._background = world, world.random, background

    def moves(self) -> Iterator[Move]:
        yield Move(3, self._let_time_pass)
        yield Move(0.2, self._flush_cache)
        if self._world.faults.kill_rate and self._world.scheduler.paused:
            yield Move(1, self._kill)
        if self._world.faults.clock_jumps:
            yield Move(0.5, self._jump)

    def _let_time_pass(self) -> None:
        """No call lasts for minutes, so the tasks under way end first."""
        self._world.drain()
        self._world.clock.advance(self._random.choice([30, 61, 600, 901, 3601, 21_600, 90_000]))

    def _flush_cache(self) -> None:
        cache.clear()
        self._world.note("the cache is flushed")

    def _kill(self) -> None:
        processes = sorted({task.process for task in self._world.scheduler.paused})
        self._world.kill(self._random.choice(processes))

    def _jump(self) -> None:
        """The clock goes wrong or is corrected, always by less than a minute, which other processes must bear."""
        ahead = self._random.choice([0, 10, 55])
        self._world.clock.run_ahead(ahead)
        self._world.note(f"the clock is {ahead} s ahead")


def choose(source: random.Random, moves: list[Move]) -> Move:
    return source.choices(moves, [move.weight for move in moves])[0]


def _is_erased(payment_id: str) -> bool:
    """Whether the payer of a payment was erased, and their idempotency keys with them."""
    return Payment.objects.get(pk=payment_id).is_erased


def _number_of(payer: int, number: str) -> str:
    """A number of this payer: the last digit is theirs."""
    return f"{number[:-2]}{int(number[-2:]) + 2 * payer}"


def _summary(response: Any) -> str:
    answer = response.json()
    if response.status_code >= 400:
        return f"{response.status_code} {answer['code']}"
    words = [str(response.status_code), *(str(answer[name]) for name in ("status", "detail") if name in answer)]
    return " ".join(words)
