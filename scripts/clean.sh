#!/usr/bin/env bash
# Removes what a build makes; .venv, data and runs stay.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rm -rf "$ROOT/build" "$ROOT/dist" "$ROOT/python/bluefog/include" "$ROOT/python/bluefog/lib"
find "$ROOT/python" -name '_core*.so' -delete
find "$ROOT/python" "$ROOT/tests" -name __pycache__ -type d -exec rm -rf {} +
