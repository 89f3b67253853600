// Package container holds the tests of the container image.
//
// It builds the image with scripts/image.sh, as `make image` does, and runs it
// with podman and runc: no daemon is needed. Everything is in a folder of the test's
// own, and gone afterwards. The containers have a read-only root, no capabilities,
// no new privileges, little memory and a user of their own, and share the host's
// network, where Postgres and the simulated org are.
//
// One thing is not covered: the image that the Dockerfile builds in,
// golang:1.26-bookworm, is not pulled, since there may be no registry to pull it
// from. In its place is one with the same paths, which has the machine's Go
// toolchain, module cache and build cache mounted; so the build itself is real, and
// the final image is made from scratch in either case. Podman's own schedule of
// health checks needs systemd; their command is run as the image gives it.
//
// It runs on Linux.
package container
