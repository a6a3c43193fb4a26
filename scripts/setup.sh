#!/usr/bin/env bash
# Installs what the optional test suites need. Everything goes into .bin and
# node_modules of tests, except PostgreSQL, Redis, RabbitMQ, Prometheus, Alertmanager,
# Chromium and the tools of the example scripts (kcat, redis-cli, curl), which come from
# the system's packages.
# Safe to run again; does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .bin

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s\n' "setup: $*"; }

# Debian's packages start what they install; nothing here uses those services,
# so they are told not to.
packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb || packages+=(postgresql)
have redis-server || packages+=(redis-server)
have redis-cli || packages+=(redis-tools)
have kcat || packages+=(kcat)
have curl || packages+=(curl)
have chromium-headless-shell || have chromium || packages+=(chromium-headless-shell) # half the work of a whole browser
have prometheus || packages+=(prometheus)
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || packages+=(rabbitmq-server)
have prometheus-alertmanager || have alertmanager || packages+=(prometheus-alertmanager)
if [ ${#packages[@]} -gt 0 ]; then
  if have apt-get && [ "$(id -u)" = 0 ]; then
    say "installing ${packages[*]}"
    apt-get update -qq >/dev/null
    apt-cache show chromium-headless-shell >/dev/null 2>&1 || packages=("${packages[@]/%chromium-headless-shell/chromium}")
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  else
    say "not there: ${packages[*]}; install them with your system's packages"
  fi
fi

if have python3; then
  if ! .bin/venv/bin/python -c 'import opentelemetry.sdk' >/dev/null 2>&1; then
    say "installing the OpenTelemetry SDK for Python"
    python3 -m venv .bin/venv
    .bin/venv/bin/pip install --quiet --disable-pip-version-check -r test/interop/python/requirements.txt
  fi
  # Apart from the other: what it needs is large and its own.
  if ! .bin/scouter/bin/python -c 'import scouter, polars' >/dev/null 2>&1; then
    say "installing Scouter's client"
    python3 -m venv .bin/scouter
    .bin/scouter/bin/pip install --quiet --disable-pip-version-check -r test/scouter/requirements.txt
  fi
else
  say "python3 is not there"
fi

if have npm; then
  # The copy of package.json, made last, says that all of it is there.
  if ! cmp -s test/interop/node/package.json test/interop/node/node_modules/.installed.json; then
    say "installing the OpenTelemetry SDK for JavaScript and AsyncAPI's parser"
    (cd test/interop/node && npm install --silent --no-audit --no-fund --no-package-lock &&
      cp package.json node_modules/.installed.json)
  fi
  # An OpenID provider to log in at.
  if ! cmp -s test/server/oidc/node/package.json test/server/oidc/node/node_modules/.installed.json; then
    say "installing an OpenID provider"
    (cd test/server/oidc/node && npm install --silent --no-audit --no-fund --no-package-lock &&
      cp package.json node_modules/.installed.json)
  fi
  # A browser's driver, and what looks for barriers in pages.
  if ! cmp -s test/web/package.json test/web/node_modules/.installed.json; then
    say "installing Playwright and axe"
    (cd test/web && npm install --silent --no-audit --no-fund --no-package-lock &&
      cp package.json node_modules/.installed.json)
  fi
else
  say "npm is not there"
fi

# built PROGRAM DIR: whether .bin/PROGRAM is what the sources in DIR make.
built() { [ -x ".bin/$1" ] && cmp -s "$2/go.sum" ".bin/versions/$1.sum"; }
# keep PROGRAM DIR: it is now.
keep() { mkdir -p .bin/versions && cp "$2/go.sum" ".bin/versions/$1.sum"; }
if ! built otelcol test/interop/collector; then
  say "building an OpenTelemetry Collector"
  (cd test/interop/collector && GOWORK=off GOFLAGS= go build -o ../../../.bin/otelcol .)
  keep otelcol test/interop/collector
fi
if ! built prometheus test/server/prometheus/build; then
  say "building a Prometheus with an OTLP receiver"
  (cd test/server/prometheus/build && GOWORK=off GOFLAGS= go build -ldflags=-w -tags remove_all_sd,enable_dns_sd \
    -o ../../../../.bin/prometheus github.com/prometheus/prometheus/cmd/prometheus)
  keep prometheus test/server/prometheus/build
fi
if [ ! -x .bin/nats ]; then
  say "building the NATS command-line tool"
  (cd test/mesh/natscli && GOWORK=off GOFLAGS= go build -o ../../../.bin/nats github.com/nats-io/natscli/nats)
fi
scripts/setup-kafka.sh
say "done"
