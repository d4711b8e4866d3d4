#!/usr/bin/env bash
# usage: docs.sh   Writes the reference of the public headers to build/docs/html; what is not documented is an error.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

have doxygen || install_packages doxygen
cd "$ROOT"
mkdir -p build/docs
{
  cat docs/Doxyfile.in
  echo "PROJECT_NUMBER = $(<VERSION)"
} | doxygen -
say "the reference is build/docs/html/index.html"
