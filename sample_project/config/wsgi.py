"""What a WSGI server runs: `gunicorn config.wsgi` in the folder of manage.py."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from config.env_file import read_env_file

read_env_file()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

application = get_wsgi_application()
