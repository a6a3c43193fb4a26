#!/bin/bash
# Pictures of every screen in both themes, in a directory (or docs/images): what the tests
# of the user interface look at. Of those, only the ones that docs name are committed:
# "docs/images" keeps these and drops the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
into=$(mkdir -p "${1:-docs/images}" && cd "${1:-docs/images}" && pwd)
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
DRIFTMESH_SCREENSHOTS=$all go test -count=1 -timeout 30m -run TestWhatPeopleSee ./test/web
if [ "$into" = "$PWD/docs/images" ]; then
  for name in $(grep -ohE 'images/[a-z-]+\.png' README.md docs/*.md | sort -u | xargs -n1 basename); do
    cp "$all/$name" "$into/"
  done
else
  cp "$all"/*.png "$into/"
fi
# More than this each, and they weigh on every clone.
too_large=$(find "$into" -name '*.png' -size +160k)
[ "$into" != "$PWD/docs/images" ] || [ -z "$too_large" ] || echo "larger than 160 kB, make them smaller before they are committed: $too_large"
ls -l "$into"
