# lib.sh - what the scripts of this folder share: where the tree is, installing packages, saying things.
# Sourced by bash scripts that ran `set -euo pipefail`. Functions end the script with a message when
# they cannot do their work.

TERN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
TERN_STAGE=$TERN_ROOT/build/stage

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# packages_of GROUP... - the package names of these groups in packages.txt.
packages_of() {
  local groups=" $* "
  awk -v groups="$groups" '!/^#/ && NF >= 2 && index(groups, " " $2 " ") { print $1 }' \
    "$TERN_ROOT/scripts/packages.txt"
}

# missing_packages GROUP... - those of them that are not installed.
missing_packages() {
  local wanted
  mapfile -t wanted < <(packages_of "$@")
  # dpkg-query fails when it does not know one of the names; what it prints of the others still counts.
  { dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true; } |
    awk -v wanted="${wanted[*]}" '
      $2 == "installed" { have[$1] = 1 }
      END { n = split(wanted, w, " "); for (i = 1; i <= n; i++) if (!(w[i] in have)) print w[i] }'
}

# ensure_packages GROUP... - installs what is missing; quick when nothing is.
# TERN_SKIP_PACKAGES=1 leaves packages alone, for systems where the same tools come from elsewhere.
ensure_packages() {
  export -n TERN_SKIP_PACKAGES  # Ours: the library would warn about a setting that it does not know.
  [ "${TERN_SKIP_PACKAGES:-0}" = 0 ] || return 0
  local missing as_root=() log=$TERN_ROOT/build/logs/packages.log
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is not a Debian system (no apt-get). Install by other means what stands in" \
      "scripts/packages.txt, then run again with TERN_SKIP_PACKAGES=1."
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these packages are missing and need root to be installed," \
      "and there is no sudo here. As root, run: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  mkdir -p "${log%/*}"
  # A fresh container has no package lists, or old ones: fetch them only when it does not work without.
  if ! apt_install "${missing[@]}" >"$log" 2>&1; then
    "${as_root[@]}" apt-get update >>"$log" 2>&1 || true
    if ! apt_install "${missing[@]}" >>"$log" 2>&1; then
      tail -n 15 "$log" >&2
      die "apt-get could not install the packages above; the whole output is in $log"
    fi
  fi
}

# Caller has set as_root.
apt_install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$@"
}

# jobs_count - how many compilers to run at once: the cores of this process, fewer when memory is short
# (a compiler of this tree takes up to about 1 GiB).
jobs_count() {
  local cores memory_gib
  cores=$(nproc)
  memory_gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  [ "$memory_gib" -ge 1 ] || memory_gib=1
  echo $((cores < memory_gib ? cores : memory_gib))
}

# build_preset PRESET "TARGETS" [cmake options...] - configures when needed and builds, quietly when all
# goes well; the output goes to build/logs/build-PRESET.log.
build_preset() {
  local preset=$1 targets=$2 dir=$TERN_ROOT/build/$1 log=$TERN_ROOT/build/logs/build-$1.log
  shift 2
  mkdir -p "${log%/*}"
  if ! (cd "$TERN_ROOT" && cmake --preset "$preset" "$@") >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "configuring failed; the whole output is in $log"
  fi
  if ! cmake --build "$dir" --target $targets -j "$(jobs_count)" >>"$log" 2>&1; then
    grep -E -A 12 'FAILED:|error:|undefined reference|CMake Error' "$log" | head -n 60 >&2 ||
      tail -n 40 "$log" >&2
    die "building failed; the whole output is in $log"
  fi
}
