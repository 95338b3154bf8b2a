#!/bin/sh
# Builds the release program in two folders with different names, and compares the bytes. Whoever builds the same commit with
# the same Rust gets the same program: the paths of the folder and of cargo's downloads are not in it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo_home=${CARGO_HOME:-$HOME/.cargo}
for folder in "$work/one" "$work/another/folder"; do
  git clone --quiet . "$folder"
  echo "building in ${folder#"$work"/}"
  (cd "$folder" && RUSTFLAGS="--remap-path-prefix=$folder=/build --remap-path-prefix=$cargo_home=/cargo" \
    cargo build --quiet --locked --release -p statuspulse)
  cp "$folder/target/release/statuspulse" "$work/$(basename "$folder").program"
  rm -rf "$folder/target"
done
sha256sum "$work"/*.program | sed "s|$work/||"
cmp "$work/one.program" "$work/folder.program"
if strings "$work/one.program" | grep -q "$work\|$cargo_home"; then echo "the program has paths of this machine in it"; exit 1; fi
echo "both builds are the same"
