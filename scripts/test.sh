#!/usr/bin/env bash
# Runs the tests of all modules: a line for every package as it finishes,
# in the end what failed, and which suites were skipped because this machine
# lacks something. `make test` and `make test-short` call it; it needs
# .bin/gotestsum, which they build. TEST_FLAGS goes to go test.
set -uo pipefail
cd "$(dirname "$0")/.."

# Nobody debugs these programs, and go vet is a part of `make lint`, which
# looks at tests too: linking without the one and testing without the other is
# quicker.
flags=(-timeout 50m -ldflags=-w -vet=off)
packages=(./... ./proto/... ./sdk/... ./sdk/broker/...)
# The packages that take longest begin first: others go on beside them.
first=(./test/mesh ./test/interop ./services/drift/drift ./test/scouter ./test/transport ./test/web)
if [ "${1:-}" = short ]; then
  flags+=(-short)
  # Whole meshes and programs, and drivers of brokers: nothing is left of them
  # without servers.
  mapfile -t packages < <(go list "${packages[@]}" | grep -vE '/driftmesh/(test|docs|deploy|internal/broker/driver)(/|$)')
  first=()
elif [ "$(go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC | cut -d' ' -f1)" >/dev/null; then
  # SQLite is C that a program made into Go: it works on memory of its own, which
  # the detector does not look at, and asking it takes most of the time of a
  # service that polls its state.
  race=(-race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false)
  flags+=("${race[@]}")
  # What test/mesh starts (see its Binary), before everything: later, a second
  # go would compile the same beside the one that runs the tests.
  go build "${race[@]}" -ldflags=-w -o .bin/test-race/ ./cmd/driftmesh ./services/{auth,drift,gateway,ingest-worker,trace-store} \
    ./examples/producers/{kafka,nats,rabbitmq,redis} ./examples/sensors || exit
  go build -ldflags=-w -o .bin/test/ ./cmd/driftmesh || exit # for test/web
elif [[ ",${DRIFTMESH_TEST_REQUIRE:-}," == *,race,* ]]; then
  echo "the race detector is required and cannot run: there is no C compiler"
  exit 1
else
  echo "There is no C compiler here, which the race detector needs: the tests run without it."
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # several flags in one variable
.bin/gotestsum --format pkgname --format-hide-empty-pkg --hide-summary skipped --jsonfile "$log" -- \
  "${flags[@]}" ${TEST_FLAGS:-} "${first[@]}" "${packages[@]}"
status=$?

skipped=$(grep -oE 'suite [a-z-]+ skipped: [^"\\]*' "$log" | sort | uniq -c)
if [ -n "$skipped" ]; then
  printf '\n%s\n%s\n' "Skipped, because this machine lacks something (scripts/setup.sh installs it):" "$skipped"
fi
exit $status
