#!/bin/bash
# deploy.sh SOURCE: install a release, migrate, check, restart one process after the other, and check the health.
# SOURCE is a folder with the code, for example a clone at the tag to install. If a step fails, the earlier release
# serves again and the exit code is 1. `deploy.sh --rollback` goes back to the earlier release.
#
# Migrations are not undone: each one also works with the code of the release before it.
set -euo pipefail

home=${SHOP_HOME:-/srv/shop}
python=${SHOP_PYTHON:-python3}
keep=${SHOP_KEEP_RELEASES:-5}
health_path=/api/v1/payments/feexpay/health/
manage=$(dirname "$(readlink -f "$0")")/shop-manage

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

on_systemd() { [ -d /run/systemd/system ]; }

# Restart one process and wait until it has loaded the release. gunicorn says so itself (Type=notify); supervisor waits
# for `startsecs`.
restart() {
    if on_systemd; then systemctl restart "$1"; else supervisorctl restart "$2" | tee /dev/stderr | grep -q ': started$'; fi
}

restart_all() {
    restart shop-web@1.service shop-web:shop-web-1 && healthy &&
        restart shop-web@2.service shop-web:shop-web-2 && healthy &&
        restart shop-worker@1.service shop-worker
}

# The health as nginx asks for it: through the socket, as https of the shop's host.
healthy() {
    local host attempt
    host=$(sed -n 's/^ALLOWED_HOSTS=\([^,]*\).*/\1/p' /etc/shop/shop.env)
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        if curl --silent --fail --output /dev/null --max-time 5 --unix-socket /run/shop/web.sock \
            --header "Host: $host" --header 'X-Forwarded-Proto: https' "http://localhost$health_path"; then
            return 0
        fi
        sleep "$attempt"
    done
    return 1
}

# Point `current` at a release in one step: a process that starts in between sees one of the two.
switch_to() { ln -sfn "$1" "$home/current.new" && mv -T "$home/current.new" "$home/current"; }

roll_back() {
    if [ -z "$1" ] || [ ! -d "$1" ]; then fail "there is no earlier release to go back to"; fi
    say "going back to ${1##*/}"
    switch_to "$1"
    restart_all || fail "the earlier release does not answer either: read the journal"
}

# The steps are joined by &&, because bash ignores `set -e` in a function whose result is tested.
install_release() {
    say "installing ${release##*/}"
    mkdir -p "$release" &&
        tar --create --directory="$1" --exclude=.git --exclude='.venv*' --exclude='*.sqlite3*' --exclude=__pycache__ . |
        tar --extract --directory="$release" --no-same-owner &&
        "$python" -m venv "$release/.venv" &&
        "$release/.venv/bin/python" -m pip install --quiet 'pip>=25.1' &&
        # Group `production` of pyproject.toml: what the sample project needs on a server.
        (cd "$release" && .venv/bin/python -m pip install --quiet --compile . --group production) &&
        "$release/.venv/bin/python" -m compileall -q "$release/sample_project" &&
        # Everyone may read the code; only root may change it.
        chmod -R u=rwX,go=rX "$release"
}

[ "$(id -u)" = 0 ] || fail "run it as root: it restarts services"
exec 9>"$home/deploy.lock"
flock --nonblock 9 || fail "another deployment is running"
previous=$(readlink -f "$home/current" 2>/dev/null || true)
earlier=$(cat "$home/earlier" 2>/dev/null || true)

if [ "${1:-}" = --rollback ]; then
    roll_back "$earlier"
    say "${earlier##*/} serves again"
    exit 0
fi
[ -f "${1:-}/sample_project/manage.py" ] || fail "usage: deploy.sh SOURCE | --rollback"

release=$home/releases/$(date +%Y%m%d-%H%M%S)
install_release "$1" || { rm -rf "$release"; fail "the release could not be installed; nothing has changed"; }
export SHOP_RELEASE=$release

say "checking the settings"
"$manage" check --deploy || fail "the settings are refused; nothing has changed"
say "collecting static files"
"$release/sample_project/deploy/bin/collect-static.sh" "$release/.venv/bin/python" ||
    fail "static files cannot be collected; nothing has changed"

say "migrating"
"$manage" migrate --noinput --verbosity 1 || fail "the migration failed; the earlier release goes on serving"

say "restarting"
switch_to "$release"
if restart_all; then
    if [ -n "$previous" ]; then printf '%s\n' "$previous" >"$home/earlier"; fi
    # The newest releases stay for a rollback; the one that served last is among them.
    find "$home/releases" -mindepth 1 -maxdepth 1 -type d | sort | head -n "-$keep" | xargs --no-run-if-empty rm -rf
    say "${release##*/} is serving"
else
    say "FAILED: ${release##*/} does not answer" >&2
    roll_back "$previous"
    exit 1
fi
