#!/usr/bin/env bash
# Builds the native module beside index.js; arguments go to cargo (--release).
set -euo pipefail
cd "$(dirname "$0")"
cargo build --package livereel-node "$@"
target=$(cargo metadata --format-version 1 --no-deps | node -p 'JSON.parse(fs.readFileSync(0)).target_directory')
profile=debug
case " $* " in *" --release "*) profile=release ;; esac
# Renamed into place: a module that another process has loaded stays as it is for it.
cp "$target/$profile/liblivereel_node.so" livereel.node.new
mv livereel.node.new livereel.node
