"""Settings that change while the sandbox runs: answers, faults, webhooks.

Each field of `FaultSettings` carries its reader and its sentence in French and English. The command line, the control
interface, its page and the reference page are all made from these fields.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.networks import BY_SUFFIX, CHOOSABLE_FLOWS, CONTESTED, Flow
from django_feexpay.sandbox.store import Store

GROUPS = ("answers", "shop", "faults", "webhooks")

#: The calls that `fault_calls` may name.
OPERATIONS = ("collect", "status", "history", "balance", "link", "payout", "other")

Reader = Callable[[object], object]


class SettingError(ValueError):
    """An unknown setting or a wrong value; the message says which and why."""


# --- readers: take a JSON value or the text of a form, return a valid value or raise SettingError ------------------


def read_whole(least: int, most: int) -> Reader:
    def read(value: object) -> object:
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(text) <= 12 and least <= int(text) <= most):
            raise SettingError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def read_number(most: float, least: float = 0.0) -> Reader:
    def read(value: object) -> object:
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not least <= number <= most:
            raise SettingError(f"a number from {least:g} to {most:g}")
        return number

    return read


def _read_switch(value: object) -> object:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise SettingError("true or false")


def _items(value: object) -> list[object]:
    """The items of a list or of a text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    raise SettingError("a list")


def _read_words(words: tuple[str, ...]) -> Reader:
    def read(value: object) -> object:
        parts = _items(value)
        if any(part not in words for part in parts):
            raise SettingError(f"any of {', '.join(words)}")
        return tuple(dict.fromkeys(parts))

    return read


def _read_reversed_status(value: object) -> object:
    word = str(value).strip().upper()
    if word not in scenarios.REVERSED_STATUSES:
        raise SettingError(f"one of {', '.join(scenarios.REVERSED_STATUSES)}")
    return word


def _read_addresses(value: object) -> object:
    try:
        return tuple(str(ip_address(str(part))) for part in _items(value))
    except ValueError as error:
        raise SettingError("IP addresses") from error


def is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a broken IPv6 host, or a port that is no number
        return False
    return usable and text.isprintable() and " " not in text


def read_url(value: object) -> object:
    """An http or https address, or ""."""
    text = value.strip() if isinstance(value, str) else "no text"
    if text and not is_http_url(text):
        raise SettingError("an http or https address")
    return text


def _read_flows(value: object) -> dict[str, Flow]:
    """`{"orange_sn": "otp"}`, or the text `orange_sn=otp,moov_bf=push`."""
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.split(",") if part.strip())
        value = {name.strip(): flow.strip() for name, _, flow in pairs}
    flows: dict[str, Flow] = {}
    for suffix, asked in value.items() if isinstance(value, Mapping) else [("", "")]:
        flow = next((one for one in CHOOSABLE_FLOWS if one == asked), None)
        if suffix not in CONTESTED or flow is None:
            raise SettingError(f"one of {', '.join(CONTESTED)}, each with one of {', '.join(CHOOSABLE_FLOWS)}")
        flows[suffix] = flow
    return flows


# --- the settings -----------------------------------------------------------------------------------------------


def _setting(group: str, default: object, read: Reader, fr: str, en: str) -> Any:
    metadata = {"group": group, "read": read, "fr": fr, "en": en}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def _switch(group: str, fr: str, en: str, *, default: bool = False) -> Any:
    return _setting(group, default, _read_switch, fr, en)


def _percent(group: str, fr: str, en: str) -> Any:
    return _setting(group, 0.0, read_number(100.0), fr, en)


def _seconds(group: str, fr: str, en: str, *, default: float = 0.0) -> Any:
    return _setting(group, default, read_number(1e9), fr, en)


def _networks(fr: str, en: str) -> Any:
    return _setting("shop", (), _read_words(tuple(BY_SUFFIX)), fr, en)


