#!/usr/bin/env bash
# Gives Qanat an OpenSSL of 3.5 or newer and prints where it is.
#
#   tools/openssl.sh            make sure that there is one; prints its prefix, or nothing when the system's own is used
#   tools/openssl.sh --check    the same without building: exit 1 when it would have to be built
#
# A system library that is new enough is used as it is. Otherwise Debian 13's source package is fetched through apt
# (so that apt checks the archive's signature, with the keys in debian-archive-keyring), and libcrypto and libssl are
# built once, static, with hidden symbols, into the cache: they cannot meet the system's own symbols in one process.
# Nothing is installed on the system and no root is needed. Progress goes to stderr.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

readonly source_suite=trixie
# ec_nistp_64_gcc_128: P-256, P-384 and P-521 in constant time on 128-bit integers, several times faster (64-bit only).
options=(no-tests no-apps no-docs no-legacy no-engine no-shared no-module no-makedepend)
[[ $(getconf LONG_BIT) != 64 ]] || options+=(enable-ec_nistp_64_gcc_128)
readonly options
readonly cflags=(-O2 -fPIC -fvisibility=hidden -fstack-protector-strong -D_FORTIFY_SOURCE=2)

if [[ ${QANAT_OPENSSL_SYSTEM:-} != never ]] && pkg-config --atleast-version=3.5 openssl 2>/dev/null; then
  exit 0
fi

recipe=$(printf '%s\n' "$source_suite" "$(uname -m)" "${options[@]}" "${cflags[@]}" "$(cc -dumpfullversion 2>/dev/null || true)" |
  sha256sum | cut -c1-12)
cached() { # the newest build of this recipe, if there is one
  find "$QANAT_CACHE" -mindepth 1 -maxdepth 1 -type d -name "openssl-*-$recipe" 2>/dev/null | sort -V | tail -n 1
}

mkdir -p "$QANAT_CACHE"
found=$(cached)
if [[ -n $found ]]; then
  echo "$found"
  exit 0
fi
[[ ${1:-} != --check ]] || exit 1

for tool in apt-get dpkg-source cc make perl; do
  have "$tool" || die "building OpenSSL needs '$tool': install build-essential, dpkg-dev and perl (./run does it)"
done

exec 9>"$QANAT_CACHE/openssl.lock"
flock 9 # somebody else may be building the same thing
found=$(cached)
if [[ -n $found ]]; then
  echo "$found"
  exit 0
fi

rm -rf "$QANAT_CACHE"/tmp-openssl.* # what a kill -9 left; nobody else is in here
work=$(mktemp -d "$QANAT_CACHE/tmp-openssl.XXXXXX")
log=$QANAT_CACHE/openssl-build.log
: >"$log"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "OpenSSL: the system's is older than 3.5, building Debian 13's once into $QANAT_CACHE (about 3 minutes on two cores)"
private_apt "$work/apt" "$source_suite"
step "OpenSSL: reading the package lists of $source_suite" "$log" apt-get -c "$work/apt/apt.conf" update
cd "$work"
# The newest first. A mirror can lag behind its own lists for a while after a security update: then the one before it.
mapfile -t versions < <(apt-cache -c "$work/apt/apt.conf" showsrc openssl | sed -n 's/^Version: //p' | sort -ruV)
for candidate in "${versions[@]}"; do
  dpkg --compare-versions "$candidate" ge 3.5 || continue
  say "OpenSSL: fetching the source package $candidate ..."
  if apt-get -c "$work/apt/apt.conf" source --download-only "openssl=$candidate" >>"$log" 2>&1; then break; fi
  say "OpenSSL: the mirror does not deliver $candidate"
  rm -f openssl_*
done
dsc=$(find . -maxdepth 1 -name 'openssl_*.dsc' | sort -V | tail -n 1)
[[ -n $dsc ]] || die "the mirror delivered no OpenSSL source package of 3.5 or newer: check the network; the log is $log"
version=${dsc#./openssl_}
version=${version%.dsc}
# apt has checked the signed Release file and through it every file's hash; the uploader's own key is not ours to know.
step "OpenSSL: unpacking $version" "$log" dpkg-source --no-check -x "$dsc" src
dpkg --compare-versions "$version" ge 3.5 || die "$source_suite has OpenSSL $version, and 3.5 or newer is needed"

target=$QANAT_CACHE/openssl-$version-$recipe
cd src
configure=(./config)
[[ $(uname -m) != x86_64 ]] || configure=(./Configure linux-x86_64)
step "OpenSSL: configuring" "$log" "${configure[@]}" --prefix="$target" --openssldir=/etc/ssl --libdir=lib \
  "${options[@]}" "${cflags[@]}"
step "OpenSSL: compiling libcrypto and libssl" "$log" nice make -j"$(nproc)" build_libs
step "OpenSSL: installing into the cache" "$log" make install_dev DESTDIR="$work/stage"
mv "$work/stage$target" "$target"
echo "$target"
