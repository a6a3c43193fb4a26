#!/bin/sh
# Makes, in the volumes below KEYS, what the programs around the mesh know themselves
# to it by: an API key each, for what it does and no more. A key that is still good
# stays. The sensors get a certificate as well.
set -eu
keys=${KEYS:-/keys}
umask 022

DRIFTMESH_TOKEN=$(driftmesh login admin --tenant driftmesh --password-stdin --print <"${ADMIN:-/run/secrets/admin}")
export DRIFTMESH_TOKEN

# key NAME FLAGS...: an API key of the tenant default.
key() {
  name=$1
  shift
  if [ -s "$keys/$name/key" ] && DRIFTMESH_TOKEN='' driftmesh whoami --api-key "file:$keys/$name/key" >/dev/null 2>&1; then
    echo "$name has a key"
    return
  fi
  made=$(driftmesh key create "$name" --tenant default "$@")
  printf %s "$made" >"$keys/$name/key.new" # without an end of line, which no header may have
  mv "$keys/$name/key.new" "$keys/$name/key"
  echo "$name has a new key"
}
key grafana --role viewer --permission traces.read
key otelcol --role ingest --permission spans.write
key sensors --role editor

driftmesh certs make sensors --dir "$keys/sensors/certs" --dns sensors --dns localhost
