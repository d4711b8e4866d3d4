#!/usr/bin/env bash
# usage: abi.sh [--renew]   Compares the binary interface of the shared library with tests/abi/libbluefog.abi, or writes that anew.
# A program that was built against an older library must run with a newer one of the same major version: so what this finds is a
# mistake, or the next major version. Before 1.0.0 is out, it is a reason to renew the file, in the commit of the change.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

KEPT="$ROOT/tests/abi/libbluefog.abi"
library="$ROOT/build/debug/src/libbluefog.so"

have abidw || install_packages abigail-tools
"$ROOT/scripts/build.sh" debug bluefog # the types are read from what is there for debuggers

write_interface() {
  abidw --headers-dir "$ROOT/include/bluefog" --suppressions "$ROOT/tests/abi/not_ours.suppr" --exported-interfaces-only \
    --drop-private-types --type-id-style hash --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed \
    --no-write-default-sizes --out-file "$1" "$library"
}

if [[ "${1:-}" == --renew ]]; then
  mkdir -p "$(dirname "$KEPT")"
  write_interface "$KEPT"
  exit 0
fi
now="$ROOT/build/debug/libbluefog.abi"
write_interface "$now"
abidiff --no-added-syms "$KEPT" "$now" ||
  fail "the interface has changed. If that is meant: make abi-renew, and commit tests/abi with the change"
say "programs built against the kept interface run with this library"
