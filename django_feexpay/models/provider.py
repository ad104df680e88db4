"""The providers this shop offers: catalogue rows that an admin may change."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import connections, models, transaction
from django.db.models import F, Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from django_feexpay import cache_state
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec, with_flow
from django_feexpay.models.primary import PrimaryModel, PrimaryQuerySet

#: Columns copied from the catalogue. An admin may change each, the flow only where sources differ.
_FROM_CATALOGUE = ("name", "enabled", "min_amount", "max_amount", "fee_percent", "flow")


def invalidate_provider_lists(using: str) -> None:
    """Invalidate the cached provider lists: now for this transaction, and at its commit for others."""
    cache_state.invalidate(cache_state.PROVIDERS)
    if connections[using].in_atomic_block:
        transaction.on_commit(lambda: cache_state.invalidate(cache_state.PROVIDERS), using=using)


class ProviderQuerySet(PrimaryQuerySet["Provider"]):
    """Providers; the API caches a rendered list of them."""

    def update(self, **kwargs: Any) -> int:
        """Update, and invalidate the cached lists: an update sends no signal."""
        rows = super().update(**kwargs)
        invalidate_provider_lists(self.db)
        return rows


class ProviderManager(models.Manager["Provider"]):
    def get_queryset(self) -> ProviderQuerySet:
        return ProviderQuerySet(self.model, using=self._db)

    def sync_with_catalogue(self, *, using: str | None = None) -> None:
        """Create missing rows, and update values that still equal the catalogue's former value.

        A value that an admin changed stays. Safe to repeat: yes.
        """
        rows = {row.code: row for row in self.using(using).all()}
        for spec in CATALOGUE.values():
            row = rows.get(spec.code)
            if row is None:
                self.using(using).create(code=spec.code, catalogue_values=_json(spec), **_values(spec))
            elif row.catalogue_values != _json(spec):
                row.follow(spec)
                row.save(using=using)


class Provider(PrimaryModel):
    """One provider, created from the catalogue after migrate. A value that an admin changed stays."""

    code = models.CharField(_("code"), max_length=32, primary_key=True)
    name = models.CharField(_("name"), max_length=64)
    enabled = models.BooleanField(_("enabled"), default=False)
    disabled_reason = models.CharField(
        _("reason shown while disabled, in English"),
        max_length=200,
        blank=True,
        help_text=_("Shown to payers unchanged. Empty: the French reason is shown, else the catalogue's."),
    )
    disabled_reason_fr = models.CharField(
        _("reason shown while disabled, in French"),
        max_length=200,
        blank=True,
        help_text=_("Shown to payers unchanged. Empty: the English reason is shown, else the catalogue's."),
    )
    min_amount = models.BigIntegerField(_("smallest amount"))
    max_amount = models.BigIntegerField(_("largest amount"))
    fee_percent = models.DecimalField(_("fee in percent"), max_digits=5, decimal_places=2)
    flow = models.CharField(
        _("flow"),
        max_length=16,
        help_text=_(
            "What the payer does. You may choose it where sources on FeexPay disagree."
            " If FeexPay's answer contains a page, the payer is sent there."
        ),
    )
    catalogue_values = models.JSONField(_("values of the catalogue at the last update"), default=dict, editable=False)

    objects = ProviderManager()  # type: ignore[misc,assignment]  # the base's manager, replaced

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        default_permissions = ("view", "change")
        ordering = ("code",)
        constraints = (
            models.CheckConstraint(
                name="feexpay_provider_limits", condition=Q(min_amount__gt=0) & Q(max_amount__gte=F("min_amount"))
            ),
            models.CheckConstraint(name="feexpay_provider_fee", condition=Q(fee_percent__gte=0)),
        )

    def __str__(self) -> str:
        language = get_language() or ""
        country = CATALOGUE[self.code].country_in(language) if self.code in CATALOGUE else self.code
        name = self.name_in(language)
        return f"{name} ({country})" if country else name  # one name serves several countries

    @property
    def spec(self) -> ProviderSpec:
        """The catalogue's facts about this provider, with the flow this shop chose.

        Raises: KeyError for a provider that is no longer in the catalogue.
        """
        return with_flow(self.code, self.flow)

    def name_in(self, language: str) -> str:
        """The catalogue's name in this language. A name that staff changed is the same in all languages."""
        spec = CATALOGUE.get(self.code)
        return self.name if spec is None or self.name != spec.name else spec.name_in(language)

    @property
    def is_available(self) -> bool:
        """Whether a payment may be started: enabled here, and served by FeexPay."""
        return self.enabled and not self.spec.unavailable_reason

    def disabled_words(self, language: str) -> str:
        """The reason shown to payers while it is disabled, in this language or else the other; "" if there is none."""
        words = (self.disabled_reason, self.disabled_reason_fr)
        first, second = reversed(words) if language.startswith("fr") else words
        return first or second

    def follow(self, spec: ProviderSpec) -> None:
        """Take the catalogue's new values, except those an admin changed."""
        for name, value in _values(spec).items():
            if _plain(getattr(self, name)) == self.catalogue_values.get(name):
                setattr(self, name, value)
        self.catalogue_values = _json(spec)


def _values(spec: ProviderSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in _FROM_CATALOGUE if name != "enabled"} | {"enabled": spec.served}


def _json(spec: ProviderSpec) -> dict[str, Any]:
    return {name: _plain(value) for name, value in _values(spec).items()}


def _plain(value: Any) -> Any:
    """The value as JSON returns it; a percentage with two digits, so that 1.7 equals 1.70."""
    return f"{value:.2f}" if isinstance(value, Decimal) else value
