"""The house rules: everything that decides about money. Plain values in and out, no request, no queue.

Empty on purpose: the models' constraints are made of `lifecycle`, so importing this package must cost nothing.
"""

from __future__ import annotations
