#!/bin/sh
# Makes what the services, the broker and the stores know each other by, in secrets/
# beside this file. Passwords that are there stay, so that it may be run again after an
# upgrade; to change one, delete its file (PostgreSQL and ClickHouse have to be told).
#
# Containers read the files as users of their own, so each file may be read by
# everybody who gets as far: the directory is its owner's alone.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p -m 700 secrets
cd secrets

# write NAME: a file with what comes in, if that is not what it has.
write() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then
    rm "$1.new"
  else
    mv "$1.new" "$1" && echo "made secrets/$1"
  fi
}
# password NAME [BYTES]: a password, unless there is one.
password() { [ -s "$1" ] || od -An -tx1 -N "${2:-24}" /dev/urandom | tr -d ' \n' | write "$1"; }

password mesh
password admin 12 # the first login: admin, of the tenant driftmesh

password clickhouse
printf 'http://driftmesh:%s@clickhouse:8123/driftmesh\n' "$(cat clickhouse)" | write clickhouse.url
write clickhouse.xml <<XML
<clickhouse><users>
  <default remove="remove"/>
  <driftmesh>
    <password>$(cat clickhouse)</password>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <access_management>1</access_management>
  </driftmesh>
</users></clickhouse>
XML

password postgres
printf 'postgres://driftmesh:%s@postgres:5432/driftmesh?sslmode=disable\n' "$(cat postgres)" | write postgres.url

for user in gateway auth drift ingest-worker trace-store producer; do
  password "nats-$user"
  printf 'nats://%s:%s@nats:4222?inbox-prefix=_INBOX_%s\n' "$user" "$(cat "nats-$user")" "$user" | write "nats-$user.url"
done
for user in gateway auth drift ingest-worker trace-store producer; do
  printf '%s_PASSWORD: "%s"\n' "$(echo "$user" | tr 'a-z-' 'A-Z_')" "$(cat "nats-$user")"
done | write nats.conf
