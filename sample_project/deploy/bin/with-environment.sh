#!/bin/sh
# Run a command with the variables of /etc/shop/shop.env, for process managers that cannot read such a file.
set -eu
set -a
# shellcheck source=/dev/null
. "${SHOP_ENV:-/etc/shop/shop.env}"
set +a
: "${CREDENTIALS_DIRECTORY:=/etc/shop/credentials}"
export CREDENTIALS_DIRECTORY
exec "$@"
