#!/usr/bin/env bash
# A real S3 server on loopback: versitygw over a folder. It verifies signatures, body hashes and
# checksums, and honours If-None-Match and If-Match atomically on all writes.
#   S3_PORT=9000 S3_DATA=/tmp/s3 S3_BUCKETS="trips raw" ./start.sh COMMAND   (commands: ../lib.sh)
# Keys: S3_ACCESS (AKIDTEST) and S3_SECRET (secrettest); region S3_REGION (us-east-1); buckets in the path.
# S3_VERSIONS=1 lets buckets have versions.
# Objects are the files $S3_DATA/buckets/BUCKET/KEY, so a test can read the Parquet from there.
# A container where an engine answers, else compiled by Go at the first install (some minutes).
# S3_NATIVE=1 asks for the latter.
NAME=s3
VERSION=v1.8.0
IMAGE=versity/versitygw:$VERSION
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/s3/$VERSION
PORT=${S3_PORT:-9000}
DATA=${S3_DATA:-${TMPDIR:-/tmp}/tripline-s3-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

in_container() { [ -z "${S3_NATIVE:-}" ] && [ ! -x "$CACHE/versitygw" ] && docker_answers; }

install() {
  if [ -x "$CACHE/versitygw" ]; then return; fi
  if in_container; then
    docker image inspect "$IMAGE" >/dev/null 2>&1 || docker pull --quiet "$IMAGE" || unavailable "cannot pull $IMAGE"
    return
  fi
  has go || unavailable "needs a container engine that answers, or Go"
  GOBIN=$CACHE go install -ldflags=-s "github.com/versity/versitygw/cmd/versitygw@$VERSION" ||
    unavailable "go install of versitygw $VERSION failed"
}

serve() {
  local bucket
  mkdir -p "$DATA"/{buckets,meta,iam,versions}
  for bucket in ${S3_BUCKETS:-}; do mkdir -p "$DATA/buckets/$bucket"; done
  # With --iam-dir an unknown key is 403, as in S3; with --sidecar no extended attributes are needed.
  set -- --region "${S3_REGION:-us-east-1}" --quiet --health /_health --iam-dir "$DATA/iam" posix --sidecar "$DATA/meta" \
    ${S3_VERSIONS:+--versioning-dir "$DATA/versions"} "$DATA/buckets"
  export ROOT_ACCESS_KEY_ID=${S3_ACCESS:-AKIDTEST} ROOT_SECRET_ACCESS_KEY=${S3_SECRET:-secrettest}
  if in_container; then
    exec docker run --rm --init --user "$(id -u):$(id -g)" --publish "127.0.0.1:$PORT:9000" \
      --volume "$DATA:$DATA" --env ROOT_ACCESS_KEY_ID --env ROOT_SECRET_ACCESS_KEY \
      --entrypoint versitygw "$IMAGE" --port :9000 "$@"
  fi
  exec "$CACHE/versitygw" --port "127.0.0.1:$PORT" "$@"
}

ready() { curl -fsS -m 3 "http://127.0.0.1:$PORT/_health"; }

main "$@"
