#!/usr/bin/env bash
# Builds the image from the Dockerfile with neither Docker nor a registry, and
# unpacks it into tmp/image for the tests of `make image`. As root, on Debian.
#
# The build stage runs on a stand-in for golang:1.26-bookworm: the same Debian,
# from its packages, with the Go of this machine. It is made once; `buildah rmi
# golang:1.26-bookworm` has it made anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$PWD/tmp/image
base=docker.io/library/golang:1.26-bookworm

say() { printf 'image: %s\n' "$*" >&2; }

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	say "this needs root on Debian; elsewhere: docker build -t patina ."
	exit 1
fi
if ! command -v buildah >/dev/null || ! command -v debootstrap >/dev/null; then
	say "installing buildah and debootstrap"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah debootstrap >/dev/null
fi
# No engine, no kernel features: containers are folders, and processes in them
# run under chroot.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

mkdir -p "$out"
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
	say "making a stand-in for $base"
	root=$out/base
	if [ ! -e "$root/.complete" ]; then
		rm -rf "$root"
		debootstrap --variant=minbase --include=ca-certificates bookworm "$root" http://deb.debian.org/debian >"$out/debootstrap.log"
		touch "$root/.complete"
	fi
	container=$(buildah from scratch)
	buildah add --quiet "$container" "$root" / >/dev/null
	buildah add --quiet "$container" "$(go env GOROOT)" /usr/local/go >/dev/null
	buildah config --env PATH=/usr/local/go/bin:/usr/bin:/bin:/usr/sbin:/sbin --env GOPATH=/go --env GOTOOLCHAIN=local --env "GOPROXY=$(go env GOPROXY)" "$container"
	buildah commit --quiet --rm "$container" "$base" >/dev/null
	rm -rf "$root"
fi

say "building"
# The modules and the build cache of this machine serve the build, as a cache of
# layers would.
mkdir -p "$(go env GOCACHE)"
buildah build --pull-never --layers=false --network host \
	--volume "$(go env GOMODCACHE):/go/pkg/mod" --volume "$(go env GOCACHE):/root/.cache/go-build" \
	--build-arg "VERSION=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)" \
	--tag patina:made-here . >"$out/build.log" 2>&1 || { tail -40 "$out/build.log" >&2; exit 1; }

say "unpacking"
rm -rf "$out/root"
mkdir -p "$out/root"
buildah inspect --type image --format '{{.Config}}' patina:made-here >"$out/config.json"
container=$(buildah from --pull-never patina:made-here)
cp -a "$(buildah mount "$container")/." "$out/root/"
buildah rm "$container" >/dev/null
du -sh "$out/root" | awk '{print "image: " $1 " in " $2}' >&2
