#!/usr/bin/env bash
# Builds the image: build.sh [--programs DIRECTORY] [--tag NAME] [-- OPTIONS OF THE ENGINE]
#
# ENGINE names the program that builds: podman, buildah or docker; by default the first that is there. Options behind `--` go to its
# `build`; ENGINE_OPTIONS go before the verb (storage, for example). SOURCE and DOCUMENTATION are addresses, and become labels.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
tag=strata:$version
programs=
while (($# > 0)); do
    case $1 in
        --programs) programs=$2; shift 2 ;;
        --tag) tag=$2; shift 2 ;;
        --) shift; break ;;
        *) echo "build.sh: $1 is unknown; see its first lines" >&2; exit 2 ;;
    esac
done

engine=${ENGINE:-}
for known in podman buildah docker; do
    [[ -n $engine ]] || ! command -v "$known" >/dev/null || engine=$known
done
[[ -n $engine ]] || { echo "build.sh: install podman, buildah or docker (apt-get install podman)" >&2; exit 1; }

options=(--file packaging/image/Containerfile --tag "$tag" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
# Not of the clone that it is built from: two clones of the same sources give the same image.
for key in source documentation; do
    name=${key^^}
    [[ -z ${!name:-} ]] || options+=(--label "org.opencontainers.image.$key=${!name}")
done
case $(basename "$engine") in
    # Times in the layers and in the description.
    podman | buildah) options+=(--timestamp 0) ;;
    *) export SOURCE_DATE_EPOCH=0 ;;
esac
context=.
if [[ -n $programs ]]; then
    options+=(--build-context "programs=$programs")
    # Nothing of the sources is needed then.
    context=packaging/image
fi
read -ra global <<<"${ENGINE_OPTIONS:-}"
"$engine" "${global[@]}" build "${options[@]}" "$@" "$context"
echo "built $tag"
