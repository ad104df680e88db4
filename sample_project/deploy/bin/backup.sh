#!/bin/bash
# backup.sh: dump the database, check the dump, delete dumps that are too old, and tell the shop that it is done.
# shop-backup.timer runs it every night, or cron (../cron/shop). If a step fails, the exit code is 1, the health report
# and the alerts say so, and no dump is deleted.
#
# Newer dumps are kept for BACKUP_KEEP_DAYS, and the first one of each week for BACKUP_KEEP_WEEKS. They are readable
# only by the user of the service. DATABASE_DIRECT_HOST names the server itself where DATABASE_URL leads to pgbouncer.
set -euo pipefail
umask 077

folder=${BACKUP_DIR:-/var/backups/shop}
keep_days=${BACKUP_KEEP_DAYS:-14}
keep_weeks=${BACKUP_KEEP_WEEKS:-8}
release=${SHOP_RELEASE:-/srv/shop/current}
python=${SHOP_PYTHON:-$release/.venv/bin/python}

note() { (cd "$release/sample_project" && "$python" manage.py feexpay_note_backup backup "$@"); }

ended() {
    local code=$?
    rm -f "${part:-}"
    if [ "$code" != 0 ]; then
        echo "FAILED: no backup was made" >&2
        note --failed || echo "FAILED: the shop cannot be told either" >&2
    fi
    exit "$code"
}
trap ended EXIT

# The address of the database as variables of libpq: an argument of pg_dump would be visible to every user.
connection() {
    "$python" - <<'PYTHON'
import os, shlex
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

def secret(name):
    file = os.environ.get(f"{name}_FILE") or os.path.join(os.environ.get("CREDENTIALS_DIRECTORY", ""), name)
    return Path(file).read_text().strip() if os.path.isfile(file) else os.environ.get(name, "")

url = urlsplit(secret("DATABASE_URL"))
direct = os.environ.get("DATABASE_DIRECT_HOST", "")
server = urlsplit(f"//{direct}") if direct else url
found = {
    "PGHOST": unquote(server.hostname or ""),
    "PGPORT": str(server.port or 5432),
    "PGUSER": unquote(url.username or ""),
    "PGPASSWORD": unquote(url.password or ""),
    "PGDATABASE": unquote(url.path[1:]),
}
found |= {f"PG{name.upper()}": value for name, value in parse_qsl(server.query) if name.startswith("ssl")}
print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items()))
PYTHON
}

# Delete what is too old. The first dump of a week stands for the week.
prune() {
    local dump age week last=
    for dump in "$folder"/shop-*.dump; do
        age=$((($(date +%s) - $(date --reference="$dump" +%s)) / 86400))
        week=$(date --utc --reference="$dump" +%G-%V)
        if [ "$age" -ge "$keep_days" ] && { [ "$week" = "$last" ] || [ "$age" -ge $((keep_weeks * 7)) ]; }; then
            rm -f "$dump" "$dump.sha256"
            echo "deleted ${dump##*/}"
        else
            last=$week
        fi
    done
}

exec 9>"$folder/lock"
flock --nonblock 9 || { echo "another backup is running" >&2; exit 1; }
variables=$(connection)
name=shop-$(date --utc +%Y%m%dT%H%M%SZ).dump
part=$folder/$name.part
(eval "$variables" && exec pg_dump --format=custom --no-owner --no-privileges --file="$part")
pg_restore --list "$part" >/dev/null
sync "$part"
mv "$part" "$folder/$name"
(cd "$folder" && sha256sum "$name" >"$name.sha256")
sync "$folder"
prune
note
echo "$name: $(stat --format=%s "$folder/$name") bytes"
