#!/usr/bin/env bash
# Runs the tests of packages, under the race detector: test.sh [-flag…] package…
# Those that promise how soon something happens come last and one after another:
# beside others they would measure these.
set -euo pipefail
cd "$(dirname "$0")/.."

flags=()
while [[ ${1-} == -* ]]; do flags+=("$1"); shift; done
packages=$(go list "$@")
alone=() others=()
for package in $packages; do
  case $package in
    */test/chaos | */test/standby) alone+=("$package") ;;
    *) others+=("$package") ;;
  esac
done

status=0
run() { go test -race -timeout 30m ${flags[@]+"${flags[@]}"} "$@" || status=$?; } # as bash 3.2 takes it
[[ ${#others[@]} == 0 ]] || run "${others[@]}"
[[ ${#alone[@]} == 0 ]] || run -p 1 "${alone[@]}"
exit "$status"
