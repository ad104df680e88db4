"""What can be changed while the sandbox runs: how it answers, what breaks, and what becomes of its webhooks.

Each switch is one field of `Conditions`, with its reader and its sentence in French and English: the command
line, the control interface, its page and the reference page are all made of these fields. Percentages are of
calls or of webhooks, decided by `seed` and a count, so that the same calls in the same order meet the same
faults again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.networks import BY_SUFFIX, CHOOSABLE_FLOWS, CONTESTED, Flow

GROUPS = ("answers", "shop", "faults", "webhooks")

#: What faults can be limited to.
OPERATIONS = ("collect", "status", "history", "balance", "link", "payout", "other")

Reader = Callable[[object], object]


class ConditionError(ValueError):
    """A condition that does not exist, or a value it cannot have; says which and why."""


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind) and not isinstance(value, bool)


def whole(least: int, most: int) -> Reader:
    def read(value: object) -> object:
        text = str(value).strip() if _is(int)(value) or _is(str)(value) else ""
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 12:
            raise ConditionError(f"a whole number from {least} to {most}")
        if not least <= int(text) <= most:
            raise ConditionError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _percent(value: object) -> object:
    return _number(value, 100.0)


def seconds(value: object) -> object:
    return _number(value, 1e9)


def _number(value: object, most: float) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0.0 <= number <= most:
        raise ConditionError(f"a number from 0 to {most:g}")
    return number


def _switch(value: object) -> object:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise ConditionError("true or false")


def _code(value: object) -> object:
    if str(value).strip() not in ("200", "201", "202") or isinstance(value, bool):
        raise ConditionError("200, 201 or 202")
    return int(str(value))


def _parts(value: object) -> list[object]:
    """A list, or a text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    raise ConditionError("a list")


def _several(words: tuple[str, ...]) -> Reader:
    def read(value: object) -> object:
        parts = _parts(value)
        if any(part not in words for part in parts):
            raise ConditionError(f"any of {', '.join(words)}")
        return tuple(dict.fromkeys(parts))

    return read


def _one_of(words: tuple[str, ...]) -> Reader:
    def read(value: object) -> object:
        word = str(value).strip().upper()
        if word not in words:
            raise ConditionError(f"one of {', '.join(words)}")
        return word

    return read


def _addresses(value: object) -> object:
    try:
        return tuple(str(ip_address(str(part))) for part in _parts(value))
    except ValueError as error:
        raise ConditionError("IP addresses") from error


def _web_address(value: object) -> object:
    text = value.strip() if isinstance(value, str) else "no text"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if text and (not usable or not text.isprintable() or " " in text):
        raise ConditionError("an http or https address")
    return text


def read_flows(value: object) -> dict[str, Flow]:
    """`{"orange_sn": "otp"}`, or the text `orange_sn=otp,moov_bf=push`."""
    if isinstance(value, str):
        value = dict(_pair(part) for part in value.split(",") if part.strip())
    flows: dict[str, Flow] = {}
    for suffix, wish in value.items() if isinstance(value, Mapping) else [("", "")]:
        flow = next((one for one in CHOOSABLE_FLOWS if one == wish), None)
        if suffix not in CONTESTED or flow is None:
            raise ConditionError(f"one of {', '.join(CONTESTED)}, each with one of {', '.join(CHOOSABLE_FLOWS)}")
        flows[suffix] = flow
    return flows


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def _condition(default: object, group: str, read: Reader, fr: str, en: str) -> Any:
    metadata = {"group": group, "read": read, "fr": fr, "en": en}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


