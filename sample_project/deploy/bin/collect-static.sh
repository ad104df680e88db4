#!/bin/sh
# collect-static.sh PYTHON: write the static files of this release, for nginx and whitenoise.
# Whoever builds a release or an image has no secret of the shop, so the settings get made-up ones.
set -eu
umask 022
cd "$(dirname "$(readlink -f "$0")")/../.."
exec env -i PATH="$PATH" ENV_FILE= DJANGO_SETTINGS_MODULE=config.settings.production SECRET_KEY=collectstatic \
    ALLOWED_HOSTS=localhost DATABASE_URL=postgres://none@localhost/none FEEXPAY_ENVIRONMENT=staging \
    FEEXPAY_API_KEY=none FEEXPAY_SHOP_ID=none FEEXPAY_HASH_KEY=collectstatic-collectstatic-collectstatic \
    FEEXPAY_FIELD_KEYS=Y29sbGVjdHN0YXRpYy1jb2xsZWN0c3RhdGljLWNvbGw= \
    "$1" manage.py collectstatic --noinput --verbosity 0
