"""One presenter per screen: turns the core's state into properties that kv binds to.

No layout and no payment rule belongs here.
"""
