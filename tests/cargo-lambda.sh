#!/usr/bin/env bash
# Both functions as `cargo lambda watch` runs them: the sample events in, one of them twice, and trips by `tripline run
# --invoke`, a lake out that `tripline audit` proves. Once into a folder and once onto the S3 server of tests/servers/s3.
#   tests/cargo-lambda.sh    needs cargo-lambda on the PATH (pip install cargo-lambda)
# What cannot be had is left out with a line, and fails where CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

PORT=${LAMBDA_PORT:-9311}
S3_PORT=${S3_PORT:-9312}
work=$(mktemp -d "${TMPDIR:-/tmp}/tripline-cargo-lambda.XXXXXX")
watch=

fail() { echo "cargo-lambda.sh: $*" >&2; tail -20 "$work/watch.log" >&2 || true; exit 1; }

left_out() {
  echo "left out: cargo-lambda.sh: $*" >&2
  [ "${CI:-}" != true ] || exit 1
}

stop_watch() {
  [ -n "$watch" ] || return 0
  kill -INT "$watch" 2>/dev/null || true # ends the functions too
  wait "$watch" 2>/dev/null || true
  watch=
}

clean_up() {
  stop_watch
  S3_PORT=$S3_PORT S3_DATA=$work/s3 tests/servers/s3/start.sh stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

start_watch() { # variables…
  printf '%s\n' "TRIPLINE_PIPELINE=$PWD/pipelines/taxi" "$@" >"$work/environment"
  cargo lambda watch --features kafka --invoke-address 127.0.0.1 --invoke-port "$PORT" --ignore-changes \
    --env-file "$work/environment" >"$work/watch.log" 2>&1 &
  watch=$!
  for _ in $(seq 100); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || return 0
    kill -0 "$watch" 2>/dev/null || fail "cargo lambda watch ended"
    sleep 0.1
  done
  fail "cargo lambda watch does not answer"
}

invoke() { # function, --data-file or --data-ascii, value
  cargo lambda invoke "$1" --invoke-address 127.0.0.1 --invoke-port "$PORT" "$2" "$3" || fail "$1 $3 failed"
}

expect() { # what, found, expected
  [ "$2" = "$3" ] || fail "$1: $2 where $3 was expected"
}

walk() { # lake, variables…
  local lake=$1 name summary audit
  shift
  start_watch "TRIPLINE_LAKE=$lake" "$@"
  for name in trips trips recut poison late duplicates empty; do
    expect "ingest $name" "$(invoke ingest --data-file "events/kinesis-$name.json")" '{"batchItemFailures":[]}'
  done
  summary=$(invoke publish --data-ascii '{}')
  case $summary in
    *'"entries":5,'*'"rows":70,'*'"more":false,'*) ;;
    *) fail "publish: $summary" ;;
  esac
  # The tool plays the mapping; it has neither the pipeline nor the lake.
  summary=$(env -u TRIPLINE_PIPELINE -u TRIPLINE_LAKE "$tripline" run --invoke "http://127.0.0.1:$PORT" \
    --invoke-publish publish --input "$work/trips.jsonl" --batch-size 100) || fail "run --invoke: $summary"
  for name in "records read                 250" "250 rows, says the function" "invocations                    3"; do
    case $summary in
      *"$name"*) ;;
      *) fail "\"$name\" is not in the summary: $summary" ;;
    esac
  done
  stop_watch
  audit=$(env "$@" "$tripline" audit --pipeline pipelines/taxi --lake "$lake") || fail "$audit"
  for name in "table trip: 312 rows" "table dead_letter: 8 rows" "every committed record is there exactly once"; do
    case $audit in
      *"$name"*) ;;
      *) fail "\"$name\" is not in the audit: $audit" ;;
    esac
  done
  echo "cargo lambda: 320 rows, each once, in $lake"
}

cargo lambda --version >/dev/null 2>&1 || { left_out "cargo-lambda is not installed: pip install cargo-lambda"; exit 0; }

# As `watch` builds them, which it does at the first invocation: that one would take as long as the build. And with
# the features with which the tests of Rust have built what they depend on.
cargo build --quiet --workspace --features kafka --bins
tripline=${CARGO_TARGET_DIR:-target}/debug/tripline

seq 1000000 1000249 | sed 's/.*/{"type":"trip","trip_id":&,"pickup_location_id":140,"pickup_datetime":"2019-03-01T12:00:00Z"}/' \
  >"$work/trips.jsonl"

walk "$work/lake"

export S3_PORT S3_DATA=$work/s3 S3_BUCKETS=trips
code=0; said=$(tests/servers/s3/start.sh start 2>&1) || code=$?
case $code in
  0) ;;
  69) left_out "$said"; exit 0 ;;
  *) fail "$said" ;;
esac
walk s3://trips/taxi "TRIPLINE_S3_ENDPOINT=http://127.0.0.1:$S3_PORT" AWS_REGION=us-east-1 \
  AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=secrettest
