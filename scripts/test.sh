#!/usr/bin/env bash
# Runs all tests of the three modules with the race detector, and says in the
# end which suites were skipped because this machine lacks something.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -race -timeout 30m -v ${TEST_FLAGS:-} ./... ./proto/... ./sdk/... >"$log" 2>&1
status=$?
grep -E '^(ok|FAIL|panic:|--- FAIL|\?? +[^ ]+ +\[build failed\])' "$log" | grep -v 'no test files'
if [ $status -ne 0 ]; then
  echo
  echo "What failed:"
  grep -nE -A12 '^ +Error Trace:' "$log" | cut -c1-400 | head -200
  grep -nE -B60 -A8 '^ *--- FAIL|^panic:|DATA RACE|^# |build failed' "$log" | head -400
fi
skipped=$(grep -E '^ +.*(suite [a-z]+ skipped|skipped: )' "$log" | sed 's/^ *//' | sort | uniq -c)
passed=$(grep -cE '^ *--- PASS' "$log")
failed=$(grep -cE '^ *--- FAIL' "$log")
skips=$(grep -cE '^ *--- SKIP' "$log")
if [ -n "$skipped" ]; then
  echo
  echo "Skipped, because this machine lacks something (scripts/setup.sh installs it):"
  printf '%s\n' "$skipped"
fi
echo
echo "tests: $passed passed, $failed failed, $skips skipped"
exit $status
