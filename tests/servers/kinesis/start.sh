#!/usr/bin/env bash
# A Kinesis server on loopback: kinesalite, in memory only, with a shard's limits on demand: see server.js.
#   KINESIS_PORT=4567 KINESIS_LIMITS=1 ./start.sh COMMAND   (commands: ../lib.sh)
# KINESIS_LIMITS=1   1000 records and 1 MiB a second for each shard
# KINESIS_FAIL=0.1   the share of records that fails with InternalFailure
# KINESIS_STREAMS=trips:2  makes these streams, with so many shards each, commas between
# A request must be signed, by whomever: signatures are not verified.
NAME=kinesis
VERSION=3.3.3 # as in package.json
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/kinesis/$VERSION
PORT=${KINESIS_PORT:-4567}
DATA=${KINESIS_DATA:-${TMPDIR:-/tmp}/tripline-kinesis-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

install() {
  has node || unavailable "needs Node.js"
  if [ -f "$CACHE/installed" ]; then return; fi
  has npm || unavailable "needs npm"
  cp "$here/package.json" "$CACHE/"
  # Without the optional parts, which are compiled and keep data on disk.
  (cd "$CACHE" && npm install --no-audit --no-fund --no-package-lock --omit=optional --loglevel=error) ||
    unavailable "npm cannot install kinesalite $VERSION"
  touch "$CACHE/installed"
}

serve() { KINESALITE=$CACHE/node_modules/kinesalite exec node "$here/server.js" "$PORT"; }

ready() { curl -fsS -m 3 "http://127.0.0.1:$PORT/_health"; }

main "$@"
