"""Named scenarios: groups of fault settings that one button starts and ends.

A scenario only changes fault settings, so it survives a restart, and a change by hand ends or completes it.
No two scenarios share a setting except the networks under maintenance, so each one ends alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django_feexpay.sandbox.fault_settings import FaultSettings

#: Settings that make FeexPay fail when they differ from their default.
FAULTS = (
    *("status_unknown_seconds", "history_late_seconds", "duplicate_seconds", "celtiis_down", "shop_disabled"),
    *("not_activated", "blocked", "maintenance", "history_fails"),
    *("latency_percent", "reset_percent", "error_500_percent", "html_502_percent", "error_503_percent"),
    *("rate_limit_percent", "truncate_percent", "charged_error_percent", "charged_twice_percent", "reversed_percent"),
    *("webhook_on_failure", "webhook_before_answer", "webhook_delay_seconds", "webhook_lost_percent"),
    *("webhook_duplicate_percent", "webhook_disorder_percent", "webhook_forged_percent", "webhook_unknown_percent"),
)

#: Settings that say how a fault happens. Alone they change nothing.
FAULT_DETAILS = (
    *("fault_calls", "latency_seconds", "retry_after_seconds", "charged_error_codes", "charged_error_named_percent"),
    *("reversed_after_seconds", "reversed_status"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScenario:
    """One situation of the gateway.

    `values`: its settings. `networks`: those under maintenance. `title`, `effect`: texts in French and English;
    `effect` says what the shop's staff will see, and where.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    title: tuple[str, str]
    effect: tuple[str, str]

    def is_on(self, now: FaultSettings) -> bool:
        agrees = all(getattr(now, name) == value for name, value in self.values.items())
        return agrees and set(self.networks) <= set(now.maintenance)

    def started(self, now: FaultSettings) -> dict[str, object]:
        """The settings to change so that the scenario is on."""
        return {**self.values, "maintenance": (*now.maintenance, *self.networks)}

    def ended(self, now: FaultSettings) -> dict[str, object]:
        """The settings to change so that nothing of the scenario remains."""
        remaining = tuple(one for one in now.maintenance if one not in self.networks)
        return _defaults(self.values) | {"maintenance": remaining}


FAULT_SCENARIOS = {
    "orange_down": FaultScenario(
        networks=("orange_ci", "orange_sn", "orange_bf", "orange_ml"),
        title=("Orange est en panne", "Orange is down"),
        effect=(
            "FeexPay répond qu'Orange est en maintenance\u00a0: les paiements Orange restent en vérification dans la"
            " liste «\u00a0Paiements\u00a0», et après cinq demandes de suite la liste «\u00a0Moyens de paiement\u00a0»"
            " montre ce réseau en panne et la boutique le refuse.",
            "FeexPay answers that Orange is in maintenance: Orange payments stay in checking in the list Payments, and"
            " after five requests in a row the list Providers shows that network in trouble and the shop refuses it.",
        ),
    ),
    "webhooks_lost": FaultScenario(
        values={"webhook_lost_percent": 100.0},
        title=("Webhooks perdus", "Webhooks lost"),
        effect=(
            "La liste «\u00a0Webhooks reçus\u00a0» ne reçoit plus rien, et chaque paiement est tout de même crédité, un"
            " peu plus tard, parce que la boutique interroge FeexPay.",
            "The list Webhook deliveries receives nothing more, and each payment is still credited, a little later,"
            " because the shop polls FeexPay.",
        ),
    ),
    "double_charge": FaultScenario(
        values={"charged_twice_percent": 100.0},
        title=("Double débit", "Double charge"),
        effect=(
            "Chaque payeur est débité deux fois et crédité une fois\u00a0: la page d'accueil de l'administration compte"
            " un double débit à rembourser, que la liste «\u00a0Incidents\u00a0» détaille.",
            "Each payer is charged twice and credited once: the admin's front page counts a double charge to refund,"
            " and the list Incidents has its details.",
        ),
    ),
    "slow_gateway": FaultScenario(
        values={"latency_percent": 100.0, "latency_seconds": 8.0, "fault_calls": ()},
        title=("FeexPay est lent", "Slow gateway"),
        effect=(
            "Chaque réponse de FeexPay prend 8 secondes\u00a0: les paiements restent plus longtemps en cours dans la"
            " liste «\u00a0Paiements\u00a0», et le délai de règlement augmente dans le tableau de bord.",
            "Each answer of FeexPay takes 8 seconds: payments stay open longer in the list Payments, and the time to"
            " settle rises on the dashboard.",
        ),
    ),
    "history_late": FaultScenario(
        values={
            "charged_error_percent": 100.0,
            "charged_error_codes": ("500",),
            "charged_error_named_percent": 0.0,
            "webhook_delay_seconds": 300.0,
            "history_late_seconds": 300.0,
        },
        title=("Historique en retard", "History late"),
        effect=(
            "FeexPay répond par une erreur à chaque demande qu'il a acceptée, et ne montre le paiement que 5 minutes"
            " plus tard\u00a0: jusque-là, il reste en cours de vérification dans la liste «\u00a0Paiements\u00a0».",
            "FeexPay answers each accepted request with an error and shows the payment only 5 minutes later: until"
            " then it is being checked in the list Payments.",
        ),
    ),
}


def normal() -> dict[str, object]:
    """The settings to change so that no fault is on. The shop's contract and FeexPay's formats stay."""
    return _defaults((*FAULTS, *FAULT_DETAILS))


def scenarios_on(now: FaultSettings) -> list[str]:
    return [name for name, one in FAULT_SCENARIOS.items() if one.is_on(now)]


def other_faults(now: FaultSettings) -> list[str]:
    """The names of the faults in force that no scenario that is on explains."""
    running = [FAULT_SCENARIOS[name] for name in scenarios_on(now)]
    explained = {name for one in running for name in one.values}
    of_networks = {network for one in running for network in one.networks}
    if set(now.maintenance) <= of_networks:
        explained.add("maintenance")
    default = FaultSettings()
    return [name for name in FAULTS if name not in explained and getattr(now, name) != getattr(default, name)]


def _defaults(names: Iterable[str]) -> dict[str, object]:
    default = FaultSettings()
    return {name: getattr(default, name) for name in names}
