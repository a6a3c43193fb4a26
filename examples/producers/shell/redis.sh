#!/usr/bin/env bash
# Publishes records and a trace to driftmesh's inbox with redis-cli.
#   TOKEN=dm_… ./redis.sh redis://127.0.0.1:6379
set -euo pipefail
url=${1:-redis://127.0.0.1:6379}
. "$(dirname "$0")/sample.sh"

publish() { # type, file: -x reads the last argument, the payload, from standard input
  redis-cli -u "$url" -e -x XADD 'driftmesh:{inbox}' NOMKSTREAM '*' \
    i "$(hex 16)" h:driftmesh-type "$1" h:traceparent "$traceparent" \
    ${auth:+h:authorization "$auth"} v <"$2"
}
publish records.v1 "$dir/records.bin"
publish otlp.traces.json.v1 "$dir/trace.json"
