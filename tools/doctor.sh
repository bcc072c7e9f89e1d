#!/usr/bin/env bash
# ./run doctor: what this machine has and lacks, one line each, with the next step. Changes nothing. Exit 1 when
# something is missing that the build or the daemon cannot do without.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/common.sh
. "$here/common.sh"
PATH=$PATH:/usr/sbin:/sbin
missing=0

ok() { printf 'ok       %-22s %s\n' "$1" "${2:-}"; }
needed() {
  printf 'MISSING  %-22s %s\n' "$1" "$2"
  missing=$((missing + 1))
}
note() { printf 'note     %-22s %s\n' "$1" "$2"; }

root=() # how to try things as root
if [[ $(id -u) == 0 ]]; then
  ok root "running as root"
elif have sudo && sudo -n true 2>/dev/null; then
  root=(sudo -n)
  ok root "sudo works without asking now"
elif have sudo; then
  root=(false)
  note root "sudo will ask for a password; run 'sudo -v' first for a full check below"
else
  root=(false)
  needed root "no root and no sudo: packages cannot be installed, and the demo and the tests in namespaces cannot run"
fi
as_root() { ${root[@]+"${root[@]}"} "$@"; }

# shellcheck disable=SC1091
os=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-}")
case $os in
  "Debian GNU/Linux 1"[2-9]*) ok system "$os, $(uname -m), Linux $(uname -r)" ;;
  *) note system "${os:-unknown}: ./run installs packages on Debian 12 or newer only; install by hand what it lists" ;;
esac

mapfile -t packages < <("$here/../run" packages)
mapfile -t optional < <("$here/../run" packages llvm coverage)
if ((${#packages[@]})); then
  needed packages "./run build installs them: ${packages[*]}"
else
  ok packages "all that build, demo and test need"
fi
((!${#optional[@]})) || note packages "./run fuzz, tidy, format and test --coverage install theirs when asked: ${optional[*]}"

version=$(pkg-config --modversion openssl 2>/dev/null || true)
if cached=$("$here/openssl.sh" --check); then
  if [[ -n $cached ]]; then ok OpenSSL "$(basename "$cached") in the cache (the system's is ${version:-absent})"; else ok OpenSSL "$version, the system's"; fi
else
  needed OpenSSL "the system's is ${version:-absent}, 3.5 is needed: ./run build builds one into the cache (about 3 minutes)"
fi

for peer in forky bookworm; do
  if cached=$("$here/peer-root.sh" --check "$peer"); then
    ok "strongSwan ($peer)" "$(sed -n 's/^strongswan-charon //p' "$cached/qanat-root.txt") in the cache"
  else
    note "strongSwan ($peer)" "not in the cache: ./run test makes its root (about a minute, needs root and the mirror)"
  fi
done

if cached=$("$here/peer-root.sh" --check systemd); then
  ok "systemd's root" "in the cache"
else
  note "systemd's root" "not in the cache: ./run test makes it (about a minute, needs root and the mirror)"
fi

mirror=$(apt_mirror 2>/dev/null || true)
if [[ -z $mirror ]]; then
  note mirror "apt has no package lists: sudo apt-get update"
elif [[ -x /usr/lib/apt/apt-helper ]] && probe=$(mktemp) &&
  /usr/lib/apt/apt-helper -o Acquire::http::Timeout=10 -o Acquire::Retries=0 download-file "${mirror%/}/dists/stable/Release" "$probe" >/dev/null 2>&1; then
  ok mirror "reachable"
else
  note mirror "apt's mirror is not reachable: nothing new can be fetched; what is in the cache works"
fi
[[ -z ${probe:-} ]] || rm -f "$probe"

free_mb() { df -Pm "$1" 2>/dev/null | awk 'NR == 2 {print $4}'; }
mkdir -p "$QANAT_CACHE" 2>/dev/null || true
for place in "$QANAT_CACHE" "$here/.."; do
  name="disk, $([[ $place == "$QANAT_CACHE" ]] && echo cache || echo checkout)"
  mb=$(free_mb "$place")
  if [[ -z $mb ]]; then
    needed "$name" "$place cannot be used: set QANAT_CACHE to a folder that can be written"
  elif ((mb < 4000)); then
    needed "$name" "$mb MB free, 4,000 needed: make room, or set QANAT_CACHE to a folder elsewhere"
  else
    ok "$name" "$((mb / 1000)) GB free"
  fi
done

# --- the kernel -------------------------------------------------------------------------------------------------------

if [[ -c /dev/net/tun ]]; then ok /dev/net/tun; else needed /dev/net/tun "sudo modprobe tun; in a container give it the device /dev/net/tun"; fi

name=qanat-doctor-$$
if [[ ${root[0]:-} == false ]]; then
  note "namespaces, veth, TUN" "not tried: needs root"
else
  trap 'as_root ip netns del "$name" 2>/dev/null || true' EXIT
  if ! have ip; then
    needed "network namespaces" "the command ip is missing: sudo apt-get install iproute2"
  elif as_root ip netns add "$name" 2>/dev/null; then
    ok "network namespaces"
    if as_root ip -n "$name" link add v0 type veth peer name v1 2>/dev/null; then ok veth; else needed veth "sudo modprobe veth, or a kernel with CONFIG_VETH"; fi
    if as_root ip -n "$name" tuntap add dev t0 mode tun 2>/dev/null; then ok "TUN devices"; else needed "TUN devices" "sudo modprobe tun, or a kernel with CONFIG_TUN"; fi
    if ! have nft; then
      needed nftables "sudo apt-get install nftables"
    elif as_root ip netns exec "$name" nft add table inet qanat 2>/dev/null; then
      ok nftables
    else
      needed nftables "sudo modprobe nf_tables, or a kernel with CONFIG_NF_TABLES"
    fi
    if as_root ip -n "$name" rule add fwmark 1 table 51 2>/dev/null; then ok "policy routing"; else needed "policy routing" "a kernel with CONFIG_IP_MULTIPLE_TABLES"; fi
  else
    needed "network namespaces" "a kernel with CONFIG_NET_NS; in a container run it privileged (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
  fi
fi

if grep -qw kill_process /proc/sys/kernel/seccomp/actions_avail 2>/dev/null; then
  ok seccomp
else
  needed seccomp "a kernel with CONFIG_SECCOMP_FILTER"
fi
if grep -qw landlock /sys/kernel/security/lsm 2>/dev/null; then
  ok Landlock
elif python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)' 2>/dev/null; then
  ok Landlock
else
  note Landlock "not in this kernel: qanatd runs without this second wall (add landlock to the kernel's lsm= list)"
fi
if python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(17, 103, 1200)' 2>/dev/null; then
  ok UDP_SEGMENT
else
  note UDP_SEGMENT "not in this kernel: each datagram is sent by itself, slower"
fi

if ((missing)); then
  printf '%d missing; the lines above say what to do\n' "$missing"
  exit 1
fi
echo "nothing is missing"
