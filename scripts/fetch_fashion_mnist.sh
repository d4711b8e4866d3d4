#!/usr/bin/env bash
# Prints a folder that holds the four files of Fashion-MNIST, after unpacking Debian's package into data/ if need be.
# The package is not installed, so this needs no root. FASHION_MNIST_DIR names a folder that has the files already.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/apt_lists.sh"

PACKAGE=dataset-fashion-mnist
DATA="$ROOT/data/fashion-mnist"
# sha256 of what is inside the .gz files: others may have packed them differently.
CONTENTS=(
  "train-images-idx3-ubyte c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
  "train-labels-idx1-ubyte bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
  "t10k-images-idx3-ubyte 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
  "t10k-labels-idx1-ubyte 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
)

# Whether a folder holds the four files, unharmed; says so when one is there but differs.
holds_data() {
  local folder="$1" entry name
  for entry in "${CONTENTS[@]}"; do
    [[ -f "$folder/${entry% *}.gz" ]] || return 1
  done
  for entry in "${CONTENTS[@]}"; do
    name="${entry% *}.gz"
    if [[ "$(gzip -dc "$folder/$name" 2>/dev/null | sha256sum)" != "${entry#* } "* ]]; then
      say "$folder/$name is not the file of Fashion-MNIST"
      return 1
    fi
  done
}

unpack_package() {
  local work
  work="$(mktemp -d)"
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$work'" EXIT
  have apt-get && have dpkg-deb || return 1
  if ! knows_package "$PACKAGE" || ! download_packages "$work" "$PACKAGE"; then
    refresh_lists_in "$work"
    { knows_package "$PACKAGE" && download_packages "$work" "$PACKAGE"; } || return 1
  fi
  dpkg-deb -x "$work"/"$PACKAGE"_*.deb "$work/unpacked"
  mkdir -p "$DATA"
  cp "$work/unpacked/usr/share/datasets/fashion-mnist/"*-ubyte.gz "$DATA/"
}

if [[ -n "${FASHION_MNIST_DIR:-}" ]]; then
  holds_data "$FASHION_MNIST_DIR" ||
    fail "FASHION_MNIST_DIR=$FASHION_MNIST_DIR does not hold the four files $(printf '%s.gz ' "${CONTENTS[@]% *}")"
  echo "$FASHION_MNIST_DIR"
  exit 0
fi
for folder in "$DATA" /usr/share/datasets/fashion-mnist; do
  if holds_data "$folder"; then
    echo "$folder"
    exit 0
  fi
done
say "fetching Fashion-MNIST (Debian package $PACKAGE, 31 MB) into data/fashion-mnist"
{ unpack_package && holds_data "$DATA"; } ||
  fail "no package $PACKAGE here: put $(printf '%s.gz ' "${CONTENTS[@]% *}")into $DATA, or name their folder in FASHION_MNIST_DIR"
echo "$DATA"
