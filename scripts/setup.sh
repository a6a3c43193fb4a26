#!/usr/bin/env bash
# Installs what the optional test suites need. Everything goes into .bin and
# test/interop/node, except PostgreSQL, which comes from the system's packages.
# Safe to run again; does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .bin

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s\n' "setup: $*"; }

if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! have initdb; then
  if have apt-get && [ "$(id -u)" = 0 ]; then
    say "installing PostgreSQL"
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
  else
    say "PostgreSQL is not there; install it with your system's packages"
  fi
fi

if have python3; then
  if ! .bin/venv/bin/python -c 'import opentelemetry.sdk' >/dev/null 2>&1; then
    say "installing the OpenTelemetry SDK for Python"
    python3 -m venv .bin/venv
    .bin/venv/bin/pip install --quiet --disable-pip-version-check -r test/interop/python/requirements.txt
  fi
else
  say "python3 is not there"
fi

if have npm; then
  if [ ! -d test/interop/node/node_modules/@opentelemetry/sdk-trace-node ]; then
    say "installing the OpenTelemetry SDK for JavaScript"
    (cd test/interop/node && npm install --silent --no-audit --no-fund --no-package-lock)
  fi
else
  say "npm is not there"
fi

if [ ! -x .bin/otelcol ]; then
  say "building an OpenTelemetry Collector"
  (cd test/interop/collector && GOWORK=off GOFLAGS= go build -o ../../../.bin/otelcol .)
fi
say "done"