_ERROR_CODES = ("400", "429", "500", "503")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """The values in force. Percentages are of calls or of webhooks."""

    # fmt: off
    success_code: int = _setting("answers", 200, read_whole(200, 202),
        "Code HTTP d'une demande acceptée.", "HTTP code of an accepted collect request.")
    flows: dict[str, Flow] = _setting("answers", {}, _read_flows,
        "Parcours des réseaux sur lesquels les sources divergent, par exemple orange_sn=otp.",
        "Flows of the networks that sources disagree on, for example orange_sn=otp.")
    moov_synchronous: bool = _switch("answers",
        "Moov Bénin ne répond qu'après la décision du payeur.", "Moov Benin answers only after the payer has decided.")
    in_pending_state: bool = _switch("answers",
        "Un paiement en attente a le statut IN PENDING STATE.", "A pending payment has the status IN PENDING STATE.")
    status_unknown_seconds: float = _seconds("answers",
        "Durée pendant laquelle le statut d'un nouveau paiement répond 404, en secondes.",
        "How long the status of a new payment answers 404, in seconds.")
    history_late_seconds: float = _seconds("answers",
        "Durée pendant laquelle un nouveau paiement manque dans l'historique, en secondes.",
        "How long a new payment is missing from the history, in seconds.")
    history_object: bool = _switch("answers",
        "L'historique donne un callback_info texte comme un objet.",
        "The history shows a callback_info that was sent as a text as an object.")
    duplicate_seconds: float = _seconds("answers",
        "Durée pendant laquelle la même demande est refusée (ERR_DUPLICATE_TRANSACTION), en secondes.",
        "How long the same number, network and amount are refused (ERR_DUPLICATE_TRANSACTION), in seconds.")
    celtiis_down: bool = _switch("answers",
        "Celtiis répond 400 Celtiis BJ API Error.", "Celtiis answers 400 Celtiis BJ API Error.")
    v1_status: bool = _switch("answers",
        "L'ancien statut v1 répond, sans clé.", "The old v1 status answers, without a key.")
    shop_disabled: bool = _switch("shop", "La boutique est désactivée (404).", "The shop is disabled (404).")
    not_activated: tuple[str, ...] = _networks(
        "Réseaux absents du contrat (404 channel not configured).",
        "Networks missing from the contract (404 channel not configured).")
    blocked: tuple[str, ...] = _networks(
        "Réseaux bloqués (403 ACCESS_DENIED).", "Networks blocked (403 ACCESS_DENIED).")
    maintenance: tuple[str, ...] = _networks(
        "Réseaux en maintenance (503 NETWORK_UNAVAILABLE).", "Networks under maintenance (503 NETWORK_UNAVAILABLE).")
    allowed_addresses: tuple[str, ...] = _setting("shop", (), _read_addresses,
        "Adresses IP autorisées pour les versements (sinon 403 IP_NOT_ALLOWED) ; vide\u00a0: toutes.",
        "IP addresses allowed to send payouts (others: 403 IP_NOT_ALLOWED); empty: all.")
    addresses_for_all: bool = _switch("shop",
        "Cette liste d'adresses vaut pour tous les appels.", "This address list applies to every call.")
    payouts_enabled: bool = _switch("shop",
        "Les versements sont activés (sinon ERR_PAYOUT_NOT_ENABLED).",
        "Payouts are enabled (otherwise ERR_PAYOUT_NOT_ENABLED).", default=True)
    opening_balance: int = _setting("shop", 0, read_whole(0, 10**9),
        "Solde initial de chaque réseau.", "Opening balance of each network.")
    history_fails: bool = _switch("shop",
        "L'export d'historique échoue, sans webhook.", "The asynchronous history fails, without a webhook.")
    seed: int = _setting("faults", 0, read_whole(0, 10**9),
        "Graine aléatoire de tous les pourcentages.", "Random seed of every percentage.")
    fault_calls: tuple[str, ...] = _setting("faults", (), _read_words(OPERATIONS),
        "Appels qui peuvent échouer ; vide\u00a0: tous.", "Calls that may fail; empty: all.")
    latency_percent: float = _percent("faults", "Réponses lentes (%).", "Slow answers (%).")
    latency_seconds: float = _seconds("faults",
        "Durée d'une réponse lente, en secondes.", "Delay of a slow answer, in seconds.", default=20.0)
    reset_percent: float = _percent("faults", "Connexions coupées (%).", "Connections reset (%).")
    error_500_percent: float = _percent("faults", "Erreurs 500 en JSON (%).", "500 in JSON (%).")
    html_502_percent: float = _percent("faults", "Erreurs 502 en HTML (%).", "502 in HTML (%).")
    error_503_percent: float = _percent("faults",
        "Erreurs 503 sans code FeexPay (%).", "503 without FeexPay's code (%).")
    rate_limit_percent: float = _percent("faults", "Refus 429 (%).", "429 RATE_LIMIT_EXCEEDED (%).")
    retry_after_seconds: int = _setting("faults", 1, read_whole(0, 3600),
        "Retry-After d'un refus 429, en secondes.", "Retry-After of a 429, in seconds.")
    truncate_percent: float = _percent("faults", "Réponses JSON tronquées (%).", "JSON cut in half (%).")
    charged_error_percent: float = _percent("faults",
        "Demandes acceptées auxquelles on répond par une erreur (%).",
        "Accepted collect requests answered with an error (%).")
    charged_error_codes: tuple[str, ...] = _setting("faults", _ERROR_CODES, _read_words(_ERROR_CODES),
        "Codes HTTP d'une telle erreur.", "HTTP codes of such an error; one is chosen at random.")
    charged_error_named_percent: float = _percent("faults",
        "Erreurs de ce genre qui donnent la référence et l'état du paiement (%).",
        "Such errors that give the payment's reference and status (%).")
    charged_twice_percent: float = _percent("faults",
        "Paiements débités une seconde fois avec le même callback_info (%).",
        "Paid payments charged a second time with the same callback_info (%).")
    reversed_percent: float = _percent("faults",
        "Paiements réussis, puis annulés (%).", "Paid payments reversed later (%).")
    reversed_after_seconds: float = _seconds("faults",
        "Délai entre le paiement et son annulation, en secondes.",
        "Time from the payment to its reversal, in seconds.", default=20.0)
    reversed_status: str = _setting("faults", scenarios.REVERSED, _read_reversed_status,
        "Statut d'un paiement annulé.", "Status of a reversed payment.")
    webhook_url: str = _setting("webhooks", "", read_url,
        "Adresse des webhooks ; vide\u00a0: celle donnée au démarrage.",
        "Address of the webhooks; empty: the one given at the start.")
    webhook_on_failure: bool = _switch("webhooks",
        "Un échec envoie aussi un webhook.", "A failure sends a webhook, too.", default=True)
    webhook_v1: bool = _switch("webhooks",
        "Format v1\u00a0: numéro écrit comme un nombre, sans ref_operator.",
        "Format v1: the phone as a number, no ref_operator.")
    webhook_before_answer: bool = _switch("webhooks",
        "Un webhook arrive avant la réponse à la demande.",
        "A webhook arrives before the answer to the collect request.")
    webhook_delay_seconds: float = _seconds("webhooks",
        "Retard de chaque webhook, en secondes.", "Delay of every webhook, in seconds.")
    webhook_lost_percent: float = _percent("webhooks", "Webhooks perdus (%).", "Webhooks lost (%).")
    webhook_duplicate_percent: float = _percent("webhooks", "Webhooks en double (%).", "Webhooks sent twice (%).")
    webhook_disorder_percent: float = _percent("webhooks",
        "Webhooks suivis d'un état plus ancien (%).", "Webhooks followed by an older status (%).")
    webhook_forged_percent: float = _percent("webhooks",
        "Webhooks accompagnés d'un faux (%).", "Webhooks accompanied by a forged one (%).")
    webhook_unknown_percent: float = _percent("webhooks",
        "Webhooks accompagnés d'une référence inconnue (%).",
        "Webhooks accompanied by one with an unknown reference (%).")
    # fmt: on


