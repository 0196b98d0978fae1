#!/usr/bin/env bash
# A real single-node OpenSearch on loopback, without the security plugin, from Maven Central.
#   OS_PORT=9200 OS_DATA=/tmp/opensearch ./start.sh COMMAND   (commands: ../lib.sh)
# OS_VERSION   2.19.6 (a JDK from 11 to 21), or 3.6.0 (a JDK from 21)
# OS_SETTINGS  more lines of opensearch.yml, as $'thread_pool.write.size: 1\nhttp.max_content_length: 1mb'
# OS_HEAP      512m; OS_JVM: the JVM's flags, else those that start it soon (-XX:+UseG1GC where speed counts)
# The node speaks to others, of which there are none, on a port that it finds for itself.
NAME=opensearch
VERSION=${OS_VERSION:-2.19.6}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tripline/opensearch/$VERSION
OPENSEARCH=$CACHE/opensearch-$VERSION
PORT=${OS_PORT:-9200}
DATA=${OS_DATA:-${TMPDIR:-/tmp}/tripline-opensearch-$PORT}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

# Modules that the 2.x distribution from Maven lacks, as FOLDER=ARTIFACT: ingest pipelines and what they need.
MODULES="lang-painless=lang-painless ingest-common=ingest-common"

java_version() { "$1/bin/java" -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p'; }

# A JDK that this version runs on.
jdk() {
  local home version least=11 most=21
  case $VERSION in 2.*) ;; *) least=21 most=99 ;; esac
  for home in "${OS_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [ -n "$home" ] && [ -x "$home/bin/java" ] || continue
    version=$(java_version "$home")
    if [ "${version:-0}" -ge $least ] && [ "$version" -le $most ]; then echo "$home"; return; fi
  done
  unavailable "OpenSearch $VERSION needs a JDK from $least to $most"
}

# maven GOAL ARGUMENT…, of the dependency plugin
maven() {
  local goal=$1; shift
  mvn -B -q -Dstyle.color=never "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:$goal" "$@" \
    >"$CACHE/maven.log" 2>&1 || { tail -5 "$CACHE/maven.log" >&2; unavailable "Maven cannot fetch OpenSearch $VERSION"; }
}

install() {
  if [ -f "$CACHE/installed" ]; then return; fi
  local fresh=$CACHE/fresh
  jdk >/dev/null
  has mvn && has unzip || unavailable "needs Maven and unzip"
  rm -rf "$fresh" "$OPENSEARCH"; mkdir -p "$fresh"
  maven copy -Dartifact="org.opensearch.distribution.integ-test-zip:opensearch:$VERSION:zip" -DoutputDirectory="$fresh"
  unzip -q "$fresh/opensearch-$VERSION.zip" -d "$fresh"
  install_modules "$fresh/opensearch-$VERSION"
  mv "$fresh/opensearch-$VERSION" "$OPENSEARCH"
  rm -rf "$fresh"
  archive_classes
  touch "$CACHE/installed"
}

