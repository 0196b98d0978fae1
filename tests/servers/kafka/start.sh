#!/usr/bin/env bash
# A real single-node Kafka broker (KRaft) on loopback, from Maven Central. Topics are made when first used.
#   KAFKA_PORT=19092 KAFKA_DATA=/tmp/kafka ./start.sh COMMAND   (commands: ../lib.sh)
# KAFKA_SASL      1 for two listeners more, both TLS with a certificate for `localhost` by DATA/ca.pem:
#                 KAFKA_PORT+2, SCRAM-SHA-512 and -256, user `test`, password `test-secret`
#                 KAFKA_PORT+3, OAUTHBEARER, which takes any unsecured token
# KAFKA_SETTINGS  more lines of server.properties, as $'auto.create.topics.enable=false\nmessage.max.bytes=1000'
# KAFKA_VERSION   4.1.2 (a JDK from 17)
# KAFKA_HEAP      384m; KAFKA_JVM: the JVM's flags, else those that start it soon
# KAFKA_PORT+1 is the controller's. A folder that a broker left is served again, with what it held.
NAME=kafka
VERSION=${KAFKA_VERSION:-4.1.2}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/kafka/$VERSION
PORT=${KAFKA_PORT:-19092}
DATA=${KAFKA_DATA:-${TMPDIR:-/tmp}/tripline-kafka-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

java_version() { "$1/bin/java" -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p'; }

# A JDK that this version runs on.
jdk() {
  local home version
  for home in "${KAFKA_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [ -n "$home" ] && [ -x "$home/bin/java" ] || continue
    version=$(java_version "$home")
    if [ "${version:-0}" -ge 17 ]; then echo "$home"; return; fi
  done
  unavailable "Kafka $VERSION needs a JDK from 17"
}

install() {
  if [ -f "$CACHE/installed" ]; then return; fi
  jdk >/dev/null
  has mvn || unavailable "needs Maven"
  rm -rf "$CACHE/lib"
  mvn -B -q -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies \
    -f "$here/pom.xml" "-Dkafka.version=$VERSION" -DincludeScope=runtime "-DoutputDirectory=$CACHE/lib" \
    >"$CACHE/maven.log" 2>&1 || { tail -5 "$CACHE/maven.log" >&2; unavailable "Maven cannot fetch Kafka $VERSION"; }
  archive_classes
  touch "$CACHE/installed"
}

# One start leaves an archive of the loaded classes, with which later ones take half the time.
archive_classes() {
  local archive=$CACHE/classes.jsa
  (
    DATA=$CACHE/first PORT=$(free_port) KAFKA_SETTINGS='' KAFKA_SASL='' KAFKA_JVM=''
    ARCHIVE=-XX:ArchiveClassesAtExit=$archive.fresh
    rm -rf "$DATA"; mkdir -p "$DATA"
    serve >"$DATA/server.log" 2>&1 &
    wait_ready $!
    kill $!
    wait $! || true
  )
  if [ -s "$archive.fresh" ]; then mv "$archive.fresh" "$archive"; fi
  rm -rf "$CACHE/first"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(min(s.getsockname()[1], 65000))'
}

configure() {
  local listeners=PLAINTEXT://127.0.0.1:$PORT protocols=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
  if [ "${KAFKA_SASL:-}" = 1 ]; then
    listeners+=,SCRAM://localhost:$((PORT + 2)),OAUTH://localhost:$((PORT + 3))
    protocols+=,SCRAM:SASL_SSL,OAUTH:SASL_SSL
  fi
  cat >"$DATA/server.properties" <<CONFIGURATION
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((PORT + 1))
controller.listener.names=CONTROLLER
listeners=$listeners,CONTROLLER://127.0.0.1:$((PORT + 1))
advertised.listeners=$listeners
listener.security.protocol.map=$protocols
inter.broker.listener.name=PLAINTEXT
log.dirs=$DATA/logs
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
CONFIGURATION
  if [ "${KAFKA_SASL:-}" = 1 ]; then configure_sasl >>"$DATA/server.properties"; fi
  if [ -n "${KAFKA_SETTINGS:-}" ]; then printf '%s\n' "$KAFKA_SETTINGS" >>"$DATA/server.properties"; fi
}

configure_sasl() {
  [ -f "$DATA/node.pem" ] || certify
  local scram=org.apache.kafka.common.security.scram.ScramLoginModule
  local oauth=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule
  cat <<CONFIGURATION
ssl.keystore.type=PEM
ssl.keystore.location=$DATA/node.pem
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,OAUTHBEARER
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256
listener.name.scram.scram-sha-512.sasl.jaas.config=$scram required;
listener.name.scram.scram-sha-256.sasl.jaas.config=$scram required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=$oauth required unsecuredLoginStringClaim_sub="broker";
CONFIGURATION
}

# An authority of its own, and the broker's certificate by it.
certify() {
  has openssl || die "TLS needs openssl"
  (
    cd "$DATA"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tripline-tests -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout node.key -out node.csr
    openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out node.crt \
      -extfile <(echo subjectAltName=DNS:localhost,IP:127.0.0.1)
    cat node.key node.crt >node.pem
  ) >"$DATA/certify.log" 2>&1 || die "cannot make certificates: $(tail -1 "$DATA/certify.log")"
}

# [exec] class, its arguments
run_java() {
  local home as=() more=() archive=$CACHE/classes.jsa
  if [ "$1" = exec ]; then as=(exec); shift; fi
  home=$(jdk)
  if [ -s "$archive" ]; then more=(-Xshare:auto "-XX:SharedArchiveFile=$archive"); fi
  if [ -n "${ARCHIVE:-}" ] && [ ${#as[@]} -gt 0 ]; then more=(-Xlog:cds=off "$ARCHIVE"); fi
  "${as[@]}" "$home/bin/java" "-Xmx${KAFKA_HEAP:-384m}" ${KAFKA_JVM:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC} \
    "${more[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
    -cp "$CACHE/lib/*" "$@"
}

serve() {
  configure
  if [ ! -f "$DATA/logs/meta.properties" ]; then
    run_java kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$DATA/server.properties" \
      --add-scram 'SCRAM-SHA-512=[name=test,password=test-secret]' \
      --add-scram 'SCRAM-SHA-256=[name=test,password=test-secret]'
  fi
  run_java exec kafka.Kafka "$DATA/server.properties"
}

# The broker opens its listeners last: one that accepts is one that serves.
ready() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT"); }

main "$@"
