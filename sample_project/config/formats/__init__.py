"""Dates as the shop writes them, on the pages that Django itself makes."""