# A module is a folder of jars with a descriptor. Jars that the server has may not be there again.
install_modules() { # distribution
  local module folder artifact jar work=$CACHE/fresh/modules
  for module in $MODULES; do
    folder=$1/modules/${module%=*} artifact=${module#*=}
    if [ -d "$folder" ]; then continue; fi
    mkdir -p "$folder" "$work/$artifact"
    sed "s/@ARTIFACT@/$artifact/; s/@VERSION@/$VERSION/" "$here/module.pom.xml" >"$work/$artifact/pom.xml"
    maven copy-dependencies -f "$work/$artifact/pom.xml" -DincludeScope=runtime -DoutputDirectory="$folder"
    for jar in "$folder"/*.jar; do
      if compgen -G "$1/lib/$(basename "$jar" | sed -E 's/-[0-9].*//')-[0-9]*.jar" >/dev/null; then rm "$jar"; fi
    done
    describe_module "$folder" "$artifact"
  done
}

describe_module() { # folder artifact
  local class extends=
  class=$(unzip -l "$1/$2-$VERSION.jar" | grep -oE '[A-Za-z/]+Plugin\.class' | head -1)
  class=${class%.class}
  if [ "$2" != lang-painless ]; then extends=lang-painless; fi
  printf '%s\n' "description=$2" "version=$VERSION" "name=$(basename "$1")" "classname=${class//\//.}" java.version=11 \
    "opensearch.version=$VERSION" "extended.plugins=$extends" has.native.controller=false >"$1/plugin-descriptor.properties"
  if [ "$2" = lang-painless ]; then
    printf '%s\n' 'grant {' '  permission java.lang.RuntimePermission "createClassLoader";' \
      '  permission java.lang.RuntimePermission "getClassLoader";' '};' >"$1/plugin-security.policy"
  fi
}

# One start leaves an archive of the loaded classes, with which later ones take a third of the time.
archive_classes() {
  local archive=$CACHE/classes.jsa
  (
    DATA=$CACHE/first PORT=$(free_port) OS_SETTINGS='' OS_JVM='' ARCHIVE=-XX:ArchiveClassesAtExit=$archive.fresh
    mkdir -p "$DATA"
    serve >"$DATA/server.log" 2>&1 &
    wait_ready $!
    end_process $!
    wait $! || true
  )
  if [ -s "$archive.fresh" ]; then mv "$archive.fresh" "$archive"; fi
  rm -rf "$CACHE/first"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configure() {
  mkdir -p "$DATA"/{conf,data,logs,tmp}
  cat >"$DATA/conf/opensearch.yml" <<CONFIGURATION
cluster.name: tripline-tests
node.name: one
discovery.type: single-node
network.host: 127.0.0.1
http.port: $PORT
transport.port: 0
path.data: $DATA/data
path.logs: $DATA/logs
cluster.routing.allocation.disk.threshold_enabled: false
${OS_SETTINGS:-}
CONFIGURATION
  cat >"$DATA/conf/log4j2.properties" <<'CONFIGURATION'
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
CONFIGURATION
}

serve() {
  configure
  local java as=() more=() archive=$CACHE/classes.jsa
  java=$(jdk)
  # OpenSearch refuses to run as root: in a user namespace it is somebody else, and its files stay root's.
  if [ "$(id -u)" = 0 ]; then as=(unshare --user --map-user=1000 --map-group=1000); fi
  cd "$OPENSEARCH"
  if [ -d agent ]; then
    # 3.x: without its agent, which keeps the archive of classes from being used; but its classes are needed.
    more=("-Xbootclasspath/a:$(echo agent/opensearch-agent-bootstrap-*.jar)"
          -Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1)
  elif [ "$(java_version "$java")" -ge 18 ]; then
    more=(-Djava.security.manager=allow)
  fi
  if [ -s "$archive" ]; then more+=(-Xshare:auto "-XX:SharedArchiveFile=$archive"); fi
  if [ -n "${ARCHIVE:-}" ]; then more+=(-Xlog:cds=off "$ARCHIVE"); fi
  exec "${as[@]}" "$java/bin/java" "-Xms${OS_HEAP:-512m}" "-Xmx${OS_HEAP:-512m}" -Xss1m \
    ${OS_JVM:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC} "${more[@]}" \
    -Djava.awt.headless=true -Dfile.encoding=UTF-8 -Djna.nosys=true -Djava.locale.providers=SPI,COMPAT \
    -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
    -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true "-Djava.io.tmpdir=$DATA/tmp" \
    -Djava.util.concurrent.ForkJoinPool.common.threadFactory=org.opensearch.secure_sm.SecuredForkJoinWorkerThreadFactory \
    "-Dopensearch.path.home=$OPENSEARCH" "-Dopensearch.path.conf=$DATA/conf" -Dopensearch.distribution.type=zip \
    -Dopensearch.bundled_jdk=false -cp "$OPENSEARCH/lib/*" org.opensearch.bootstrap.OpenSearch
}

ready() { curl -fsS -m 5 "http://127.0.0.1:$PORT/_cluster/health?wait_for_status=yellow&timeout=1s"; }

main "$@"
