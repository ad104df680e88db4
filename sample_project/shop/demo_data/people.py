"""The made-up players, with one phone number each, and the staff who act in the back office."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import accumulate

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User

from django_feexpay import roles
from django_feexpay.catalogue.phone import Msisdn, PhoneRule
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models.fields import Sealed, hash_msisdn
from shop.demo_data import MAIL_DOMAIN

#: How often each provider is used.
MOBILE_MONEY = {
    "mtn_bj": 340,
    "moov_bj": 200,
    "celtiis_bj": 60,
    "coris_bj": 5,
    "togocom_tg": 70,
    "moov_tg": 50,
    "mtn_ci": 50,
    "moov_ci": 20,
    "orange_ci": 60,
    "wave_ci": 40,
    "orange_sn": 30,
    "free_sn": 10,
    "wave_sn": 30,
    "moov_bf": 10,
    "orange_bf": 15,
    "wave_bf": 3,
    "orange_ml": 5,
    "mobicash_ml": 3,
    "mtn_cg": 10,
}
CARDS = {"visa": 2, "mastercard": 1}

_FIRST_NAMES = (
    *("Adjoa", "Afi", "Aïcha", "Akouvi", "Ama", "Aminata", "Awa", "Bintou", "Chimène", "Codjo", "Dossou", "Edem"),
    *("Fatou", "Florent", "Gildas", "Hervé", "Ibrahim", "Kodjo", "Koffi", "Kossi", "Mariam", "Moussa", "Nadège"),
    *("Oumar", "Prisca", "Rachidatou", "Sena", "Sylvain", "Thierno", "Yao"),
)
_LAST_NAMES = (
    *("Adjovi", "Agbodjan", "Ahouansou", "Akakpo", "Amegan", "Bah", "Coulibaly", "Dansou", "Diallo", "Diop", "Dossa"),
    *("Gbaguidi", "Hounkpatin", "Kaboré", "Keita", "Kouassi", "Lawson", "Mensah", "Ndiaye", "Ouédraogo", "Sanni"),
    *("Sossou", "Tossou", "Traoré", "Zinsou"),
)
#: Numbers differ in the last four digits from the catalogue's example, which is not in use.
_DIGITS = 4
_PAYMENTS_OF_A_PLAYER, _FEWEST, _MOST = 25, 20, 10_000
#: 1: all players pay equally often; higher: a few make most of the payments.
_UNEVEN = 1.3

_STAFF = (("awa.support", "Awa", "Support"), ("koffi.finance", "Koffi", "Finance"), ("ines.ops", "Inès", "Operations"))


@dataclass(frozen=True, slots=True)
class Player:
    """A player and the number that they pay with."""

    user: User
    provider: str
    msisdn: Msisdn = field(repr=False)
    msisdn_hash: str = field(repr=False)
    msisdn_sealed: Sealed = field(repr=False)


@dataclass(frozen=True, slots=True)
class People:
    """Everyone in the demo. `staff`: primary key and user name by role."""

    players: list[Player]
    staff: dict[str, tuple[str, str]]

    def player(self, chance: random.Random) -> Player:
        """A player by chance: the first ones of the list pay more often."""
        return self.players[int(len(self.players) * chance.random() ** _UNEVEN)]


def create(payment_count: int, chance: random.Random) -> People:
    """Create the accounts. None of them has a usable password.

    Changes: User, Group. Safe to repeat: no, user names are unique.
    """
    count = min(_MOST, max(_FEWEST, payment_count // _PAYMENTS_OF_A_PLAYER))
    users = User.objects.bulk_create(_user(number, chance) for number in range(1, count + 1))
    codes, weights = list(MOBILE_MONEY), list(accumulate(MOBILE_MONEY.values()))
    providers = [*codes, *chance.choices(codes, cum_weights=weights, k=count)][:count]  # each provider has a player
    return People([_player(user, code, chance) for user, code in zip(users, providers, strict=True)], _staff())


def _user(number: int, chance: random.Random) -> User:
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    name = f"{first}.{last}.{number}".lower()
    return User(
        username=name,
        first_name=first,
        last_name=last,
        email=f"player-{number}@{MAIL_DOMAIN}",
        password=make_password(None),
    )


def _player(user: User, provider: str, chance: random.Random) -> Player:
    rule = CATALOGUE[provider].phone
    assert isinstance(rule, PhoneRule)  # noqa: S101 -- every mobile money provider of the catalogue has one
    national = rule.example[:-_DIGITS] + f"{chance.randrange(10**_DIGITS):0{_DIGITS}}"
    msisdn = Msisdn(rule.calling_code, national)
    return Player(
        user,
        provider,
        msisdn,
        hash_msisdn(msisdn),
        Sealed.of({"calling_code": msisdn.calling_code, "national": msisdn.national}),
    )


def _staff() -> dict[str, tuple[str, str]]:
    roles.make_roles()
    found = {}
    for username, first_name, role in _STAFF:
        user = User.objects.create(
            username=username, first_name=first_name, email=f"{username}@{MAIL_DOMAIN}", is_staff=True
        )
        user.set_unusable_password()
        user.save(update_fields=["password"])
        user.groups.add(Group.objects.get(name=role))
        found[role] = (str(user.pk), user.username)
    return found
