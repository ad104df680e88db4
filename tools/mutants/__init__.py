"""Mutation testing: `make mutants` changes the code in small steps and reports every change that no test notices."""

from __future__ import annotations
