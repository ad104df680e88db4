"""The web checkout: pages that take a payer through every way to pay, behind a signed address.

Off until a host includes `django_feexpay.checkout.urls`. The pages call the same functions of `payments` as the API.
"""
