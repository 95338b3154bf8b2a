#!/usr/bin/env python3
"""Writes packaging/advisories.json: what the RustSec database knows of the crates in Cargo.lock.

Usage: advisories.py FOLDER, a checkout of https://github.com/RustSec/advisory-db. Only facts are kept: which versions are
affected. local/tests/supply_chain.rs compares them with Cargo.lock.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def advisories(database: Path, crates: set[str]) -> list[dict]:
    """The advisories for these crates, sorted by id, without those that were withdrawn."""
    found = []
    for file in database.glob("crates/*/RUSTSEC-*.md"):
        if file.parent.name not in crates:
            continue
        front_matter = re.search(r"```toml\n(.*?)```", file.read_text(), re.DOTALL)[1]
        facts = tomllib.loads(front_matter)
        advisory = facts["advisory"]
        if "withdrawn" in advisory:
            continue
        entry = {key: str(advisory[key]) for key in ("id", "package", "date", "informational") if key in advisory}
        versions = facts.get("versions", {})
        found.append(entry | {key: versions.get(key, []) for key in ("patched", "unaffected")})
    return sorted(found, key=lambda entry: entry["id"])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    crates = {package["name"] for package in lock["package"] if "source" in package}
    found = advisories(Path(sys.argv[1]), crates)
    if not found:
        sys.exit(f"{sys.argv[1]} has no advisories in crates/*/RUSTSEC-*.md")
    lines = ",\n".join("    " + json.dumps(entry) for entry in found)
    as_of = max(entry["date"] for entry in found)
    text = f'{{\n  "as_of": "{as_of}",\n  "advisories": [\n{lines}\n  ]\n}}\n'
    (ROOT / "packaging/advisories.json").write_text(text)
    print(f"{len(found)} advisories for {len(crates)} crates, the newest of {as_of}")


if __name__ == "__main__":
    main()
