#!/usr/bin/env bash
# A proxy that lets a request through only where its SigV4 signature is right: see proxy.py. It is not
# written in Rust, so that it shares no mistake with what it checks.
#   PROXY_PORT=9201 PROXY_UPSTREAM=http://127.0.0.1:9200 PROXY_SERVICE=es ./start.sh COMMAND   (commands: ../lib.sh)
# PROXY_REGION  us-east-1
# SIGV4_KEYS    ACCESS:SECRET[:TOKEN],…  (AKIDTEST:secrettest)
# SIGV4_SKEW    how far the clock of a signature may be off: 300 seconds
NAME=sigv4-proxy
VERSION=1
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/sigv4-proxy/$VERSION
PORT=${PROXY_PORT:-9201}
DATA=${PROXY_DATA:-${TMPDIR:-/tmp}/tripline-sigv4-proxy-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

install() {
  if [ -f "$CACHE/installed" ]; then return; fi
  has python3 || unavailable "needs Python 3"
  python3 -m venv --clear "$CACHE/venv" || unavailable "needs Python's venv"
  "$CACHE/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5 botocore==1.44.5 ||
    unavailable "pip cannot install aiohttp and botocore"
  touch "$CACHE/installed"
}

serve() {
  exec "$CACHE/venv/bin/python" "$here/proxy.py" "$PORT" "${PROXY_UPSTREAM:-http://127.0.0.1:9200}" \
    "${PROXY_SERVICE:-es}" "${PROXY_REGION:-us-east-1}"
}

ready() { curl -fsS -m 3 "http://127.0.0.1:$PORT/_proxy/stats"; }

main "$@"
