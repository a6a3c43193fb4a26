# The two messages that the scripts beside this one publish: records.bin, a batch
# of one record of the profile default/wine, and trace.json, the span that both
# have as their parent. Sourced by them; it leaves the files in $dir, the trace
# context in $traceparent, and the credentials in $auth.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
trace_id=$(hex 16) span_id=$(hex 8)
traceparent="00-$trace_id-$span_id-01"
auth="${TOKEN:+Bearer $TOKEN}" # empty where the mesh takes messages without

# driftmesh.event.v1.RecordBatch; written by
#   protoc --encode=driftmesh.event.v1.RecordBatch -I proto proto/driftmesh/event/v1/event.proto <<'EOF'
#   records { profile: "default/wine" features {
#     values { name: "alcohol" float: 9.4 } values { name: "pH" float: 3.51 } } }
#   EOF
base64 -d >"$dir/records.bin" <<'EOF'
CjMaDGRlZmF1bHQvd2luZVIjChIKB2FsY29ob2wZzczMzMzMIkAKDQoCcEgZFK5H4XoUDEA=
EOF

now=$(date +%s%N)
cat >"$dir/trace.json" <<EOF
{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "producer"}}]},
 "scopeSpans": [{"spans": [{"traceId": "$trace_id", "spanId": "$span_id", "name": "measure", "kind": 4,
  "startTimeUnixNano": "$((now - 5000000))", "endTimeUnixNano": "$now"}]}]}]}
EOF
echo "traceparent $traceparent"
