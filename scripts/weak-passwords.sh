#!/usr/bin/env bash
# Makes services/auth/internal/weak/list.bloom from zxcvbn's lists (MIT licence):
# passwords of breaches, words and names of English.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm pack --silent zxcvbn@4.4.2 >/dev/null
echo "0b3ebb60ec2df2340e1b8b70e4cb2657a3ceb192781d299310e7aceaa606cd22  zxcvbn-4.4.2.tgz" | sha256sum --check --quiet
tar xzf zxcvbn-4.4.2.tgz
# Shorter words than five letters are no password with what may stand around them.
node -e '
const lists = require("./package/lib/frequency_lists.js");
for (const name of ["passwords", "english_wikipedia", "female_names", "male_names", "surnames"]) {
  const all = Array.isArray(lists[name]) ? lists[name] : lists[name].split(",");
  for (const word of all) if (word.length >= 5) console.log(word);
}' > words
cd "$root"
go run ./services/auth/internal/weak/gen < "$dir/words" > "$dir/list.bloom"
cp "$dir/list.bloom" services/auth/internal/weak/list.bloom
