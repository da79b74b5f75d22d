# Shared by the scripts of this folder. Source it first.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# Runs a long step quietly, with a sign of life, and shows its output only when it fails.
# step "Words for a person" command…
step() {
  local words=$1 log start=$SECONDS status=0
  shift
  log=$(mktemp)
  say "… $words"
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$! last=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    read -r -t 1 <> <(:) || true
    if [ $((SECONDS - last)) -ge 20 ]; then
      last=$SECONDS
      say "    $((SECONDS - start)) s: $(tail -n 1 "$log" | cut -c1-100)"
    fi
  done
  wait "$pid" || status=$?
  if [ "$status" != 0 ]; then
    say "✗ $words failed (exit $status):"
    tail -n 60 "$log" >&2
    rm -f "$log"
    return "$status"
  fi
  say "✓ $words ($((SECONDS - start)) s)"
  rm -f "$log"
}

# build_preset PRESET [TARGET…]: configure and build into build/PRESET.
build_preset() {
  local preset=$1
  shift
  cd "$ROOT"
  step "Configuring ($preset)" cmake --preset "$preset"
  step "Building ($preset)" cmake --build --preset "$preset" ${1:+--target "$@"}
}

# npm packages as the lockfile pins them; no install scripts run.
node_modules() {
  cd "$ROOT"
  if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    step "Installing npm packages" npm ci --ignore-scripts --no-audit --no-fund
  fi
}
