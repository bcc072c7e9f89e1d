# What the shell tools share: words to the user, the cache, a private apt. Sourced, never run.
# shellcheck shell=bash

QANAT_CACHE=${QANAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qanat}
export QANAT_CACHE

have() { command -v "$1" >/dev/null 2>&1; }

# Time since the first of our scripts began, as m:ss.
export QANAT_BEGIN=${QANAT_BEGIN:-$EPOCHSECONDS}
elapsed() {
  local seconds=$((EPOCHSECONDS - QANAT_BEGIN))
  printf '%d:%02d' $((seconds / 60)) $((seconds % 60))
}

say() { printf '[%s] %s\n' "$(elapsed)" "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# step TITLE LOG COMMAND...: runs it with its output in LOG, with a sign of life every 20 seconds. When it fails, shows
# the end of the log and says where the rest is.
step() {
  local title=$1 log=$2 begin=$SECONDS pulse rc=0
  shift 2
  say "$title ..."
  printf '\n--- %s: %s\n' "$title" "$*" >>"$log"
  (
    trap 'kill $!; exit 0' TERM # the sleep too: it would hold our caller's pipes open
    while sleep 20 & wait $!; do
      printf '[%s]   still at it, %s lines of log\n' "$(elapsed)" "$(wc -l <"$log")" >&2
    done
  ) >/dev/null 9>&- &
  pulse=$!
  "$@" >>"$log" 2>&1 </dev/null || rc=$?
  kill "$pulse" 2>/dev/null || true
  wait "$pulse" 2>/dev/null || true
  if ((rc != 0)); then
    printf '%s\n' "--- the last lines of $log" >&2
    tail -n 25 "$log" >&2
    die "$title failed after $((SECONDS - begin)) s (exit $rc); the whole log is $log"
  fi
}

# The mirrors that this machine's own apt uses: the archive first, then the security archive (may be the same, or none).
apt_mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n 1p; }
apt_security_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$2 ~ /-security$/ {print $1; exit}'
}

# private_apt DIR SUITE: an apt of its own in DIR (lists, cache, sources), so that the system's is not touched.
private_apt() {
  local dir=$1 suite=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror security
  [[ -r $keyring ]] || die "$keyring is missing: install debian-archive-keyring"
  mirror=$(apt_mirror)
  security=$(apt_security_mirror)
  [[ -n $mirror ]] || die "apt knows no mirror: run 'sudo apt-get update' first"
  mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,etc}
  {
    echo "deb-src [signed-by=$keyring] $mirror $suite main"
    [[ -z $security ]] || echo "deb-src [signed-by=$keyring] $security $suite-security main"
  } >"$dir/etc/sources.list"
  cat >"$dir/apt.conf" <<CONF
Dir::State "$dir/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke;
CONF
}
