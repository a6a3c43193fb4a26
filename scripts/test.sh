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
  # Of every failed test, the last 150 lines that are its own; and whatever
  # ended a test binary or kept it from being built.
  awk '
    /^=== (RUN|NAME|CONT|PAUSE) / { test = $3; next }
    /^ *--- FAIL: / { name = $3; printf "=== %s\n", name
      for (i = (n[name] > 150 ? n[name] - 150 : 0); i < n[name]; i++) print substr(said[name, i], 1, 400)
      print; next }
    /^(ok|FAIL)\t/ { split("", n); next } # the end of a package
    /^ *--- / || /^(PASS|FAIL)$/ { next }
    { said[test, n[test]++] = $0 }' "$log"
  grep -nE -A40 '^panic:|DATA RACE|^# |build failed|^fatal error:' "$log" | head -400
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
