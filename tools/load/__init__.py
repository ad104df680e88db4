"""`make load`: whole payments over HTTP, and how many cores 1,000 of them a second need.

docs/reference/performance.md explains the output.
"""
