#!/bin/sh
# Builds the eBPF objects that are committed beside their source, so that `cargo build` needs no clang.
#
#   build.sh          rebuild capsule.*.bpf.o and note the compiler in CLANG
#   build.sh --check  rebuild elsewhere and compare; exit 1 where they differ, 0 where they are the same,
#                     77 where there is no clang or another one than in CLANG, which cannot say
#
# The same clang makes the same bytes. BTF holds no paths: sources are compiled by relative name, debug sections go.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang}
STRIP=${STRIP:-llvm-strip}
if ! command -v "$CLANG" >/dev/null || ! command -v "$STRIP" >/dev/null; then
    echo "SKIPPED: $CLANG or $STRIP is not installed; the objects were built with '$(cat CLANG)'" >&2
    exit 77
fi
version=$("$CLANG" --version | head -n 1)

build() { # directory
    for arch in x86_64:x86 aarch64:arm64; do
        "$CLANG" -target bpfel -mcpu=v3 -D__TARGET_ARCH_"${arch#*:}" -g -O2 -Wall -Wextra -Wno-unused-parameter -Werror \
            -fdebug-compilation-dir=. -c capsule.bpf.c -o "$1/capsule.${arch%%:*}.bpf.o"
        "$STRIP" -g "$1/capsule.${arch%%:*}.bpf.o"
    done
}

if [ "${1:-}" != --check ]; then
    build .
    printf '%s\n' "$version" >CLANG
    exit 0
fi
if [ "$version" != "$(cat CLANG)" ]; then
    echo "SKIPPED: the objects were built with '$(cat CLANG)', here is '$version'" >&2
    exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
build "$dir"
for object in capsule.*.bpf.o; do
    cmp "$object" "$dir/$object"
done
