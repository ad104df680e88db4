"""Tests of the background work: the worker's loop and the tasks of django-q2."""

from __future__ import annotations
