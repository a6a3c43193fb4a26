#!/usr/bin/env bash
# Fuzzes, one target after the other: scripts/fuzz.sh [TIME [PACKAGE...]]. TIME is for
# each target (default 1m), packages are by default those that read what strangers
# send to prove who they are. What is found is kept beside the test, as go test does.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-1m}
shift || true
packages=("$@")
if [ ${#packages[@]} = 0 ]; then
  packages=(./internal/identity ./internal/envelope ./internal/scouter ./services/auth/internal/{token,oidc,account} ./services/gateway/internal/source ./services/ingest-worker/internal/admit)
fi
for package in "${packages[@]}"; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9]+' "$package"/*_test.go | cut -d' ' -f2); do
    echo "== $package $target"
    go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time"
  done
done
