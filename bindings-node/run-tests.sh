#!/usr/bin/env bash
# Builds the native module and runs the package's tests. Closing lines are those of node's runner.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules ] || npm ci --silent
./build.sh "$@"
npm test --silent
