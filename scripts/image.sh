#!/usr/bin/env bash
# Builds one target of the Dockerfile with docker, podman or buildah, whichever
# is there. Only the format docker has room for the health check.
# usage: scripts/image.sh <target> <image> <version>
set -euo pipefail
cd "$(dirname "$0")/.."

target=$1 image=$2 version=$3
commit=$(git rev-parse HEAD 2>/dev/null || true)
args=(--target "$target" --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" --tag "$image" .)
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker build "${args[@]}"
elif command -v podman >/dev/null; then
  podman build --format docker "${args[@]}"
elif command -v buildah >/dev/null; then
  buildah build --format docker "${args[@]}"
else
  echo "no docker, podman or buildah to build an image with" >&2
  exit 1
fi
