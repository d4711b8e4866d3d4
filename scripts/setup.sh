#!/usr/bin/env bash
# Sets up everything that building and testing need. A second run only checks, in a fraction of a second.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PATH="$SETUP_USER_PATH" have python3 || fail "python3 is missing: sudo apt install python3"
hold_lock setup
python="$(user_python)"
"$ROOT/scripts/setup_system.sh" "$python"
"$ROOT/scripts/setup_venv.sh" "$python"
