"""The payment form: provider, phone number, price, and the button that shows the total."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, StringProperty

from feexpay_client.core import dialling, money, phone, ranking
from feexpay_client.core.models import Provider
from feexpay_client.core.states import FORM, Draft, Phase, State
from feexpay_client.presenters.presenter import Presenter
from feexpay_client.presenters.providers import ProvidersPresenter


class FormPresenter(Presenter):
    """Checks only what is certainly incomplete, to spare a request. The server decides the rest.

    `pay_text` contains the total.
    """

    title = StringProperty("")
    price_text = StringProperty("")
    fee_text = StringProperty("")
    total_text = StringProperty("")
    quoting = BooleanProperty(False)
    quoted = BooleanProperty(False)
    provider_code = StringProperty("")
    provider_name = StringProperty("")
    monogram = StringProperty("")
    color = StringProperty("")
    explanation = StringProperty("")
    has_provider = BooleanProperty(False)
    asks_phone = BooleanProperty(False)
    phone_prefix = StringProperty("")
    phone = StringProperty("")
    phone_example = StringProperty("")
    phone_error = StringProperty("")
    suggestion = StringProperty("")
    suggestion_code = StringProperty("")
    asks_code = BooleanProperty(False)
    code = StringProperty("")
    code_error = StringProperty("")
    amount_error = StringProperty("")
    pay_text = StringProperty("")
    can_pay = BooleanProperty(False)
    busy = BooleanProperty(False)
    notice = StringProperty("")
    first_error_field = StringProperty("")

    def __init__(self, providers: ProvidersPresenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._providers = providers
        self._amount, self._currency, self._metadata = 0, "", dict[str, Any]()
        self._description = ""
        self._provider: Provider | None = None
        self._return_refused = False
        self.context.subscribe(self._follow)
        providers.bind(country=self._country_changed)
        for name in ("phone", "code"):
            self.fbind(name, self._typed)

    # --- what the payer does ---

    def begin(self, amount: int, currency: str, metadata: dict[str, Any], title: str, description: str = "") -> None:
        """Start the form for the chosen amount."""
        self._description = description
        self._amount, self._currency, self._metadata, self.title = amount, currency, metadata, title
        self.phone_error = self.code_error = self.notice = ""
        self._providers.currency = currency
        self._use_last_way()
        self.relabel()
        self._edit()

    def _use_last_way(self) -> None:
        """Offer the way to pay and the number that the payer used last, if they can be used for this."""
        last = self._provider or self._providers.get(self.context.preferences.provider)
        fits = last is not None and last.enabled and ranking.accepts(last, self._currency)
        if last is not None and fits and last.country in (None, self._providers.country):
            self._provider, self._providers.chosen = last, last.code
        else:
            self._provider, self._providers.chosen = None, ""
        self._fill_in_number()

    def _fill_in_number(self) -> None:
        number, rule = self.context.preferences.phone, self._provider.phone if self._provider else None
        if rule and rule.calling_code and not self.phone and number.startswith(f"+{rule.calling_code}"):
            self.phone = phone.as_typed(number, rule)

    def choose(self, code: str) -> None:
        """Choose the provider: show its limits and number format, and request a quote."""
        self._provider = self._providers.get(code)
        self._providers.chosen = code if self._provider else ""
        self.phone_error = self.code_error = self.code = ""
        self._fill_in_number()
        self.relabel()
        self._edit()

    def _country_changed(self, *_args: object) -> None:
        """Drop a provider of another country: on a wide window the form is beside the choice of country."""
        if self._provider is not None and self._provider.country not in (None, self._providers.country):
            self._provider, self._providers.chosen = None, ""
            self.phone = self.code = ""
            self.relabel()
            self._edit()

    def take_suggestion(self) -> None:
        """Change to the suggested provider, and to its country. The number stays."""
        provider = self._providers.get(self.suggestion_code)
        if provider is None:
            return
        number = self.phone
        if provider.country and provider.country != self._providers.country:
            self._providers.country = provider.country
        self.choose(provider.code)
        self.phone = self.group(number)

    def pay(self) -> None:
        """Start the payment. If a field is incomplete, show the error at that field and send nothing."""
        if self.busy or self.context.flow is None or not self._complete():
            return
        self._edit()
        self._remember()
        self.context.flow.pay()

    def _remember(self) -> None:
        """Offer the same values again next time."""
        number = {"phone": self._full_phone()} if self.asks_phone else {}
        self.context.remember(provider=self.provider_code, country=self._providers.country, **number)

    def group(self, text: str) -> str:
        """Group the digits as this country does, while the payer types."""
        rule = self._provider.phone if self._provider else None
        return phone.as_typed(text, rule) if rule else text

    # --- what the screen shows ---

    def relabel(self) -> None:
        self.price_text = self.context.money(self._amount, self._currency) if self._amount else ""
        self._show_provider()
        self._follow(self.context.state)

    def _show_provider(self) -> None:
        provider = self._provider
        if provider is not None:
            provider = self._provider = self._providers.get(provider.code) or provider
        self.has_provider = provider is not None
        self.provider_code = provider.code if provider else ""
        self.provider_name = self._providers.name_of(provider) if provider else ""
        self.monogram = provider.badge.monogram if provider else ""
        if provider is not None and provider.kind == ranking.CARD:
            self.monogram = self.tr("providers.card_badge")
        self.color = provider.badge.color if provider else ""
        self.explanation = self._instructions(provider)
        self.asks_phone = bool(provider and provider.phone.required)
        self.phone_prefix = f"+{provider.phone.calling_code}" if provider and provider.phone.calling_code else ""
        self.phone_example = phone.grouped(provider.phone.example, provider.phone) if provider else ""
        self.asks_code = bool(provider and dialling.wants_code_first(provider))
        self.amount_error = self._limits(provider)
        self._suggest()

    def _instructions(self, provider: Provider | None) -> str:
        """Put the amount into the code to dial, unless another currency is charged."""
        if provider is None:
            return ""
        quote = self.context.state.quote
        amount = quote.total if quote else self._amount if provider.currency == self._sent_currency() else 0
        return dialling.filled(provider.instructions, amount)

    def _limits(self, provider: Provider | None) -> str:
        if provider is not None and not provider.enabled:
            return provider.unavailable_reason or self.tr("notice.provider_unavailable")
        if provider is None or not self._amount or provider.currency != self._sent_currency():
            return ""
        wrong = money.problem(self._amount, provider)
        low, high = (
            "" if limit is None else self.context.money(limit, provider.currency)
            for limit in (provider.min_amount, provider.max_amount)
        )
        return self.tr(f"amount.{wrong}", min=low, max=high) if wrong else ""

    def _typed(self, *_args: object) -> None:
        self.phone_error = self.code_error = ""
        self._suggest()
        self._edit()

    def _suggest(self) -> None:
        """Suggest another provider if the number has its prefix or its country. Never switch: numbers are ported."""
        provider = self._provider
        other = self._of_other_country() or (
            phone.suggestion(self.phone, provider, self._providers.all) if provider and self.phone else None
        )
        self.suggestion_code = other.code if other else ""
        abroad = other is not None and provider is not None and other.country != provider.country
        key = "form.suggestion_country" if abroad else "form.suggestion"
        self.suggestion = (
            self.tr(key, provider=other.name, country=other.country_name or other.country or "") if other else ""
        )

    def _of_other_country(self) -> Provider | None:
        """A way to pay in the country of a number such as +225…, typed into the field of another country."""
        country = phone.country_of(self.phone, self._providers.all)
        if self._provider is None or not country or country == self._provider.country:
            return None
        there = [one for one in self._providers.all if one.country == country and one.enabled and one.phone.required]
        fitting = [one for one in ranking.ranked(there, country) if ranking.accepts(one, self._currency)]
        by_prefix = (one for one in fitting if phone.has_prefix(self.phone, one))
        return next(by_prefix, fitting[0] if fitting else None)

    def _sent_currency(self) -> str:
        return ranking.currency_to_send(self._provider, self._currency) if self._provider else self._currency

    def _edit(self) -> None:
        flow = self.context.flow
        if flow is None:
            return
        provider = self._provider
        sends_phone = provider is not None and provider.phone.required
        flow.edit(
            Draft(
                provider=provider.code if provider else "",
                amount=self._amount,
                currency=self._sent_currency(),
                phone=self._full_phone() if sends_phone else "",
                otp=self.code if self.asks_code else "",
                metadata=self._metadata,
                description=self._description,
                return_url=self._return_url(),
                cancel_url=self._return_url(),
            )
        )

    def _return_url(self) -> str:
        """The page that opens this app again; only an operator's page leads back."""
        leads_back = self._provider is not None and self._provider.flow in ("redirect", "hosted")
        return self.context.return_url() if leads_back and not self._return_refused else ""

    def _complete(self) -> bool:
        self.phone_error = self._phone_problem()
        self.code_error = self.tr("form.code_missing") if self.asks_code and not self.code.strip() else ""
        self._name_first_error()
        return not (self.phone_error or self.code_error or self.amount_error)

    def _phone_problem(self) -> str:
        if not self.asks_phone or self._provider is None:
            return ""
        wrong = phone.problem(self.phone, self._provider.phone)
        return self.tr(f"phone.{wrong}") if wrong else ""

    def _full_phone(self) -> str:
        """Add the country code, so that the server need not guess it."""
        return phone.international(self.phone, self._provider.phone if self._provider else None)

    def _name_first_error(self) -> None:
        self.first_error_field = ""
        self.first_error_field = "phone" if self.phone_error else "code" if self.code_error else ""

    def _follow(self, state: State) -> None:
        quote = state.quote
        self.quoting = state.phase is Phase.QUOTING
        self.quoted = quote is not None
        self.fee_text = self.context.money(quote.fee_on_top, quote.currency) if quote and quote.fee_on_top else ""
        self.total_text = self.context.money(quote.total, quote.charged_currency) if quote else ""
        self.pay_text = self.tr("form.pay_total", total=self.total_text) if quote else self.tr("form.pay")
        self.explanation = self._instructions(self._provider)
        self.busy = state.busy
        self.can_pay = state.can_pay and not self.amount_error
        self.notice = self.context.notice(state) if state.phase in FORM else ""
        if state.problems and state.phase in FORM:
            self._show_problems(state)

    def _show_problems(self, state: State) -> None:
        messages = {problem.field: problem.message for problem in state.problems}
        self.phone_error = messages.get("phone", self.phone_error)
        if "otp" in messages:
            self.asks_code, self.code_error = True, messages["otp"]
        self.amount_error = messages.get("amount", self.amount_error)
        if messages.keys() & {"return_url", "cancel_url"}:  # the server leads back to other hosts only: pay without
            self._return_refused = True
            self._edit()
        self._name_first_error()
