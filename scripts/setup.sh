#!/usr/bin/env bash
# Installs what is missing: `setup.sh build` for a build, `setup.sh test` for all tests, `setup.sh bench` for the peers
# of the benchmark. Programs that are there are left as they are, so a machine that has all needs neither root nor network.
set -euo pipefail

usage() {
    echo "usage: $0 build|test|bench" >&2
    exit 2
}

# Prints the package of a program that is not there.
want() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin command -v "$1" >/dev/null 2>&1 || echo "$2"
}

missing() {
    want cc gcc
    want c++ g++
    want cmake cmake
    want make make
    [[ $1 == build ]] && return
    want nginx nginx-light
    want haproxy haproxy
    [[ $1 == bench ]] && return
    want curl curl
    want nghttp nghttp2-client
    want h2load nghttp2-client
    want openssl openssl
    want etcd etcd-server
    # For the alerts of k8s/; kubectl and the schemas come with the tests' Python packages.
    want promtool prometheus
    # For the test that reloads a service; it starts a systemd in namespaces of its own.
    want systemd-analyze systemd
    want nsenter util-linux
    # For the image, and both tiers as containers.
    want podman podman
    want runc runc
    want conmon conmon
    want catatonit catatonit
    want iptables iptables
    want ip iproute2
    [[ -x /usr/lib/podman/netavark ]] || echo netavark
    [[ -x /usr/lib/podman/aardvark-dns ]] || echo aardvark-dns
    # For the test that installs the package in a clean Debian of its own.
    want dpkg-shlibdeps dpkg-dev
    want debootstrap debootstrap
    # For the small disks of tests that fill one.
    want mount mount
    # Debian's own Python comes without the part of `venv` that makes a pip.
    want python3 python3-venv
    [[ -x /usr/bin/python3 ]] || echo python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
}

refuse() {
    echo "these packages are missing, and only root can install them: $*" >&2
    echo "run as root: apt-get update && apt-get install -y --no-install-recommends $*" >&2
    exit 1
}

install() {
    local root=()
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get here; install what Debian calls: $*" >&2
        exit 1
    fi
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || refuse "$@"
        # Where nobody can type a password, say what to do instead of waiting for one.
        [[ -t 0 ]] || sudo -n true >/dev/null 2>&1 || refuse "$@"
        root=(sudo)
    fi
    echo "installing $*"
    "${root[@]}" apt-get update -qq
    # The environment is handed over inside: sudo may drop it. RUNLEVEL keeps init scripts from starting nginx and haproxy.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

[[ $# == 1 && $1 =~ ^(build|test|bench)$ ]] || usage
mapfile -t packages < <(missing "$1" | sort -u)
if ((${#packages[@]} > 0)); then
    install "${packages[@]}"
fi
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust from https://rustup.rs" >&2
    exit 1
fi
