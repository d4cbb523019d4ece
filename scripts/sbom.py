#!/usr/bin/env python3
"""The bill of materials of the image, as CycloneDX 1.5 JSON on standard output.

Every crate that is linked into one of them for this platform, from `cargo metadata`, with its licence and the checksum of
the lock file. What only runs while building (build scripts and procedural macros, and what they need) is told apart by `scope`.
What is in the image beside crates is named too, with the version of this machine, on which it is built: the C library and the
compiler's runtime, which are linked in, Rust's standard library, and the authorities' certificates. A scanner finds none of these in static
programs. The same lock file and machine give the same bill, byte for byte. cargo-cyclonedx makes the same list, but building it takes longer than building us.
"""

import hashlib
import json
import os
import pathlib
import platform
import subprocess
import tomllib
import urllib.parse

SHIPPED = ("global-lb", "regional-lb", "lbctl")
AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def cargo(*arguments):
    command = ["cargo", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def said(*command):
    """What a program says; nothing when it is not there, or fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def debian(package):
    """The version of a package of Debian on this machine, and how it is named everywhere; nothing on other systems."""
    version, _, architecture = said("dpkg-query", "-W", "-f", "${Version} ${Architecture}", package).partition(" ")
    if not version:
        return "", ""
    release = platform.freedesktop_os_release()
    place = f"{release['ID']}-{release.get('VERSION_ID', 'unstable')}"
    return version, f"pkg:deb/{release['ID']}/{package}@{urllib.parse.quote(version)}?arch={architecture}&distro={place}"


def beside():
    """What is in the image and no crate."""

    def component(kind, name, licence, found, otherwise):
        version, url = found
        url = url or f"pkg:generic/{name}@{otherwise}"
        entry = {"type": kind, "bom-ref": url, "name": name, "version": version or otherwise, "scope": "required", "purl": url}
        return {**entry, "licenses": [{"expression": licence}]}

    def owner(file):
        """The package of a file that the C compiler links."""
        path = os.path.realpath(said("cc", f"-print-file-name={file}"))
        return debian(said("dpkg-query", "-S", path).partition(":")[0] or "none")

    rust = cargo("version").split()[1]
    certificates = component("data", "ca-certificates", "MPL-2.0", debian("ca-certificates"), "unknown")
    certificates["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(AUTHORITIES.read_bytes()).hexdigest()}]
    return [
        component("library", "glibc", "LGPL-2.1-or-later", owner("libc.a"), os.confstr("CS_GNU_LIBC_VERSION").split()[1]),
        component("library", "libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1", owner("libgcc_eh.a"), said("cc", "-dumpversion")),
        component("library", "rust-std", "MIT OR Apache-2.0", ("", ""), rust),
        certificates,
    ]


def main():
    target = next(line.split()[1] for line in cargo("version", "--verbose").splitlines() if line.startswith("host:"))
    about = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    lock = tomllib.loads((pathlib.Path(about["workspace_root"]) / "Cargo.lock").read_text())
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock["package"]}
    packages = {package["id"]: package for package in about["packages"]}
    nodes = {node["id"]: node for node in about["resolve"]["nodes"]}
    roots = [package["id"] for package in about["packages"] if package["name"] in SHIPPED]

    def is_macro(one):
        return any("proc-macro" in target["kind"] for target in packages[one]["targets"])

    def reached(kinds):
        seen, todo = set(), list(roots)
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            if kinds == {None} and is_macro(one):
                continue
            seen.add(one)
            for dep in nodes[one]["deps"]:
                if any(kind["kind"] in kinds for kind in dep["dep_kinds"]):
                    todo.append(dep["pkg"])
        return seen

    linked, needed = reached({None}), reached({None, "build"})
    name = lambda one: f"pkg:cargo/{packages[one]['name']}@{packages[one]['version']}"
    order = sorted(needed, key=name)

    def component(one):
        package = packages[one]
        found = {
            "type": "application" if one in roots else "library",
            "bom-ref": name(one),
            "name": package["name"],
            "version": package["version"],
            "scope": "required" if one in linked else "excluded",
            "purl": name(one),
        }
        if package.get("license"):
            # Some still write the old "MIT/Apache-2.0".
            found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        checksum = checksums.get((package["name"], package["version"]))
        if checksum:
            found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return found

    version = packages[roots[0]]["version"]
    others = beside()
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "strata", "name": "strata", "version": version}},
        "components": [component(one) for one in order] + others,
        "dependencies": [{"ref": "strata", "dependsOn": sorted([*map(name, roots), *(other["bom-ref"] for other in others)])}]
        + [
            {"ref": name(one), "dependsOn": sorted({name(dep["pkg"]) for dep in nodes[one]["deps"] if dep["pkg"] in needed})}
            for one in order
        ],
    }
    print(json.dumps(bill, indent=1))


main()
