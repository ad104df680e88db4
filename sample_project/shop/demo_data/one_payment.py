"""The rows of one made-up payment, written as the package would have written them one after the other."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.lifecycle import LIVE, Status, public
from django_feexpay.models import (
    Attempt,
    Credit,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Provider,
    StaffAction,
    WebhookDelivery,
)
from shop.demo_data.people import People, Player
from shop.demo_data.rows import Rows
from shop.models import CoinEntry, CoinPack
from shop.orders import coins_for

Signal = OutboxMessage.Signal
Source = PaymentEvent.Source

EXPIRY = timedelta(minutes=15)
_DOLLARS_IN_FRANCS = Decimal(600)
#: Idempotency keys are kept for three days.
_KEYS_KEPT = timedelta(days=3)
_HALF_AN_HOUR, _A_DAY = timedelta(minutes=30), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class World:
    """What all made-up payments share."""

    now: datetime
    chance: random.Random
    people: People
    providers: Mapping[str, Provider]
    packs: list[CoinPack]
    rows: Rows

    def new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.chance.getrandbits(128), version=4)

    def seconds(self, shortest: float, longest: float) -> timedelta:
        return timedelta(seconds=self.chance.uniform(shortest, longest))

    def next_poll(self, status: Status, age: timedelta) -> datetime:
        """When the worker would poll an undecided attempt of that age next."""
        longest = _A_DAY if status in LIVE else max(_A_DAY, age / 7)
        if age < _HALF_AN_HOUR:
            longest = timedelta(minutes=5)
        elif age < _A_DAY:
            longest = timedelta(minutes=15)
        return self.now + longest * self.chance.uniform(0.3, 0.9)

    def staff_action(
        self, action: StaffAction.Action, role: str, at: datetime, target: Any = None, **more: Any
    ) -> None:
        """Add a row to the audit list."""
        actor, name = self.people.staff[role]
        fields = {"action": action, "actor": actor, "actor_name": name, "source": Source.ADMIN, "created_at": at}
        self.rows.staff_actions.append((fields | more, target))


class OnePayment:
    """A payment and what happened to it. `at`: the time of the newest thing that happened."""

    def __init__(self, world: World, at: datetime, number: int, provider: str, player: Player) -> None:
        self.world, self.at, self.player = world, at, player
        self.is_card = provider != player.provider
        row = world.providers[provider]
        amount, currency, metadata, text = self._price(row)
        in_dollars = currency == "USD"
        franc = row.spec.currency
        charged = money.convert(amount, currency, franc, _DOLLARS_IN_FRANCS) if in_dollars else amount
        self.payment = Payment(
            id=world.new_id(),
            user=player.user,
            provider=row,
            amount=amount,
            currency=currency,
            charged_amount=charged,
            charged_currency=franc,
            exchange_rate=_DOLLARS_IN_FRANCS if in_dollars else None,
            fee=int(charged * row.fee_percent / 100),
            merchant_reference=f"CMD-{number:07}",
            description=text,
            metadata=metadata,
            language="fr",
            created_at=at,
            updated_at=at,
        )
        self.attempt = self.start("started")
        world.rows.payments.append(self.payment)
        if at > world.now - _KEYS_KEPT:
            self._remember_key()

    def _price(self, provider: Provider) -> tuple[int, str, dict[str, Any], str]:
        """Amount, currency, metadata and description: a pack, or a free top-up."""
        chance, franc = self.world.chance, provider.spec.currency
        if self.is_card and chance.random() < 0.5:
            return chance.choice((200, 500, 1000, 2500)), "USD", {}, ""
        if chance.random() < 0.8:
            pack = chance.choices(self.world.packs, (45, 30, 18, 7)[: len(self.world.packs)])[0]
            return pack.price, franc, {"pack": pack.code}, f"{pack.coins} coins"
        return chance.choice((300, 1000, 1500, 3000, 7500, 15_000, 25_000)), franc, {}, ""

    def _remember_key(self) -> None:
        key = self.payment.idempotency_key = str(self.world.new_id())
        self.world.rows.idempotency.append(
            IdempotencyRecord(
                user=self.player.user,
                key=key,
                fingerprint=hashlib.sha256(key.encode()).hexdigest(),
                payment=self.payment,
                answer_status=201,
                answer_body={"id": str(self.payment.pk), "status": "pending"},
                created_at=self.payment.created_at,
            )
        )

    # --- attempts and their events ---------------------------------------------------------------------

    def start(self, because: str) -> Attempt:
        """A new attempt, being sent."""
        player, payment = self.player, self.payment
        known = {} if self.is_card else _number_of(player)
        ordinal = 1 if payment.latest_attempt_id is None else self.attempt.ordinal + 1
        attempt = Attempt(
            id=self.world.new_id(),
            payment=payment,
            ordinal=ordinal,
            status=Status.SENDING,
            amount=payment.charged_amount,
            sought_by_echo=self.is_card,
            sent_at=self.at,
            expires_at=self.at + EXPIRY,
            created_at=self.at,
            updated_at=self.at,
            **known,
        )
        payment.latest_attempt = self.attempt = attempt
        self.world.rows.attempts.append(attempt)
        self._event(attempt, "", because, source=Source.API, actor=str(player.user.pk))
        self._follow(attempt)
        return attempt

    def accepted(self) -> None:
        """FeexPay accepted the newest attempt; a card has no reference before its page was used."""
        self.at += self.world.seconds(0.3, 2.5)
        if self.is_card:
            self.move(self.attempt, Status.PENDING, "page_opened", source=Source.API)
            return
        self.attempt.gateway_reference = str(self.world.new_id())
        self.move(self.attempt, Status.PENDING, "accepted", source=Source.API, evidence={"word": Word.PENDING})

    def confirmed(self, attempt: Attempt) -> None:
        """FeexPay said that it was paid."""
        attempt.gateway_reference = attempt.gateway_reference or str(self.world.new_id())
        self._delivery(attempt, "SUCCESSFUL")
        attempt.reason_code = ""
        evidence = self.evidence(attempt, Word.SUCCESSFUL, attempt.amount)
        event = self.move(attempt, Status.SUCCESSFUL, "confirmed", evidence=evidence)
        self.credited(attempt, event, attempt.amount)

    def failed(self, attempt: Attempt, code: str) -> None:
        """FeexPay said that it was not paid."""
        attempt.gateway_reference = attempt.gateway_reference or str(self.world.new_id())
        attempt.reason_code = code
        self._delivery(attempt, "FAILED")
        self.move(attempt, Status.FAILED, "failed", evidence=self.evidence(attempt, Word.FAILED, attempt.amount))

    def move(
        self,
        attempt: Attempt,
        to_status: Status,
        because: str,
        *,
        source: Source = Source.WORKER,
        actor: str = "",
        note: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> PaymentEvent:
        """As `ledger.move`: the status, its event, the status of the payment and its signals."""
        before, was = attempt.status, public(Status(self.payment.status))
        settled_at = None if public(to_status).value == "pending" else self.at
        attempt.status, attempt.updated_at, attempt.settled_at = to_status, self.at, settled_at
        attempt.poll_count += source == Source.WORKER
        attempt.last_polled_at = self.at if source == Source.WORKER else attempt.last_polled_at
        attempt.next_poll_at = None
        if to_status in {*LIVE, Status.EXPIRED, Status.REVIEW}:
            attempt.next_poll_at = self.world.next_poll(to_status, self.world.now - attempt.created_at)
        event = self._event(attempt, before, because, source=source, actor=actor, note=note, evidence=evidence)
        self._follow(attempt)
        if was.value == "pending" and public(Status(self.payment.status)).value == "failed":
            self.signal(Signal.FAILED)
        if to_status is Status.REVIEW:
            self.signal(Signal.NEEDS_REVIEW)
        return event

    def credited(self, attempt: Attempt, event: PaymentEvent, amount: int) -> None:
        """As the ledger: the credit and the signals; for a second charge an incident instead."""
        payment, rows = self.payment, self.world.rows
        if payment.status == Status.SUCCESSFUL:
            self.incident(Incident.Kind.DUPLICATE_CHARGE, attempt, attempt.gateway_reference or "", amount)
            return
        was_told = any(row.payment is payment and row.signal == Signal.FAILED for row in rows.messages[-4:])
        rows.credits.append(
            Credit(
                payment=payment,
                attempt=attempt,
                event=event,
                amount=amount,
                currency=payment.charged_currency,
                created_at=self.at,
            )
        )
        payment.status, payment.updated_at, payment.settled_at = Status.SUCCESSFUL, self.at, self.at
        message = self.signal(Signal.SUCCEEDED)
        if was_told:
            self.signal(Signal.SUCCEEDED_LATE)
        if message.delivered_at is not None:
            self._coins(message, amount)

    def incident(self, kind: Incident.Kind, attempt: Attempt, reference: str, amount: int) -> Incident:
        """A charge that staff must correct, with its signal."""
        payment = self.payment
        credited = next(row.attempt for row in reversed(self.world.rows.credits) if row.payment is payment)
        incident = Incident(
            kind=kind,
            payment=payment,
            attempt=attempt,
            gateway_reference=reference,
            credited_reference=credited.gateway_reference or "",
            amount=amount,
            currency=payment.charged_currency,
            opened_at=self.at,
        )
        self.world.rows.incidents.append(incident)
        double = kind is Incident.Kind.DUPLICATE_CHARGE
        self.signal(Signal.DUPLICATE_CHARGE if double else Signal.REVERSED)
        return incident

    def signal(self, signal: OutboxMessage.Signal, event_id: uuid.UUID | None = None) -> OutboxMessage:
        """A message to the shop, delivered; one of the last two hours may still be waiting because the shop failed."""
        world = self.world
        waits = self.at > world.now - timedelta(hours=2) and world.chance.random() < 0.05
        message = OutboxMessage(
            event_id=event_id or world.new_id(),
            payment=self.payment,
            signal=signal,
            created_at=self.at,
            delivery_count=3 if waits else 1,
            delivered_at=None if waits else self.at + timedelta(seconds=1),
            next_delivery_at=world.now + timedelta(minutes=10) if waits else None,
            last_error="OperationalError" if waits else "",
        )
        world.rows.messages.append(message)
        return message

    def evidence(self, attempt: Attempt, word: Word, amount: int | None) -> dict[str, Any]:
        """What an event keeps of FeexPay's answer."""
        return {
            "word": word,
            "reference": attempt.gateway_reference,
            "echo_matches": True,
            "amount": amount,
            "currency": self.payment.charged_currency,
            "asked_for": attempt.amount,
            "fee": self.payment.fee,
        }

    # --- parts of the above ----------------------------------------------------------------------------

    def _event(
        self,
        attempt: Attempt,
        before: str,
        because: str,
        *,
        source: Source,
        actor: str = "",
        note: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> PaymentEvent:
        event = PaymentEvent(
            payment=self.payment,
            attempt=attempt,
            from_status=before,
            to_status=attempt.status,
            because=because,
            source=source,
            actor=actor,
            note=note,
            evidence=dict(evidence or {}),
            created_at=self.at,
        )
        self.world.rows.events.append(event)
        return event

    def _follow(self, attempt: Attempt) -> None:
        """The payment has the status of its newest attempt until it is credited."""
        payment = self.payment
        if payment.status == Status.SUCCESSFUL or attempt is not payment.latest_attempt:
            return
        if attempt.status == Status.SUCCESSFUL:
            return
        payment.status, payment.updated_at, payment.settled_at = attempt.status, self.at, attempt.settled_at

    def _delivery(self, attempt: Attempt, word: str) -> None:
        """The webhook that came just before; one in forty is lost."""
        reference = attempt.gateway_reference or ""
        if self.world.chance.random() < 0.025:
            return
        self.world.rows.deliveries.append(
            WebhookDelivery(
                dedupe_key=hashlib.sha256(f"{reference}{word}".encode()).hexdigest(),
                gateway_reference=reference,
                reported_status=word,
                attempt=attempt,
                body={"reference": reference, "status": word, "amount": attempt.amount},
                repeat_count=int(self.world.chance.random() < 0.04),
                received_at=self.at - timedelta(milliseconds=400),
            )
        )

    def _coins(self, message: OutboxMessage, amount: int) -> None:
        code = self.payment.metadata.get("pack")
        pack = next((row for row in self.world.packs if row.code == code), None)
        if amount < self.payment.charged_price:
            pack = None
        self.world.rows.coins.append(
            CoinEntry(
                player=self.player.user,
                coins=pack.coins if pack else coins_for(amount),
                payment=self.payment,
                pack=pack,
                event_id=message.event_id,
                created_at=self.at,
            )
        )


def _number_of(player: Player) -> dict[str, Any]:
    return {
        "masked_msisdn": player.msisdn.masked,
        "msisdn_hash": player.msisdn_hash,
        "msisdn_sealed": player.msisdn_sealed,
    }
