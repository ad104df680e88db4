"""A local stand-in for FeexPay in its own process: the API, the webhooks, the payer's phone.

Start it with `python -m django_feexpay.sandbox` or `manage.py feexpay_sandbox`. It imports no Django, and it shares no
code with `django_feexpay.gateway`: a mistake in one of the two must not hide in the other.

cli.py, options.py   the options, from arguments and environment
server.py            the server and its routes
same_origin.py       refuses changes by pages of other sites
context.py           what endpoints read from a request

FeexPay's side
collect.py           requests to collect: push, one-time code, redirect
links.py             hosted links
payouts.py           payouts
history.py           the history, at once and asynchronous
api.py               read-only endpoints: status, balance, shop, fees
guards.py            checks of every endpoint: key, shop, network, JSON body
validation.py        checks of the fields
bodies.py            the answers, field by field
networks.py          the table of networks and their fees

Payments
scenarios.py         the magic numbers: phone ending to script
payment_engine.py    accepts payments and ends them; the only writer of a status
webhooks.py          which webhooks are sent, lost, repeated or forged; one delivery attempt
timers.py            runs steps and deliveries that are due
store.py             the state, in one SQLite file

Faults and control
fault_settings.py    settings that change while it runs
faults.py            fault injection in front of FeexPay's endpoints
control.py           the control interface

Pages
phone_page.py        the payer's phone
hosted.py            the operator's page, the page of a hosted link
control_page.py      the list of payments, one payment, the fault settings
pages.py             the frame of every page (texts.py, templates/, assets/)
"""

from __future__ import annotations
