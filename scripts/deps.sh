# shellcheck shell=bash
# Sourced by set-up. Without root, packages are not installed but unpacked into .deps, where build.sh looks for them.
source "$(dirname "${BASH_SOURCE[0]}")/apt_lists.sh"

is_unpacked() { grep -qsx "$1" "$DEPS/unpacked"; }

# What apt would install anew for these packages, as NAME=VERSION. Those that are installed stay as they are, whatever their version.
new_packages() {
  apt-get install --simulate --no-install-recommends -qq -o Debug::NoLocking=1 "$@" |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p'
}

# A development package's links name libraries that may be installed in the system, in another version of the same interface.
mend_links() {
  local link target folder
  local -a kind
  while IFS= read -r -d '' link; do
    target="$(readlink "$link")"
    for folder in "$(dirname "$link")" "/$(realpath --relative-to="$DEPS" "$(dirname "$link")")" /lib/"$(uname -m)"-linux-gnu; do
      if [[ -e "$folder/${target##*/}" ]]; then
        kind=(-sfn)
        [[ "$folder" != "$DEPS"* ]] || kind+=(-r) # the tree may be moved
        ln "${kind[@]}" "$folder/${target##*/}" "$link"
        break
      fi
    done
  done < <(find "$DEPS/usr" -xtype l -print0)
}

# Tools come with libraries, which only the system's linker would find.
give_tools_their_libraries() {
  local tool
  for tool in pkg-config ccache; do
    [[ -x "$DEPS/usr/bin/$tool" ]] || continue
    cat >"$DEPS/bin/$tool" <<SCRIPT
#!/bin/sh
deps="\$(dirname "\$0")/.."
LD_LIBRARY_PATH="\$deps/usr/lib/$(uname -m)-linux-gnu" exec "\$deps/usr/bin/$tool" "\$@"
SCRIPT
    chmod +x "$DEPS/bin/$tool"
  done
}

download_new_packages() {
  local -a packages
  mapfile -t packages < <(new_packages "$@")
  rm -rf "$DEPS/archives"
  mkdir "$DEPS/archives"
  ((${#packages[@]})) && download_packages "$DEPS/archives" "${packages[@]}"
}

unpack_packages() {
  local package archive
  have apt-get && have dpkg-deb || return 1
  say "this is not root, so these go to .deps: $*"
  mkdir -p "$DEPS/bin" "$DEPS/usr"
  for package in "$@"; do
    knows_package "$package" || { refresh_lists_in "$DEPS/apt" && break; }
  done
  # Old lists name packages that are there no more.
  download_new_packages "$@" || { refresh_lists_in "$DEPS/apt" && download_new_packages "$@"; } || return 1
  for archive in "$DEPS"/archives/*.deb; do dpkg-deb -x "$archive" "$DEPS" || return 1; done
  rm -r "$DEPS/archives"
  mend_links
  give_tools_their_libraries
  printf '%s\n' "$@" >>"$DEPS/unpacked"
}
