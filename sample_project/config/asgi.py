"""What an ASGI server runs: `uvicorn config.asgi:application` in the folder of manage.py.

The same site as `config.wsgi`, and also the event streams of payments.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from config.env_file import read_env_file

read_env_file()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
# Under ASGI each request has a thread of its own, so a connection that is kept would never be used again.
os.environ.setdefault("DATABASE_POOL", "10")

application = get_asgi_application()

from django_feexpay.checks import refuse_unsafe_server  # noqa: E402 -- it reads the settings

# As in `config.wsgi`: an error of `check --deploy` ends the start and is named.
refuse_unsafe_server()
