#!/usr/bin/env bash
# Writes the bills of materials of the program and of the functions, the same at each run for a commit.
# Usage: sbom.sh CARGO_CYCLONEDX FOLDER
set -euo pipefail
cyclonedx=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In a clone, because it writes a file into the folder of each crate.
git clone --quiet "$repository" "$work/clone"
SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct) \
    "$cyclonedx" cyclonedx --manifest-path "$work/clone/Cargo.toml" --format json --spec-version 1.5 --quiet
for crate in local/statuspulse functions/lambda/statuspulse-functions; do
    sed "s|$work/clone|/statuspulse|g" "$work/clone/$crate.cdx.json" >"$folder/$(basename "$crate").cdx.json"
done
echo "$folder"
