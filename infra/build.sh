#!/usr/bin/env bash
# Builds both functions for Lambda, with cargo-lambda and zig, and zips them with a pipeline: `make package` calls it.
#
# usage: build.sh ARCH PIPELINE
#
#   ARCH      x86_64 or arm64
#   PIPELINE  a pipeline's folder
#
# KAFKA=1 builds ingest with the Kafka sink. The zips are written to lambda/ of CARGO_TARGET_DIR, or of target.
set -euo pipefail
cd "$(dirname "$0")/.."

architecture="${1:?ARCH: x86_64 or arm64}" pipeline="${2:?PIPELINE: a folder}"
cargo="${CARGO:-cargo}" folder="${CARGO_TARGET_DIR:-target}/lambda"

lacks() {
  printf 'make package: %s\n' "$@" >&2
  exit 1
}

case "$architecture" in
  x86_64) target=x86_64-unknown-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu ;;
  *) lacks "ARCH=$architecture: x86_64 or arm64" ;;
esac
[[ -e "$pipeline/pipeline.toml" ]] || lacks "$pipeline/pipeline.toml is not there: name a pipeline of pipelines/, as in PIPELINE=taxi"

command -v "$cargo" > /dev/null || lacks "Rust is not installed: https://rustup.rs"
"$cargo" lambda --version > /dev/null 2>&1 || lacks "cargo-lambda is not installed; it brings zig along:" \
  "    python3 -m venv ~/.cargo-lambda && ~/.cargo-lambda/bin/pip install cargo-lambda && PATH=~/.cargo-lambda/bin:\$PATH make package"
command -v zig > /dev/null || python3 -m ziglang version > /dev/null 2>&1 \
  || lacks "zig is not installed, which links for Lambda's glibc: pip install ziglang"
[[ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]] \
  || lacks "Rust's library for $architecture is not installed: rustup target add $target"

features=() most=7
if [[ "${KAFKA:-}" == 1 ]]; then
  features=(--features tripline-ingest/kafka) most=12
fi
"$cargo" lambda build --release --target "$target" --bin ingest --bin publish "${features[@]}"
python3 infra/package.py "$folder" "$pipeline" --arch "$architecture" --most "$most"
