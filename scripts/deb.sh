#!/usr/bin/env bash
# Makes the Debian packages libbluefog1, libbluefog-dev and bluefog-tools in dist/, for the release of Debian or Ubuntu that runs this.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

have dpkg-shlibdeps || install_packages dpkg-dev
have fakeroot || [[ "$(id -u)" == 0 ]] || install_packages fakeroot
"$ROOT/scripts/build.sh" release bluefog bluefog_archive bfrun bfsim
use_deps # which set-up may just have made
rm -f "$ROOT"/dist/*.deb
cpack --config "$ROOT/build/release/CPackConfig.cmake" -G DEB >&2
rm -r "$ROOT/dist/_CPack_Packages"
ls "$ROOT"/dist/*.deb
