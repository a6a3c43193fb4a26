#!/usr/bin/env bash
# Publishes records and a trace to driftmesh's inbox on Kafka with kcat.
#   TOKEN=dm_… ./kafka.sh 127.0.0.1:9092
set -euo pipefail
brokers=${1:-127.0.0.1:9092}
. "$(dirname "$0")/sample.sh"

publish() { # type, file: a file that is named is one message
  kcat -b "$brokers" -t driftmesh.inbox -P -X acks=all \
    -H "driftmesh-x-id=$(hex 16)" -H "driftmesh-type=$1" -H "traceparent=$traceparent" \
    ${auth:+-H "authorization=$auth"} "$2"
}
publish records.v1 "$dir/records.bin"
publish otlp.traces.json.v1 "$dir/trace.json"
