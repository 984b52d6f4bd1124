#!/bin/sh
# Builds the C face, installs it into a folder of its own, and runs the C tests against it.
#   tests/c/run.sh [plain] [asan] [valgrind]     default: all three
# The last line is "N passed, N failed"; the exit code is 0 where none failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
passed=0
failed=0
programs="misuse events reentry lifetime push fork"
warnings="-std=c99 -Wall -Wextra -Wpedantic -Werror"

pass() {
    passed=$((passed + 1))
    echo "ok $1"
}

fail() {
    failed=$((failed + 1))
    echo "FAIL $1"
}

# Installs the libraries of folder $1 into $2 and points pkg-config there.
stage() {
    rm -rf "$2"
    BUILD=$1 PREFIX=$2 "$root/ffi/install.sh" >/dev/null
    export PKG_CONFIG_PATH="$2/lib/pkgconfig" LD_LIBRARY_PATH="$2/lib"
    mkdir -p "$2/bin"
}

# Compiles test $2 with compiler and flags $1 into folder $3.
compile() {
    # shellcheck disable=SC2046,SC2086 # flags are words
    $1 $warnings -g -O1 -D_POSIX_C_SOURCE=200809L -I"$here" -o "$3/$(basename "$2" .c)" "$2" \
        "$here/support.c" $(pkg-config --cflags --libs livereel) -lpthread
}

# Runs program $2 (a name for the report: $1) under the command in $3; its own lines are the results.
run() {
    output=$3.$1.out
    # shellcheck disable=SC2086 # a command and its words
    if ${4:-} "$3/$2" >"$output" 2>"$output.err"; then
        ended=0
    else
        ended=$?
    fi
    while read -r line; do
        case $line in
        "ok "*) pass "$1 $2: ${line#ok }" ;;
        "FAIL "*)
            fail "$1 $2: ${line#FAIL }"
            ;;
        esac
    done <"$output"
    if [ "$ended" -ne 0 ]; then
        cat "$output.err"
        grep -q '^FAIL ' "$output" || fail "$1 $2: ended with $ended"
    fi
}

# Program $2 must die and say $3.
dies() {
    if "$4/$2" >"$4.$2.out" 2>&1; then
        fail "$1 $2: it went through"
    elif grep -q "$3" "$4.$2.out"; then
        pass "$1 $2: died as it should"
    else
        cat "$4.$2.out"
        fail "$1 $2: died of something else"
    fi
}

plain_build() {
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p livereel-ffi
    prefix=$target/c-tests/plain
    stage "$target/debug" "$prefix"
    for program in $programs; do
        compile cc "$here/$program.c" "$prefix/bin"
    done
}

plain() {
    plain_build
    for program in $programs; do
        run plain "$program" "$prefix/bin"
    done
    for program in double_free wrong_handle; do
        compile cc "$here/dies/$program.c" "$prefix/bin"
        dies plain "$program" "not a live handle" "$prefix/bin"
    done
    # shellcheck disable=SC2046,SC2086 # flags are words
    if cc $warnings -D_POSIX_C_SOURCE=200809L -I"$here" -o "$prefix/bin/static" "$here/misuse.c" "$here/support.c" \
        $(pkg-config --cflags livereel) "$prefix/lib/liblivereel.a" \
        $(sed -n 's/^Libs.private: //p' "$prefix/lib/pkgconfig/livereel.pc") &&
        "$prefix/bin/static" >/dev/null; then
        pass "plain: the static library links with what the pkg-config file names"
    else
        fail "plain: the static library does not link, or does not run"
    fi
    examples
}

# Builds both examples as a user would, and lets each record one file.
examples() {
    for language in c cpp; do
        make -s -C "$root/examples/$language" clean record CPPFLAGS=-Werror
        records=$(mktemp -d)
        fifo=$records.fifo
        mkfifo "$fifo"
        timeout 120 "$root/examples/$language/record" "$records" 127.0.0.1:0 --files 1 >"$fifo" &
        recorder=$!
        finished=
        while read -r line; do
            case $line in
            *"publish to rtmp://"*)
                url=${line#*publish to }
                ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=160x90:rate=25 -f lavfi -i sine -t 2 \
                    -c:v libx264 -preset ultrafast -c:a aac -f flv "${url%NAME}talk" &
                ;;
            "finished "*) finished=$(expr "$line" : 'finished \(.*\): [0-9]* bytes') ;;
            esac
        done <"$fifo"
        if wait "$recorder" && [ -n "$finished" ] && ffprobe -v error "$finished"; then
            pass "examples/$language: one file recorded"
        else
            fail "examples/$language: no file"
        fi
        rm -rf "$records" "$fifo"
        make -s -C "$root/examples/$language" clean
    done
}

asan() {
    triple=x86_64-unknown-linux-gnu
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$target/asan \
        cargo build --quiet --manifest-path "$root/Cargo.toml" -p livereel-ffi --target $triple
    prefix=$target/c-tests/asan
    stage "$target/asan/$triple/debug" "$prefix"
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
    for program in $programs; do
        compile "clang -fsanitize=address" "$here/$program.c" "$prefix/bin"
        run asan "$program" "$prefix/bin"
    done
    for program in overflow_in_c overflow_in_library; do
        compile "clang -fsanitize=address" "$here/dies/$program.c" "$prefix/bin"
        dies asan "$program" "heap-buffer-overflow" "$prefix/bin"
    done
    compile "clang -fsanitize=address" "$here/dies/leak.c" "$prefix/bin"
    dies asan leak "detected memory leaks" "$prefix/bin"
    unset ASAN_OPTIONS
}

valgrind_run() {
    plain_build
    for program in $programs; do
        run valgrind "$program" "$prefix/bin" \
            "valgrind --quiet --fair-sched=yes --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible --child-silent-after-fork=yes --suppressions=$here/valgrind.supp"
    done
}

for mode in ${*:-plain asan valgrind}; do
    case $mode in
    plain) plain ;;
    asan) asan ;;
    valgrind) valgrind_run ;;
    *)
        echo "usage: $0 [plain] [asan] [valgrind]" >&2
        exit 2
        ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
