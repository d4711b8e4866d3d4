# shellcheck shell=bash
# Sourced by scripts that fetch packages without root: apt with lists of packages of its own.

# Keeps apt's lists in a folder, when it may not (or should not) write the system's, and loads them.
refresh_lists_in() {
  mkdir -p "$1/lists/partial"
  printf 'Dir::State::Lists "%s/lists";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\nAPT::Sandbox::User "";\n' \
    "$1" >"$1/apt.conf"
  export APT_CONFIG="$1/apt.conf"
  say "refreshing apt's package lists"
  apt-get update -qq >&2 || true
}

knows_package() { [[ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]]; }

# download_packages FOLDER PACKAGE...
download_packages() (
  cd "$1" || exit
  apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${@:2}" >&2 # another user may not see this folder
)
