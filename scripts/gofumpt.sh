#!/usr/bin/env bash
# Fails and lists the files that gofumpt would change.
# usage: scripts/gofumpt.sh <command that runs gofumpt>
set -euo pipefail
cd "$(dirname "$0")/.."

files=$("$@" -l .)
if [[ -n $files ]]; then
  echo "not formatted; run \"make fmt\":" >&2
  echo "$files" >&2
  exit 1
fi
