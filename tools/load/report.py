"""The lines that `make load` prints, and its exit code."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tools.load.payers import Driven

#: The parts of the installation. FeexPay's side and the payers' phones are measured, too, but not counted.
COUNTED = ("web", "worker", "PostgreSQL", "Redis")
_NOT_COUNTED = ("gateway", "payers")
#: Goals: the share of the minimum's requests a second, and the cores of 1,000 webhooks a second.
_LEAST_OF_MINIMUM, _MOST_CORES = 0.75, 1.5


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds by part."""

    cpu_seconds: Mapping[str, float]

    def cores(self, count: int, *parts: str) -> float:
        """The cores that these parts keep busy when 1,000 payments are made a second, after `count` of them."""
        return 1000 * sum(self.cpu_seconds[part] for part in parts or COUNTED) / max(count, 1)


@dataclass(slots=True)
class Posted:
    """Webhooks that were answered, the seconds that took, and the CPU seconds of each part for them."""

    count: int = 0
    seconds: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.count / self.seconds

    def cores(self, *parts: str) -> float:
        """The cores that these parts keep busy at 1,000 webhooks a second."""
        return 1000 * sum(self.cpu_seconds[part] for part in parts or self.cpu_seconds) / self.count


@dataclass(frozen=True, slots=True)
class Paid:
    """Rows of Payment and of Credit, and charges at the gateway."""

    payments: int
    credited: int
    charges: int


def print_payments(driven: Driven, used: Usage, credited: Sequence[float], load: tuple[float, float]) -> None:
    """`credited`: seconds from start to credit. `load`: the load average before and after."""
    count = len(driven.started)
    spent = [f"{part} {used.cpu_seconds[part]:.2f}" for part in COUNTED]
    spent += [f"{part} {used.cpu_seconds[part]:.2f} (not counted)" for part in _NOT_COUNTED]
    lines = {
        "payments started": f"{count}",
        "credited": f"{len(credited)}",
        "payments per second": f"{count / driven.seconds:.1f}",
        "initiate": _p50_p99(driven.initiate_seconds),
        "from start to credited": _p50_p99(credited),
        "status reads": f"{driven.status_reads / max(count, 1):.1f} a payment",
        "CPU seconds": ", ".join(spent),
        "load average": f"{load[0]:.1f} before, {load[1]:.1f} after",
    }
    print("".join(f"{name:26}{value}\n" for name, value in lines.items()))
    each = ", ".join(f"{part} {used.cores(count, part):.1f}" for part in COUNTED)
    print(f"cores per 1,000 payments/s: {used.cores(count):.1f} ({each})", flush=True)


def print_webhooks(ours: Posted, minimum: Posted) -> None:
    share = ours.per_second / minimum.per_second
    each = ", ".join(f"{part} {ours.cores(part):.1f}" for part in ours.cpu_seconds)
    print(
        f"cores per 1,000 webhooks/s: {ours.cores():.1f} ({each}), goal ≤ {_MOST_CORES};"
        f" the minimum with the ORM {minimum.cores():.1f}\n"
        f"webhooks per second: {ours.per_second:.0f}, the minimum {minimum.per_second:.0f}:"
        f" {share:.2f} of it, goal ≥ {_LEAST_OF_MINIMUM}",
        flush=True,
    )


def verdict(paid: Paid, cores: float, problems: Sequence[str]) -> int:
    """Print the problems and the last line; exit code 0 only if each payment was charged and credited once."""
    for problem in problems:
        print(f"VIOLATION {problem}")
    print(f"payments={paid.payments} credited={paid.credited} charges={paid.charges} cores_per_1000={cores:.1f}")
    once = paid.payments == paid.credited == paid.charges > 0
    return 0 if once and not problems else 1


def _p50_p99(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms"
