#!/usr/bin/env bash
# Runs every fuzz target for a while: go test can only fuzz one at a time.
# usage: scripts/fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?how long, for example 30s}
for dir in $(git ls-files --cached --others --exclude-standard '*_test.go' | xargs -n1 dirname | sort -u); do
  targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 || true)
  for target in $targets; do
    echo "== ./$dir $target"
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$duration"
  done
done
