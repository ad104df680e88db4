"""Set-up of the demo in one process: tables, a player account, a staff account.

The passwords come from the environment, because all users of a machine can read arguments.
"""

from __future__ import annotations

import os

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("feexpay_demo_user", os.environ["DEMO_USERNAME"], os.environ["DEMO_PASSWORD"])
    call_command("feexpay_demo_user", os.environ["DEMO_STAFF_USERNAME"], os.environ["DEMO_STAFF_PASSWORD"], staff=True)
