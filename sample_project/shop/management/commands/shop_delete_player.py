"""`manage.py shop_delete_player NAME [--no-input]`: erase a player from the payments and delete what the shop keeps."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from django_feexpay.models import Payment
from shop.models import CoinEntry, Order


class Command(BaseCommand):
    help = (
        "Delete a player who asks for it: erase the payer in the tables of django_feexpay, then delete the player's "
        "orders, coins, tokens and account. The payments stay as books without a person. It cannot be undone. "
        "Run it again if payments have to end first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", metavar="NAME")
        parser.add_argument("--reason", default="", help="why, for the list of staff actions")
        parser.add_argument("--no-input", action="store_true", help="do not ask before deleting")

    def handle(self, *args: Any, username: str, reason: str, no_input: bool, **options: Any) -> None:
        users = get_user_model()._default_manager
        player = users.filter(username=username).first()
        if player is None:
            raise CommandError(f"there is no player {username!r}")
        if sys.stdin.isatty() and not no_input and input("This cannot be undone. Type DELETE to go on: ") != "DELETE":
            raise CommandError("nothing was deleted.")
        call_command("feexpay_erase_subject", user=username, reason=reason, no_input=True, stdout=self.stdout)
        with transaction.atomic():
            users.select_for_update().get(pk=player.pk)  # no order and no payment begins meanwhile
            if waiting := Payment.objects.filter(user=player).count():
                raise CommandError(f"{waiting} payments of this player have to end first. Run this again tomorrow.")
            # A person who leaves gives up the coins. CoinEntry refuses to be deleted one by one, as they are a ledger.
            CoinEntry.objects.filter(player=player).delete()
            Order.objects.filter(player=player).delete()
            player.delete()
        self.stdout.write("The player is deleted.")
