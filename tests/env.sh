# Sourced by the scripts here: where things are. Changes nothing but the environment, and the link
# `target` where the checkout has none yet. Names begin with REEL_, for the engine takes everything that
# begins with LIVEREEL_ for a setting.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export REEL_CACHE=${REEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/livereel}
mkdir -p "$REEL_CACHE"

# Build outputs live outside the tree, so a fresh clone starts warm. A `target` folder that is there
# already (from a plain `cargo build`) is used as it is; a link serves plain cargo and make alike.
if [ ! -e "$ROOT/target" ]; then
  mkdir -p "${CARGO_TARGET_DIR:-$REEL_CACHE/target}"
  ln -sfn "${CARGO_TARGET_DIR:-$REEL_CACHE/target}" "$ROOT/target"
fi
export REEL_TARGET=${CARGO_TARGET_DIR:-$ROOT/target}

export REEL_VENV=$REEL_CACHE/venv
[ -d "$HOME/.cargo/bin" ] && PATH=$HOME/.cargo/bin:$PATH
export PATH=$REEL_VENV/bin:$REEL_CACHE/tools/bin:$PATH

say() { printf '[%(%H:%M:%S)T] %s\n' -1 "$*"; }
