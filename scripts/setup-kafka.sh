#!/usr/bin/env bash
# Fetches the jars of an Apache Kafka broker from Maven Central into .bin/kafka,
# for the tests that run a real one. Needs Java 17 or newer, and Maven.
# Safe to run again; does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s\n' "setup: $*"; }

pom=test/server/kafka/pom.xml
dir=.bin/kafka
if ! have java || ! have mvn; then
  say "java or mvn is not there: the suites on a real Kafka are skipped"
  exit 0
fi
if cmp -s "$pom" "$dir/pom.xml"; then
  exit 0
fi
say "fetching Apache Kafka"
rm -rf "$dir"
mkdir -p "$dir"
mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$PWD/$dir"
cp "$pom" "$dir/pom.xml" # last: it says that all is there
