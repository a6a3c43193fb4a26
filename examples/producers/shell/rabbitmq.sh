#!/usr/bin/env bash
# Publishes records and a trace to driftmesh's inbox on RabbitMQ, through the
# management API with curl. The API is for trying things out: it waits for no
# confirm. With rabbitmqadmin it is the same request:
#   rabbitmqadmin publish exchange=driftmesh.inbox routing_key= payload_encoding=base64 \
#     payload="$(base64 -w0 FILE)" properties='{"delivery_mode": 2, "headers": {…}}'
#
#   TOKEN=dm_… ./rabbitmq.sh http://guest:guest@127.0.0.1:15672
set -euo pipefail
url=${1:-http://guest:guest@127.0.0.1:15672}
user=${url#*://} user=${user%%:*} # the property user-id, which RabbitMQ verifies
. "$(dirname "$0")/sample.sh"

publish() { # type, file
  curl --fail --silent --show-error -H 'content-type: application/json' \
    "$url/api/exchanges/%2F/driftmesh.inbox/publish" -d @- <<EOF
{"routing_key": "", "payload_encoding": "base64", "payload": "$(base64 -w0 "$2")",
 "properties": {"delivery_mode": 2, "message_id": "$(hex 16)", "user_id": "$user", "headers": {
  ${auth:+"\"authorization\": \"$auth\","} "driftmesh-type": "$1", "traceparent": "$traceparent"}}}
EOF
  echo # {"routed":true}: a reader will get it
}
publish records.v1 "$dir/records.bin"
publish otlp.traces.json.v1 "$dir/trace.json"
