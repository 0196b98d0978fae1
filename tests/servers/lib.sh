# Sourced by every server's start.sh, which sets NAME, DATA and CACHE, and defines:
#   install  fetch what it needs into $CACHE (does nothing when that is done)
#   serve    exec the server in the foreground
#   ready    exit 0 once the server answers
# and then calls `main "$@"`. The commands of a start.sh:
#   install  only fetch
#   run      in the foreground, until it is killed
#   attend   in the foreground, until standard input ends: for a test harness, whose death closes it.
#            Uses a data folder of its own, removed at the end, or ATTEND_DATA, which stays; prints
#            `ready FOLDER` once it answers; pid in FOLDER/pid
#   start    in the background; returns when ready; pid in $DATA/pid, output in $DATA/server.log
#   stop     end what `start` started, and wait for it
#   wait     wait until a `run` elsewhere is ready
# Exit code 69: the server cannot be had on this machine. All servers listen on 127.0.0.1 only.
set -euo pipefail

die() { echo "$NAME: $*" >&2; exit 1; }
unavailable() { echo "$NAME: $*" >&2; exit 69; }
has() { command -v "$1" >/dev/null 2>&1; }

# Whether a container engine answers, not only its client.
docker_answers() { has docker && timeout 10 docker info >/dev/null 2>&1; }

# Installs once, also when several tests begin together.
locked_install() {
  mkdir -p "$CACHE"
  if has flock; then exec 9>"$CACHE/.lock"; flock 9; install >&2; exec 9>&-; else install >&2; fi
}

wait_ready() { # [pid]
  local end=$((SECONDS + ${WAIT:-180}))
  until ready >/dev/null 2>&1; do
    [ -z "${1:-}" ] || kill -0 "$1" 2>/dev/null || { tail -25 "$DATA/server.log" >&2 || true; die "exited while starting"; }
    [ "$SECONDS" -lt "$end" ] || { tail -25 "$DATA/server.log" >&2 || true; die "not ready after ${WAIT:-180} s"; }
    sleep 0.1
  done
}

# When a process began: tells a pid that the system has given to another since.
born() { ps -o lstart= -p "$1" 2>/dev/null || true; }

end_process() { # pid
  kill "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$1" 2>/dev/null || true
}

stop() {
  local pid; pid=$(cat "$DATA/pid" 2>/dev/null) || return 0
  [ "$(born "$pid")" != "$(cat "$DATA/pid.born" 2>/dev/null)" ] || end_process "$pid"
  rm -f "$DATA/pid" "$DATA/pid.born"
}

attend() {
  # Both before the server is there and after; a child's own exit code must not end this early.
  server=
  DATA=${ATTEND_DATA:-$(mktemp -d "${TMPDIR:-/tmp}/tripline-$NAME.XXXXXX")}
  trap '[ -z "$server" ] || { end_process "$server"; wait "$server" 2>/dev/null || true; }
    [ -n "${ATTEND_DATA:-}" ] || rm -rf "$DATA"' EXIT
  trap 'exit 143' TERM INT HUP
  ( trap - EXIT TERM INT HUP; serve ) </dev/null >"$DATA/server.log" 2>&1 &
  server=$!
  echo "$server" >"$DATA/pid"
  wait_ready "$server"
  echo "ready $DATA"
  local code
  while kill -0 "$server" 2>/dev/null; do
    code=0; read -r -t 1 _ || code=$?
    [ "$code" -eq 0 ] || [ "$code" -gt 128 ] || return 0 # more than 128: a second has passed
  done
  tail -25 "$DATA/server.log" >&2
  die "exited"
}

main() {
  case "${1:-start}" in
    install) locked_install ;;
    run) locked_install; mkdir -p "$DATA"; serve ;;
    attend) locked_install; attend ;;
    start)
      locked_install; mkdir -p "$DATA"; stop
      if ready >/dev/null 2>&1; then die "something already answers on this port"; fi
      ( trap '' HUP; serve ) </dev/null >"$DATA/server.log" 2>&1 &
      echo $! >"$DATA/pid"; born $! >"$DATA/pid.born"
      wait_ready $!
      echo "$NAME is ready: pid $! (log $DATA/server.log)" ;;
    wait) wait_ready ;;
    stop) stop ;;
    *) die "usage: start.sh install|run|attend|start|stop|wait" ;;
  esac
}
