#!/usr/bin/env bash
# Runs every fuzz target for a while: go test can only fuzz one at a time. It prints
# a line for each: what it ran, inputs that reached something new, and the result.
# Those that failed are told at the end, and make it fail.
#
# usage: scripts/fuzz.sh DURATION [WORKERS] [REGEXP of "./folder Target"]
#   WORKERS is how many processes fuzz side by side; as many as there are CPUs.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?how long, for example 30s}
workers=${2:-$(nproc 2>/dev/null || sysctl -n hw.ncpu)}
only=${3:-}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

failed=()
for dir in $(git ls-files --cached --others --exclude-standard '*_test.go' | xargs -n1 dirname | sort -u); do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 || true); do
    name="./$dir $target"
    [[ -z $only || $name =~ $only ]] || continue
    result=ok
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -parallel "$workers" >"$log" 2>&1 || result=FAILED
    last=$(grep -oE 'execs: [0-9]+.*' "$log" | tail -n 1 || true)
    execs=$(sed -nE 's/^execs: ([0-9]+).*/\1/p' <<<"$last")
    new=$(sed -nE 's/.*new interesting: ([0-9]+).*/\1/p' <<<"$last")
    printf '%-6s %-48s %12s execs %6s new\n' "$result" "$name" "${execs:-0}" "${new:-0}"
    if [[ $result != ok ]]; then
      failed+=("$name")
      tail -n 40 "$log"
    fi
  done
done
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
