"""What a WSGI server runs: `gunicorn config.wsgi` in the folder of manage.py."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from config.env_file import read_env_file

read_env_file()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

application = get_wsgi_application()

from django_feexpay.checks import refuse_unsafe_server  # noqa: E402 -- it reads the settings

# Web servers run no checks. An error of `check --deploy`, such as a test key or a sandbox in production, ends the start
# and is named.
refuse_unsafe_server()
