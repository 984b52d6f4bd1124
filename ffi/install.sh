#!/bin/sh
# Installs the C face: both libraries, the header and the pkg-config file.
#   PREFIX=/usr/local   where they are to be used
#   DESTDIR=            put before PREFIX while installing (packagers)
#   BUILD=target/release   where Cargo put the libraries
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
prefix=${PREFIX:-/usr/local}
build=${BUILD:-${CARGO_TARGET_DIR:-$root/target}/release}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
soname=liblivereel.so.${version%%.*}
into=${DESTDIR:-}$prefix

if [ ! -f "$build/liblivereel.so" ]; then
    echo "install.sh: no liblivereel.so in $build; run: cargo build --release -p livereel-ffi" >&2
    exit 1
fi
mkdir -p "$into/lib/pkgconfig" "$into/include"
# Installed under another name and renamed, so that a running program keeps the library it has.
install -m 0755 "$build/liblivereel.so" "$into/lib/.liblivereel.so.$version.new"
mv -f "$into/lib/.liblivereel.so.$version.new" "$into/lib/liblivereel.so.$version"
ln -sf "liblivereel.so.$version" "$into/lib/$soname"
ln -sf "$soname" "$into/lib/liblivereel.so"
install -m 0644 "$build/liblivereel.a" "$into/lib/liblivereel.a"
install -m 0644 "$root/include/livereel.h" "$into/include/livereel.h"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$root/ffi/livereel.pc.in" >"$into/lib/pkgconfig/livereel.pc"
echo "installed livereel $version in $into"
