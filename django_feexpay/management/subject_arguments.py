"""The arguments of the commands about one person. A phone number is never an argument: `ps` and shells keep those."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_feexpay.management import actors
from django_feexpay.privacy import subjects
from django_feexpay.private import PrivateText


def add(parser: CommandParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="NAME", help="a user name")
    who.add_argument(
        "--number",
        action="store_true",
        help="a phone number: asked for, or read from standard input; never an argument",
    )
    parser.add_argument("--actor", metavar="NAME", help="the member of staff who acts; default: the command itself")
    parser.add_argument("--reason", default="", help="why, for the audit list, without personal data")


def subject_of(options: dict[str, Any]) -> subjects.Subject:
    """The person of the arguments. Raises: CommandError."""
    try:
        return subjects.of_number(_number()) if options["number"] else subjects.of_user(options["user"])
    except subjects.UnknownSubjectError as error:
        raise CommandError(f"{error}.") from None


def actor_of(options: dict[str, Any], command: str) -> str:
    """The primary key of the user who acts, or the name of the command. Raises: CommandError."""
    return command if options["actor"] is None else actors.primary_key_of(options["actor"])


def _number() -> PrivateText:
    if sys.stdin.isatty():
        return PrivateText(getpass("Phone number with its country code (it is not shown): "))
    return PrivateText(sys.stdin.readline().strip())
