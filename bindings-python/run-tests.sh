#!/bin/sh
# Gets a virtual environment in REEL_VENV (made here where it is missing) and CARGO_TARGET_DIR.
# Gives the wheel of this tree, installed there, and the result of its tests. Arguments go to pytest.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=${REEL_VENV:-$HOME/.cache/livereel/venv-python}

if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
tools="maturin==1.16.0 pytest av mypy"
if [ "$(cat "$venv/livereel-tools" 2>/dev/null || true)" != "$tools" ]; then
    # shellcheck disable=SC2086 # one word a package
    "$venv/bin/pip" install --quiet --disable-pip-version-check $tools
    printf '%s\n' "$tools" >"$venv/livereel-tools"
fi

wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT INT TERM
# The machine that builds is the machine that tests: no check of its C library's age.
"$venv/bin/maturin" build --quiet --profile "${REEL_PROFILE:-dev}" --compatibility linux \
    --interpreter "$venv/bin/python" --manifest-path "$here/Cargo.toml" --out "$wheels"
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheels"/livereel-*.whl

cd "$here"
"$venv/bin/python" -m pytest -p no:cacheprovider "$@"
