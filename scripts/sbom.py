#!/usr/bin/env python3
"""The bill of materials of the programs that are shipped, as CycloneDX 1.5 JSON on standard output.

Every crate that is linked into one of them for this platform, from `cargo metadata`, with its licence and the checksum of
the lock file. What only runs while building (build scripts and procedural macros, and what they need) is told apart by `scope`.
The same lock file gives the same bill, byte for byte. cargo-cyclonedx makes the same list, but building it takes longer than building us.
"""

import json
import pathlib
import subprocess
import tomllib

SHIPPED = ("global-lb", "regional-lb", "lbctl")


def cargo(*arguments):
    command = ["cargo", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "strata", "name": "strata", "version": version}},
        "components": [component(one) for one in order],
        "dependencies": [{"ref": "strata", "dependsOn": sorted(name(one) for one in roots)}]
        + [
            {"ref": name(one), "dependsOn": sorted({name(dep["pkg"]) for dep in nodes[one]["deps"] if dep["pkg"] in needed})}
            for one in order
        ],
    }
    print(json.dumps(bill, indent=1))


main()
