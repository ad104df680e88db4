#!/bin/bash
# restore-test.sh: restore the newest dump of backup.sh into a PostgreSQL of its own and verify every payment there.
# shop-restore-test.timer runs it every week, or cron (../cron/shop). If a step fails, the exit code is 1, and the
# health report and the alerts say so. Nothing of it touches the shop's own database, except the note at the end.
set -euo pipefail
umask 077

folder=${BACKUP_DIR:-/var/backups/shop}
release=${SHOP_RELEASE:-/srv/shop/current}
python=${SHOP_PYTHON:-$release/.venv/bin/python}

note() { (cd "$release/sample_project" && "$python" manage.py feexpay_note_backup restore_test "$@"); }

ended() {
    local code=$?
    if [ -n "${scratch:-}" ]; then
        as_server "$programs/pg_ctl" stop --pgdata="$scratch/data" --mode=immediate --silent 2>/dev/null || true
        rm -rf "$scratch"
    fi
    if [ "$code" != 0 ]; then
        echo "FAILED: ${dump##*/} could not be restored and verified" >&2
        note --failed || echo "FAILED: the shop cannot be told either" >&2
    fi
    exit "$code"
}
trap ended EXIT

# PostgreSQL refuses to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"
    else
        "$@"
    fi
}

# manage.py on the restored rows: the file wins over every other address of the database.
manage() {
    (cd "$release/sample_project" && DATABASE_URL_FILE="$scratch/address" "$python" manage.py "$@")
}

dump=
for dump in "$folder"/shop-*.dump; do :; done
(cd "$folder" && sha256sum --check --status "${dump##*/}.sha256") || { echo "its checksum is wrong" >&2; exit 1; }

programs=${POSTGRES_PROGRAMS:-}
for found in /usr/lib/postgresql/*/bin; do [ -n "${POSTGRES_PROGRAMS:-}" ] || programs=$found; done
scratch=$(mktemp --directory "${RESTORE_TEST_DIR:-/var/tmp}/shop-restore.XXXXXX")
[ "$(id -u)" != 0 ] || chown nobody:nogroup "$scratch"
# Only who may enter the folder reaches the socket in it, so there is no password.
(
    cd /
    as_server "$programs/initdb" --pgdata="$scratch/data" --username=shop --auth=trust --encoding=UTF8 --locale=C --no-sync
    as_server "$programs/pg_ctl" start --pgdata="$scratch/data" --wait --silent --log="$scratch/log" --options="\
-c listen_addresses= -c unix_socket_directories=$scratch -c fsync=off -c jit=off -c dynamic_shared_memory_type=mmap"
) >/dev/null
"$programs/createdb" --host="$scratch" --username=shop shop
"$programs/pg_restore" --host="$scratch" --username=shop --dbname=shop --exit-on-error --no-owner "$dump"
echo "postgres://shop@/shop?host=$scratch" >"$scratch/address"

manage migrate --noinput --verbosity 0 # the dump may be older than the release
manage feexpay_verify
manage feexpay_verify_audit
note
rows=$("$programs/psql" --host="$scratch" --username=shop --dbname=shop --tuples-only --no-align \
    --command="SELECT count(*) || ' payments, the newest of ' || coalesce(max(created_at)::text, 'never') FROM feexpay_payment")
echo "${dump##*/} was restored and verified: $rows"
