"""A year of made-up payments, for demonstrations and measurements: `manage.py feexpay_demo_data`.

The rows are written in bulk and not through `payments.ledger`, so they stay out of the package: a program that invents
paid payments belongs to a sample. `manage.py feexpay_verify` finds no violation in them.
"""

from __future__ import annotations

#: Every account that this command makes has an address here: `.example` is reserved, so no e-mail is delivered.
MAIL_DOMAIN = "demo-data.example"
