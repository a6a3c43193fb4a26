#!/usr/bin/env bash
# Runs the tests of the three modules: a line for every package as it finishes,
# in the end what failed, and which suites were skipped because this machine
# lacks something. `make test` and `make test-short` call it; it needs
# .bin/gotestsum, which they build. TEST_FLAGS goes to go test.
set -uo pipefail
cd "$(dirname "$0")/.."

flags=(-timeout 50m)
if [ "${1:-}" = short ]; then
  flags+=(-short)
elif [ "$(go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC | cut -d' ' -f1)" >/dev/null; then
  flags+=(-race)
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
  "${flags[@]}" ${TEST_FLAGS:-} ./... ./proto/... ./sdk/...
status=$?

skipped=$(grep -oE 'suite [a-z]+ skipped: [^"\\]*' "$log" | sort | uniq -c)
if [ -n "$skipped" ]; then
  printf '\n%s\n%s\n' "Skipped, because this machine lacks something (scripts/setup.sh installs it):" "$skipped"
fi
exit $status
