#!/usr/bin/env bash
# A real PostgreSQL server on loopback and a socket in DATA/db, from Maven Central; else the machine's own. Its user `test`, password
# `test-secret`, owns the database `test`.
#   POSTGRES_PORT=15432 POSTGRES_DATA=/tmp/postgres ./start.sh COMMAND   (commands: ../lib.sh)
# POSTGRES_TLS      1: TLS, and nothing else, with a certificate for `localhost` by DATA/ca.pem
# POSTGRES_VERSION  17.6.0
# PostgreSQL does not run as root: for root it runs as `nobody`, from folders that everyone may read.
NAME=postgres
VERSION=${POSTGRES_VERSION:-17.6.0}
if [ "$(id -u)" = 0 ]; then CACHE=/var/cache/tripline/postgres/$VERSION; else
  CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/postgres/$VERSION
fi
PORT=${POSTGRES_PORT:-15432}
DATA=${POSTGRES_DATA:-${TMPDIR:-/tmp}/tripline-postgres-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

machine() { case "$(uname -m)" in x86_64) echo amd64 ;; aarch64) echo arm64v8 ;; *) uname -m ;; esac; }

install() {
  if [ -x "$CACHE/bin/initdb" ] || [ -n "$(own)" ]; then return; fi
  if has mvn && has unzip && has xz; then fetch || true; fi
  [ -x "$CACHE/bin/initdb" ] || [ -n "$(installed)" ] ||
    unavailable "needs Maven, unzip and xz to fetch PostgreSQL $VERSION, or PostgreSQL installed"
}

fetch() {
  local jar=embedded-postgres-binaries-linux-$(machine)
  mkdir -p "$CACHE/fetched"
  mvn -B -q -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy \
    "-Dartifact=io.zonky.test.postgres:$jar:$VERSION" "-DoutputDirectory=$CACHE/fetched" \
    >"$CACHE/maven.log" 2>&1 || { tail -5 "$CACHE/maven.log" >&2; return 1; }
  unzip -qo "$CACHE/fetched/$jar-$VERSION.jar" '*.txz' -d "$CACHE/fetched"
  tar -xJf "$CACHE"/fetched/*.txz -C "$CACHE"
  rm -rf "$CACHE/fetched"
  chmod -R a+rX "$CACHE"
}

# The folder of programs: as asked for, as fetched, or as installed.
own() { if [ -x "${POSTGRES_BIN:-}/initdb" ]; then echo "$POSTGRES_BIN"; fi; }
installed() { ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -V | tail -1; }
programs() {
  local found; found=$(own)
  if [ -z "$found" ] && [ -x "$CACHE/bin/initdb" ]; then found=$CACHE/bin; fi
  echo "${found:-$(installed)}"
}

# A command as a user that PostgreSQL runs for, in place of this shell.
as_user() {
  if [ "$(id -u)" != 0 ]; then exec "$@"; fi
  has setpriv || die "root needs setpriv, of util-linux"
  exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

# An authority of its own, and the server's certificate by it.
certify() {
  has openssl || die "TLS needs openssl"
  (
    cd "$DATA"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tripline-tests -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout db/server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out db/server.crt \
      -extfile <(echo subjectAltName=DNS:localhost,IP:127.0.0.1)
    chmod 600 db/server.key
  ) >"$DATA/certify.log" 2>&1 || die "cannot make certificates: $(tail -1 "$DATA/certify.log")"
}

configure() {
  local as=host
  echo test-secret >"$DATA/password"
  chmod a+rx "$DATA"
  mkdir -p "$DATA/db"
  if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$DATA/db"; fi
  (as_user "$(programs)/initdb" --pgdata "$DATA/db" --username test --pwfile "$DATA/password" --auth scram-sha-256 \
    --encoding UTF8 --locale C --no-sync)
  {
    echo "listen_addresses = '127.0.0.1'"
    echo "port = $PORT"
    echo "unix_socket_directories = '$DATA/db'"
    echo "fsync = off"
    if [ "${POSTGRES_TLS:-}" = 1 ]; then echo "ssl = on"; fi
  } >>"$DATA/db/postgresql.conf"
  if [ "${POSTGRES_TLS:-}" = 1 ]; then
    certify
    as=hostssl
    if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$DATA/db/server.key" "$DATA/db/server.crt"; fi
  fi
  printf '%s\n' "$as all all 127.0.0.1/32 scram-sha-256" 'local all all scram-sha-256' >"$DATA/db/pg_hba.conf"
}

# The database by that of single-user mode, before anybody connects.
serve() {
  if [ ! -f "$DATA/db/postgresql.conf" ]; then
    configure
    echo 'CREATE DATABASE test' | (as_user "$(programs)/postgres" --single -D "$DATA/db" postgres)
  fi
  as_user "$(programs)/postgres" -D "$DATA/db"
}

# It listens before it is ready: the file says what it says.
ready() { grep -q '^ready' "$DATA/db/postmaster.pid" && (exec 3<>"/dev/tcp/127.0.0.1/$PORT"); }

main "$@"