def every_setting() -> dict[str, Field[Any]]:
    return {one.name: one for one in fields(FaultSettings)}


def changed(settings: FaultSettings, values: Mapping[str, object]) -> FaultSettings:
    """A copy with `values`, which are JSON values or texts of a form. Raises SettingError."""
    known, read = every_setting(), {}
    for name, value in values.items():
        if name not in known:
            raise SettingError(f"there is no setting {name!r}")
        try:
            read[name] = known[name].metadata["read"](value)
        except SettingError as error:
            raise SettingError(f"{name} must be {error}") from error
    return replace(settings, **read)


def as_json(settings: FaultSettings) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def as_text(value: object) -> str:
    """A value as a form shows it and `changed` reads it."""
    if isinstance(value, dict):
        return ",".join(f"{name}={flow}" for name, flow in value.items())
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differences(settings: FaultSettings) -> dict[str, object]:
    """The values that differ from the defaults, by name; each network under maintenance alone."""
    default = FaultSettings()
    found = {name: getattr(settings, name) for name in every_setting() if name != "maintenance"}
    changed_ones = {name: value for name, value in found.items() if value != getattr(default, name)}
    return changed_ones | {maintenance_of(network): True for network in settings.maintenance}


def maintenance_of(network: str) -> str:
    """The name under which the time of a network's maintenance is kept."""
    return f"maintenance:{network}"


class CurrentSettings:
    """The settings in force: the initial ones and later changes, which survive a restart.

    With each value that differs from the default, the time of its last change is kept.
    """

    def __init__(self, store: Store, at_start: FaultSettings) -> None:
        self._store = store
        self._at_start = at_start
        self.now = changed(at_start, json.loads(store.read_value("settings") or "{}"))
        self._times: dict[str, float] = json.loads(store.read_value("settings_times") or "{}")

    def change(self, values: Mapping[str, object]) -> None:
        """Change all of `values`, or none with SettingError."""
        before = _differences(self.now)
        self.now = changed(self.now, values)
        self._keep_times(before)
        at_start = as_json(self._at_start)
        different = {name: value for name, value in as_json(self.now).items() if value != at_start[name]}
        self._store.write_value("settings", json.dumps(different))

    def since(self, names: Iterable[str]) -> float | None:
        """When the last of these settings got its value; None: at the start of the sandbox."""
        return max((self._times[name] for name in names if name in self._times), default=None)

    def _keep_times(self, before: Mapping[str, object]) -> None:
        after, at = _differences(self.now), time.time()
        kept = {name: self._times[name] for name in after if after[name] == before.get(name) and name in self._times}
        self._times = kept | {name: at for name in after if after[name] != before.get(name)}
        self._store.write_value("settings_times", json.dumps(self._times))

    def draw(self, what: str) -> Callable[[], float]:
        """Random numbers from 0 to 100, the same ones for the same seed and the same count of earlier draws."""
        seed = f"{self.now.seed}:{what}:{self._store.count(what)}"
        return partial(random.Random(seed).uniform, 0, 100)  # noqa: S311 -- repeatable faults, nothing secret

    def reset(self) -> None:
        """Restore the initial settings."""
        self.now = self._at_start
        self._times = {}
        self._store.write_value("settings", "{}")
        self._store.write_value("settings_times", "{}")
