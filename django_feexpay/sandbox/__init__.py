"""A local stand-in for FeexPay: its API, its webhooks, and the payer's phone, as a process of its own.

Start it with `python -m django_feexpay.sandbox` or `manage.py feexpay_sandbox`. It shares nothing with
`django_feexpay.gateway`, so that a mistake in one cannot hide in the other, and imports no Django.

networks.py      the table of networks, typed by hand from what is known of FeexPay
conditions.py    what can be switched while it runs: answers, shop, faults, webhooks
rules.py         the magic numbers: which ending of a phone number plays which part
store.py         everything remembered, in one SQLite file
till.py          takes a payment in and ends it; the only writer of a status
postbox.py       which webhooks are sent, and what becomes of them on the way
webhooks.py      one attempt to deliver a webhook (signing.py: what it proves of its sender)
timers.py        what happens later: scripted endings and deliveries that come due
validation.py    what FeexPay refuses before it does anything
bodies.py        what FeexPay answers
guards.py        what every endpoint of FeexPay asks first: the key, the shop, a JSON body
collect.py       FeexPay's requests to collect: push, code, redirect
links.py         FeexPay's hosted links
payouts.py       FeexPay's payouts
history.py       FeexPay's history, at once and asynchronous
api.py           FeexPay's endpoints that are only asked: status, balance, shop, fees (fees.py)
faults.py        the line that breaks in front of all of FeexPay's endpoints
control.py       ours, not FeexPay's: look, decide for the payer, force, forge, break, start again
desk.py          the control interface as pages
hosted.py        the operator's page of a redirect network, and the hosted page of a link
pages.py         the payer's phone and the list of payments (markup.py, texts.py, templates/, assets/)
server.py        all of it behind one socket
cli.py           options, from arguments and environment
"""

from __future__ import annotations
