"""`make bench`: the cost of the app, relative to minimal code for the same job.

This package is a program and, for its reference views, a Django app. docs/reference/performance.md explains the output.
"""
