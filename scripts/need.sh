#!/usr/bin/env bash
# Makes sure that what the tests and the demo need is installed, and is silent
# if it is. Otherwise, as root on Debian or Ubuntu, it installs it; elsewhere it
# prints the one command that does, and fails.
#
# usage: scripts/need.sh NAME...
#   go        the Go toolchain (never installed from here)
#   postgres  PostgreSQL server binaries with the extension hstore
#   cc        a C compiler, for the race detector
#   node      Node.js and npm, for the tests against third-party clients
#   pgbouncer for the tests behind a pooler
#   chromium  for the tests of the pages
#   ruby      Ruby with ActiveRecord, for the apps of test/orm
#   python    Python with Django and SQLAlchemy, for the same
#   podman    with runc and a static busybox, for the tests of the container image
#   promtool  of Prometheus, for the tests of alerts and dashboard
#   compose   docker compose, for the test of docker-compose.yml
#   systemd   its systemd-analyze, for the test of the unit
set -euo pipefail

# have NAME: is it there?
have() {
  case $1 in
    go) command -v go >/dev/null ;;
    postgres) have_postgres ;;
    cc) command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ;;
    node) command -v node >/dev/null && command -v npm >/dev/null ;;
    pgbouncer) PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null ;;
    chromium) have_chromium ;;
    ruby) have_in "-e" 'gem "activerecord"; gem "pg"' /usr/bin/ruby ruby ;;
    python) have_in "-c" 'import django, psycopg2, sqlalchemy' /usr/bin/python3 python3 ;;
    podman) PATH=$PATH:/usr/sbin && command -v podman >/dev/null && command -v runc >/dev/null && command -v busybox >/dev/null ;;
    promtool) command -v promtool >/dev/null ;;
    compose) docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null ;;
    systemd) command -v systemd-analyze >/dev/null ;;
    *) echo "need.sh: $1 is none of the names above" >&2; exit 2 ;;
  esac
}

# have_in FLAG PROGRAM INTERPRETER...: does one of them run it? The same that
# test/orm tries, as a version manager may hide the system's.
have_in() {
  local interpreter
  for interpreter in "${@:3}"; do
    "$interpreter" "$1" "$2" >/dev/null 2>&1 && return
  done
  return 1
}

# The same places as test/pgtest looks in, or a server that is running.
have_postgres() {
  local dir
  [[ -n ${HCBRIDGE_TEST_DATABASE_URL:-} ]] && return
  command -v initdb >/dev/null && command -v postgres >/dev/null && return
  for dir in ${PG_BIN:+"$PG_BIN"} /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin /usr/local/pgsql/bin; do
    [[ -x $dir/initdb && -x $dir/postgres ]] && return
  done
  return 1
}

# The names that chromedp looks for.
have_chromium() {
  local name
  for name in headless_shell headless-shell chromium chromium-browser google-chrome google-chrome-stable google-chrome-beta google-chrome-unstable; do
    command -v "$name" >/dev/null && return
  done
  [[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" || -x /Applications/Chromium.app/Contents/MacOS/Chromium ]]
}

platform() {
  if [[ $(uname) == Darwin ]]; then
    echo macos
  elif command -v apt-get >/dev/null; then
    echo debian
  elif command -v dnf >/dev/null; then
    echo fedora
  elif command -v apk >/dev/null; then
    echo alpine
  else
    echo other
  fi
}

# packages PLATFORM NAME: what the platform calls it
packages() {
  case $1-$2 in
    debian-postgres) echo postgresql ;;
    fedora-postgres) echo postgresql-server postgresql-contrib ;;
    alpine-postgres) echo postgresql postgresql-contrib ;;
    macos-postgres) echo postgresql@18 ;;
    debian-cc) echo gcc libc6-dev ;;
    fedora-cc) echo gcc glibc-devel ;;
    alpine-cc) echo gcc musl-dev ;;
    macos-cc) echo llvm ;;
    debian-node | alpine-node) echo nodejs npm ;;
    fedora-node) echo nodejs ;;
    macos-node) echo node ;;
    *-pgbouncer) echo pgbouncer ;;
    debian-chromium) echo chromium fonts-dejavu-core ;;
    *-chromium) echo chromium ;;
    debian-ruby) echo ruby ruby-activerecord ruby-pg ;;
    fedora-ruby) echo ruby rubygem-activerecord rubygem-pg ;;
    debian-python | fedora-python) echo python3-django python3-psycopg2 python3-sqlalchemy ;;
    alpine-python) echo py3-django py3-psycopg2 py3-sqlalchemy ;;
    *-ruby) echo ruby ;; # and: gem install activerecord pg
    *-python) echo python ;; # and: pip install django psycopg2-binary sqlalchemy
    fedora-podman) echo podman runc busybox ;;
    *-podman) echo podman runc busybox-static ;;
    fedora-promtool) echo golang-github-prometheus ;;
    *-promtool) echo prometheus ;;
    *-compose) echo docker-compose ;;
    *-systemd) echo systemd ;;
  esac
}

# installer PLATFORM: the command to which packages are appended
installer() {
  case $1 in
    debian) echo apt-get install --yes ;;
    fedora) echo dnf install ;;
    alpine) echo apk add ;;
    macos) echo brew install ;;
  esac
}

# apt_install PACKAGE...: quietly, and without making a database cluster or
# starting a server on this machine: only their binaries are wanted.
apt_install() {
  local log config=/etc/postgresql-common/createcluster.d/hcbridge.conf policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap "rm -f '$policy'" EXIT
  fi
  log=$(mktemp)
  mkdir -p "$(dirname "$config")"
  echo "create_main_cluster = false" >"$config"
  echo "installing $*" >&2
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log" "$config"
    return 1
  fi
  rm -f "$log" "$config"
}

missing=()
for name in "$@"; do
  have "$name" || missing+=("$name")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ " ${missing[*]} " == *" go "* ]]; then
  echo "Go is not installed; see https://go.dev/dl for the version in go.mod or later" >&2
  exit 1
fi

platform=$(platform)
wanted=()
for name in "${missing[@]}"; do
  read -ra found <<<"$(packages "$platform" "$name")"
  wanted+=("${found[@]}")
done

if [[ $platform == debian && $(id -u) -eq 0 ]]; then
  apt_install "${wanted[@]}"
  for name in "${missing[@]}"; do
    have "$name" || { echo "$name is still missing after the installation of ${wanted[*]}" >&2; exit 1; }
  done
  exit 0
fi

echo "missing: ${missing[*]}" >&2
if [[ $platform == other ]]; then
  echo "install them with your package manager" >&2
else
  command="$(installer "$platform") ${wanted[*]}"
  [[ $platform == macos || $(id -u) -eq 0 ]] || command="sudo $command"
  echo "run: $command" >&2
fi
[[ " ${missing[*]} " == *" postgres "* ]] && echo "or set HCBRIDGE_TEST_DATABASE_URL to a server whose user may create databases" >&2
exit 1
