#!/usr/bin/env bash
# Makes, once, a root file system with another IPsec implementation or a system manager in it, and prints its path. Needs
# root.
#
#   tools/peer-root.sh forky            strongSwan 6.1 with ML-KEM, tshark and wireguard-go, from Debian's forky suite
#   tools/peer-root.sh bookworm         strongSwan 5.9.8, the classical peer, from Debian 12
#   tools/peer-root.sh systemd          Debian 12 with systemd, and what our package depends on
#   tools/peer-root.sh --check WHICH    prints the path when the root is in the cache; otherwise exit 1, and nothing is made
#
# The peers want another libc than the system's, so they live in a root of their own in the cache; tests run them by
# chroot in a namespace (tests/interop/strongswan.py); systemd boots there (tests/package/test_systemd.py). The file
# qanat-root.txt in a root lists what is in it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"

check=no
if [[ ${1:-} == --check ]]; then
  check=yes
  shift
fi
peer=${1:-}
packages=(strongswan-charon strongswan-swanctl libcharon-extra-plugins libcharon-extauth-plugins
  libstrongswan-extra-plugins libstrongswan-standard-plugins strongswan-pki iproute2)
suite=$peer proof=/usr/lib/ipsec/charon
case $peer in
  forky)
    script=/usr/share/debootstrap/scripts/sid # Debian 12's debootstrap has no script of that name; sid's fits
    packages+=(wireguard-go wireguard-tools tshark)
    ;;
  bookworm) script=/usr/share/debootstrap/scripts/bookworm ;;
  systemd)
    suite=bookworm script=/usr/share/debootstrap/scripts/bookworm proof=/usr/sbin/init
    packages=(systemd systemd-sysv dbus procps iproute2 iputils-ping nftables init-system-helpers libfmt9
      libspdlog1.10 libtomlplusplus3 libmnl0 libseccomp2 libsqlite3-0)
    [[ $(uname -m) != x86_64 ]] || packages+=(libipsec-mb1)
    ;;
  *)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

recipe=$(printf '%s\n' "$peer" "$(uname -m)" "${packages[@]}" | sha256sum | cut -c1-12)
root=$QANAT_CACHE/peer-$peer-$recipe
if [[ -f $root/qanat-root.txt ]]; then
  echo "$root"
  exit 0
fi
[[ $check == no ]] || exit 1

[[ $(id -u) == 0 ]] || die "making the peer root '$peer' needs root: run it with sudo, and -E to keep the cache's place"
have debootstrap || die "debootstrap is missing: sudo apt-get install debootstrap"
mirror=$(apt_mirror)
[[ -n $mirror ]] || die "apt knows no mirror: run 'sudo apt-get update' first"

mkdir -p "$QANAT_CACHE"
exec 9>"$QANAT_CACHE/peer-$peer.lock"
flock 9 # somebody else may be making the same root
if [[ -f $root/qanat-root.txt ]]; then
  echo "$root"
  exit 0
fi

rm -rf --one-file-system "$QANAT_CACHE/tmp-peer-$peer".* # what a kill -9 left; nobody else is in here
work=$(mktemp -d "$QANAT_CACHE/tmp-peer-$peer.XXXXXX")
chmod 755 "$work"
log=$QANAT_CACHE/peer-$peer.log
: >"$log"
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM

# Every mount below lives in a mount namespace of its own, and ends with the command.
in_root() {
  unshare --mount --propagation private sh -ec '
    root=$1; shift
    mount -t proc proc "$root/proc"
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
  ' sh "$work" "$@"
}

say "peer root '$peer': made once in $root (about a minute)"
step "peer root '$peer': the base system" "$log" \
  debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$suite" "$work" "$mirror" "$script"
# apt in the root reaches the mirror as the host's apt does (proxy, dates), and starts no service.
apt-config dump | grep -E '^Acquire::(https?|Check|ForceIPv|Retries)' >"$work/etc/apt/apt.conf.d/90host" || true
echo 'Acquire::Languages "none";' >>"$work/etc/apt/apt.conf.d/90host"
printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
chmod 755 "$work/usr/sbin/policy-rc.d"
for file in /etc/resolv.conf /etc/hosts; do [[ ! -r $file ]] || cat "$file" >"$work$file"; done
step "peer root '$peer': the package lists" "$log" in_root apt-get update
step "peer root '$peer': its packages" "$log" in_root apt-get install -y --no-install-recommends "${packages[@]}"
in_root apt-get clean
rm -rf "$work"/var/lib/apt/lists/* "$work/etc/resolv.conf" "$work/etc/hosts"
in_root dpkg-query -W -f '${Package} ${Version}\n' >"$work/qanat-root.txt"
[[ -x $work$proof ]] || die "peer root '$peer': there is no $proof in it; the log is $log"
rm -rf --one-file-system "$root"
mv "$work" "$root"
say "peer root '$peer': $(sed -n 's/^strongswan-charon /strongSwan /p; s/^systemd /systemd /p' "$root/qanat-root.txt")"
echo "$root"
