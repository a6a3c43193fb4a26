#!/usr/bin/env bash
# Publishes records and a trace to driftmesh's inbox with the NATS CLI, 0.2.4 or
# newer.
#   TOKEN=dm_… ./nats.sh nats://producer:PASSWORD@127.0.0.1:4222
set -euo pipefail
url=${1:-nats://127.0.0.1:4222}
. "$(dirname "$0")/sample.sh"

publish() { # type, file
  nats --server "$url" pub driftmesh.inbox --jetstream --force-stdin --no-templates \
    -H "Nats-Msg-Id:$(hex 16)" -H "driftmesh-type:$1" -H "traceparent:$traceparent" \
    ${auth:+-H "authorization:$auth"} <"$2"
}
publish records.v1 "$dir/records.bin"
publish otlp.traces.json.v1 "$dir/trace.json"
