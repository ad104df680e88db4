"""`make bench`: what the app costs, as ratios to the least that could do the same job, measured in one run.

A program and, for its reference views, a Django app. docs/reference/performance.md says how to read it.
"""
