#!/usr/bin/env python
"""Django's command line for the sample shop."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from config.env_file import read_env_file
    from django.core.management import execute_from_command_line

    read_env_file()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
    execute_from_command_line(sys.argv)
