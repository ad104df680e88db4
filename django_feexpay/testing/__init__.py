"""For the tests of a project that takes payments: a FeexPay of its own, true-to-life webhooks, cases to inherit.

Installed with the package, the pytest plugin brings four fixtures (`plugin.py`): `feexpay_sandbox`, `feexpay_webhook`,
`feexpay_settle` and `feexpay_work`. Nothing of the package itself is built on this room.

running.py        the sandbox as a process, and what a test asks of it
plugin.py         the fixtures; imports nothing before one of them is used
settling.py       brings a payment to the end that a test wants
webhook_cases.py  what every webhook address must keep, for hosts to inherit
"""

from __future__ import annotations
