#!/usr/bin/env bash
# Runs the tests of each package that has golden files with -update.
set -euo pipefail
cd "$(dirname "$0")/.."

for dir in $(grep -rlE 'flag\.Bool\("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
  echo "== $dir"
  go test "$dir" -update >/dev/null || true # red where something else is wrong; the next run tells
done
git status --short