_SUFFIXES = tuple(BY_SUFFIX)
_CHARGED_ERROR_CODES = ("400", "429", "500", "503")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The switches as they are now."""

    success_code: int = _condition(
        200, "answers", _code, "Code HTTP d'une demande acceptée.", "HTTP code of an accepted request to collect."
    )
    flows: dict[str, Flow] = _condition(
        {},
        "answers",
        read_flows,
        "Parcours des réseaux dont les sources se contredisent, comme orange_sn=otp.",
        "Flows of the networks that sources differ on, as orange_sn=otp.",
    )
    moov_synchronous: bool = _condition(
        False,
        "answers",
        _switch,
        "Moov Bénin ne répond qu'une fois le choix du payeur fait.",
        "Moov Benin answers only when the payer has chosen.",
    )
    in_pending_state: bool = _condition(
        False,
        "answers",
        _switch,
        "Un paiement en attente se dit IN PENDING STATE.",
        "A pending payment is said to be IN PENDING STATE.",
    )
    status_unknown_seconds: float = _condition(
        0.0,
        "answers",
        seconds,
        "Durée pendant laquelle un nouveau paiement reste inconnu (404) du statut, en secondes.",
        "How long the status does not know a new payment (404), in seconds.",
    )
    duplicate_seconds: float = _condition(
        0.0,
        "answers",
        seconds,
        "Durée pendant laquelle la même demande est refusée, ERR_DUPLICATE_TRANSACTION, en secondes.",
        "How long the same number, network and amount are refused, ERR_DUPLICATE_TRANSACTION, in seconds.",
    )
    celtiis_down: bool = _condition(
        False,
        "answers",
        _switch,
        "Celtiis répond 400 Celtiis BJ API Error.",
        "Celtiis answers 400 Celtiis BJ API Error.",
    )
    v1_status: bool = _condition(
        False,
        "answers",
        _switch,
        "L'ancien statut v1 répond, sans clé.",
        "The old v1 status answers, without a key.",
    )
    shop_disabled: bool = _condition(
        False, "shop", _switch, "La boutique est désactivée (404).", "The shop is disabled (404)."
    )
    not_activated: tuple[str, ...] = _condition(
        (),
        "shop",
        _several(_SUFFIXES),
        "Réseaux absents du contrat (404 channel not configured).",
        "Networks missing from the contract (404 channel not configured).",
    )
    blocked: tuple[str, ...] = _condition(
        (), "shop", _several(_SUFFIXES), "Réseaux bloqués (403 ACCESS_DENIED).", "Networks blocked (403 ACCESS_DENIED)."
    )
    maintenance: tuple[str, ...] = _condition(
        (),
        "shop",
        _several(_SUFFIXES),
        "Réseaux en maintenance (503 NETWORK_UNAVAILABLE).",
        "Networks under maintenance (503 NETWORK_UNAVAILABLE).",
    )
    allowed_addresses: tuple[str, ...] = _condition(
        (),
        "shop",
        _addresses,
        "Adresses IP admises pour les versements; vide\u00a0: toutes (403 IP_NOT_ALLOWED).",
        "IP addresses let in for payouts; empty lets everybody in (403 IP_NOT_ALLOWED).",
    )
    addresses_for_all: bool = _condition(
        False,
        "shop",
        _switch,
        "La liste d'adresses vaut pour tous les appels.",
        "The list of addresses covers every call.",
    )
    payouts_enabled: bool = _condition(
        True, "shop", _switch, "Les versements sont ouverts.", "Payouts are open (else ERR_PAYOUT_NOT_ENABLED)."
    )
    opening_balance: int = _condition(
        0,
        "shop",
        whole(0, 10**9),
        "Solde de départ de chaque réseau.",
        "What the balance of each network starts with.",
    )
    history_fails: bool = _condition(
        False,
        "shop",
        _switch,
        "L'export d'historique échoue, sans webhook.",
        "The asynchronous history fails, without a webhook.",
    )
    seed: int = _condition(
        0, "faults", whole(0, 10**9), "Graine du hasard des pannes.", "Seed of everything given in percent."
    )
    fault_calls: tuple[str, ...] = _condition(
        (),
        "faults",
        _several(OPERATIONS),
        "Appels qui peuvent tomber en panne; vide\u00a0: tous.",
        "Calls that may fail; empty is all of them.",
    )
    latency_percent: float = _condition(
        0.0, "faults", _percent, "Réponses lentes, en pourcent.", "Slow answers, in percent."
    )
    latency_seconds: float = _condition(
        20.0, "faults", seconds, "Durée d'une réponse lente, en secondes.", "How slow, in seconds."
    )
    reset_percent: float = _condition(
        0.0, "faults", _percent, "Connexions coupées, en pourcent.", "Connections reset, in percent."
    )
    error_500_percent: float = _condition(
        0.0, "faults", _percent, "Erreurs 500 en JSON, en pourcent.", "500 in JSON, in percent."
    )
    html_502_percent: float = _condition(
        0.0, "faults", _percent, "Erreurs 502 en HTML, en pourcent.", "502 in HTML, in percent."
    )
    error_503_percent: float = _condition(
        0.0,
        "faults",
        _percent,
        "Erreurs 503 sans code FeexPay, en pourcent.",
        "503 without FeexPay's code, in percent.",
    )
    rate_limit_percent: float = _condition(
        0.0, "faults", _percent, "Refus 429, en pourcent.", "429 RATE_LIMIT_EXCEEDED, in percent."
    )
    retry_after_seconds: int = _condition(
        1, "faults", whole(0, 3600), "Retry-After d'un refus 429, en secondes.", "Retry-After of a 429, in seconds."
    )
    truncate_percent: float = _condition(
        0.0, "faults", _percent, "Réponses JSON tronquées, en pourcent.", "JSON cut in half, in percent."
    )
    charged_error_percent: float = _condition(
        0.0,
        "faults",
        _percent,
        "Demandes acceptées dont la réponse est une erreur, en pourcent.",
        "Accepted requests to collect that are answered by an error all the same, in percent.",
    )
    charged_error_codes: tuple[str, ...] = _condition(
        _CHARGED_ERROR_CODES,
        "faults",
        _several(_CHARGED_ERROR_CODES),
        "Codes HTTP d'une telle erreur.",
        "HTTP codes of such an error; one of them is drawn.",
    )
    charged_error_named_percent: float = _condition(
        0.0,
        "faults",
        _percent,
        "Erreurs de ce genre qui donnent la référence et l'état du paiement, en pourcent.",
        "Such errors that name the payment by its reference and status, in percent.",
    )
    charged_twice_percent: float = _condition(
        0.0,
        "faults",
        _percent,
        "Paiements débités une seconde fois sous le même écho, en pourcent.",
        "Paid payments that are charged a second time under the same echo, in percent.",
    )
    reversed_percent: float = _condition(
        0.0,
        "faults",
        _percent,
        "Paiements réussis puis repris, en pourcent.",
        "Paid payments that are taken back later, in percent.",
    )
    reversed_after_seconds: float = _condition(
        20.0,
        "faults",
        seconds,
        "Délai avant qu'un paiement soit repris, en secondes.",
        "How long after it was paid a payment is taken back, in seconds.",
    )
    reversed_status: str = _condition(
        scenarios.REVERSED,
        "faults",
        _one_of(scenarios.TAKEN_BACK),
        "État d'un paiement repris.",
        "The status of a payment that was taken back.",
    )
    webhook_url: str = _condition(
        "",
        "webhooks",
        _web_address,
        "Où vont les webhooks; vide : où l'option de départ l'a dit.",
        "Where webhooks go; empty is where the option of the start said.",
    )
    webhook_on_failure: bool = _condition(
        True, "webhooks", _switch, "Annoncer aussi les échecs.", "Failures are announced, too."
    )
    webhook_v1: bool = _condition(
        False,
        "webhooks",
        _switch,
        "Forme v1\u00a0: numéro en nombre, sans ref_operator.",
        "The v1 look: the phone as a number, no ref_operator.",
    )
    webhook_before_answer: bool = _condition(
        False,
        "webhooks",
        _switch,
        "Un webhook arrive avant la réponse à la demande.",
        "A webhook arrives before the answer to the request to collect.",
    )
    webhook_delay_seconds: float = _condition(
        0.0, "webhooks", seconds, "Retard de chaque webhook, en secondes.", "How late every webhook is, in seconds."
    )
    webhook_lost_percent: float = _condition(
        0.0, "webhooks", _percent, "Webhooks perdus, en pourcent.", "Webhooks lost, in percent."
    )
    webhook_duplicate_percent: float = _condition(
        0.0, "webhooks", _percent, "Webhooks en double, en pourcent.", "Webhooks sent twice, in percent."
    )
    webhook_disorder_percent: float = _condition(
        0.0,
        "webhooks",
        _percent,
        "Webhooks suivis d'une nouvelle plus ancienne, en pourcent.",
        "Webhooks followed by older news, in percent.",
    )
    webhook_forged_percent: float = _condition(
        0.0,
        "webhooks",
        _percent,
        "Webhooks accompagnés d'un faux, en pourcent.",
        "Webhooks with a forged one beside them, in percent.",
    )
    webhook_unknown_percent: float = _condition(
        0.0,
        "webhooks",
        _percent,
        "Webhooks accompagnés d'une référence inconnue, en pourcent.",
        "Webhooks with one of an unknown reference beside them, in percent.",
    )


def every_condition() -> dict[str, Field[Any]]:
    return {one.name: one for one in fields(Conditions)}


def changed(conditions: Conditions, wishes: Mapping[str, object]) -> Conditions:
    """`conditions` with `wishes` (JSON values, or the texts of a form); `ConditionError` names what is wrong."""
    known, values = every_condition(), {}
    for name, wish in wishes.items():
        if name not in known:
            raise ConditionError(f"there is no condition {name!r}")
        try:
            values[name] = known[name].metadata["read"](wish)
        except ConditionError as error:
            raise ConditionError(f"{name} must be {error}") from error
    return replace(conditions, **values)


def as_json(conditions: Conditions) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(conditions).items()}


def as_text(value: object) -> str:
    """A value as a form shows it and `changed` reads it again."""
    if isinstance(value, dict):
        return ",".join(f"{name}={flow}" for name, flow in value.items())
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


class Memory(Protocol):
    """Where changes are kept over a restart."""

    def remember(self, name: str, value: str) -> None: ...

    def remembered(self, name: str) -> str: ...


class FaultSettings:
    """The conditions of one sandbox: those it was started with, and what was changed since, also before a restart."""

    def __init__(self, memory: Memory, at_start: Conditions) -> None:
        self._memory = memory
        self._at_start = at_start
        self.now = changed(at_start, json.loads(memory.remembered("conditions") or "{}"))

    def change(self, wishes: Mapping[str, object]) -> None:
        """All of the wishes or, with `ConditionError`, none."""
        self.now = changed(self.now, wishes)
        news = {name: value for name, value in as_json(self.now).items() if value != as_json(self._at_start)[name]}
        self._memory.remember("conditions", json.dumps(news))

    def reset(self) -> None:
        """Back to the conditions of the start."""
        self.now = self._at_start
        self._memory.remember("conditions", "{}")
