#!/usr/bin/env bash
# Does what README says under "The whole system", line by line, and looks at what comes of it.
set -euo pipefail
cd "$(dirname "$0")/.."
for port in 4567 9000 9200 19092; do
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "left out: tests/local.sh: port $port is taken" >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
  fi
done
scratch=$(mktemp -d)
export DATA=$scratch/servers
trap 'local/servers down; rm -rf "$scratch"' EXIT
sed -n '/^<!-- begin local/,/^<!-- end local/p' README.md | sed '/^<!--/d; /^```/d' >"$scratch/commands"
# The tool as the other tests have built it: alone it would need dependencies with other features.
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug
sed -i "/^cargo build/d; s#\$PWD/target/debug#$tools#; s#report.html#$scratch/report.html#" "$scratch/commands"
grep -q '^tripline run --kinesis' "$scratch/commands" || { echo "README has no such section any more" >&2; exit 1; }
if ! bash -euo pipefail "$scratch/commands" >"$scratch/output" 2>&1; then
  cat "$scratch/output" >&2
  exit 1
fi
for expected in 'every committed record is there exactly once' '"count":6500' 'records sent               6,500'; do
  grep -q "$expected" "$scratch/output" || { cat "$scratch/output" >&2; echo "missing: $expected" >&2; exit 1; }
done
echo "README's whole system: 6,500 trips through Kinesis into the lake and OpenSearch, audited"
