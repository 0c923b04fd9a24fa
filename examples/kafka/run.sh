#!/bin/sh
# Shows a Kafka broker that tiers through seglift: `make example-kafka`, which builds what it takes and calls this.
#
#   run.sh [--store file|minio|versitygw] [--mib N] [--seconds N]
#
# N MiB (240) are produced in N seconds (40). Everything it writes is in one folder of target, which goes when it ends,
# whether by itself or by Ctrl-C; so do its processes. After a failure the folder stays.
set -eu
cd "$(dirname "$0")/../.."

fail() { echo "run.sh: $*" >&2; exit 1; }

store=file mib=240 seconds=40
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || fail "$1 needs a value"
    case $1 in
    --store) store=$2 ;;
    --mib) mib=$2 ;;
    --seconds) seconds=$2 ;;
    *) fail "there is no option $1; there are --store, --mib and --seconds" ;;
    esac
    shift 2
done
case $store in
file | minio | versitygw) ;;
*) fail "there is no store '$store'; there are file, minio and versitygw" ;;
esac

# The plugin as it is installed, and the jars of a Kafka 4.2 where Maven keeps them.
jars=$(cd "${SEGLIFT_KAFKA_JARS:-target/java/kafka}" && pwd) || fail "the plugin is not built: make example-kafka"
kafka=$(cat target/java/seglift-kafka-broker-4.2/classpath) || fail "there is no Kafka: make example-kafka"

mkdir -p target
run=$(mktemp -d "$PWD/target/example-kafka.XXXXXX")
broker='' server=''
# Called at each end. A broker that nobody will start again need not shut down in order.
end() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$broker" ] || { kill -9 "$broker"; wait "$broker" || :; } 2>/dev/null
    # The object store ends with its input, and removes what it holds.
    [ -z "$server" ] || { exec 3>&-; wait "$server" || :; }
    case $status in
    0 | 130 | 143) rm -rf "$run" ;;
    *) echo "run.sh: everything is kept in $run; broker.log is among it" >&2 ;;
    esac
    exit $status
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the store

mkdir "$run/store"
cp examples/kafka/server.properties "$run"
if [ $store = file ]; then
    echo "rsm.config.store=file://$run/store" >>"$run/server.properties"
else
    mkfifo "$run/orders" "$run/answers"
    python3 tests/servers/serve.py $store <"$run/orders" >"$run/answers" &
    server=$!
    exec 3>"$run/orders" 4<"$run/answers"
    read -r facts <&4 || fail "$store did not start"
    echo '["make_bucket", "tier"]' >&3
    read -r _ <&4 || fail "$store makes no bucket"
    fact() { echo "$facts" | sed "s/.*\"$1\": \"\([^\"]*\)\".*/\1/"; }
    {
        echo "rsm.config.store=s3://tier"
        echo "rsm.config.s3.endpoint=$(fact endpoint)"
        echo "rsm.config.s3.access.key=$(fact access_key)"
        echo "rsm.config.s3.secret.key=$(fact secret_key)"
    } >>"$run/server.properties"
fi

# ---- the broker

free_ports='import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))'
ports=$(python3 -c "$free_ports")
cat >>"$run/server.properties" <<END
remote.log.storage.manager.class.path=$jars/*
log.dirs=$run/log
listeners=PLAINTEXT://127.0.0.1:${ports% *},CONTROLLER://127.0.0.1:${ports#* }
controller.quorum.voters=1@127.0.0.1:${ports#* }
END
# To be called in a subshell, which it replaces. The store ends with its input: no other process may hold that open.
kafka_java() { exec java -Xmx512m -cp "$kafka" -Dlog4j2.level=INFO "$@" 3>&- 4<&-; }
cluster=$(kafka_java kafka.tools.StorageTool random-uuid 2>"$run/format.log")
(kafka_java kafka.tools.StorageTool format -t "$cluster" -c "$run/server.properties") >>"$run/format.log" 2>&1 ||
    fail "the broker's folder could not be formatted: $run/format.log"
kafka_java kafka.Kafka "$run/server.properties" >"$run/broker.log" 2>&1 &
broker=$!

# ---- the show

redraw=''
[ ! -t 1 ] || redraw=--redraw
java -Xmx256m -cp "$kafka:$jars/*" examples/kafka/WatchTiering.java "$run/server.properties" "$mib" "$seconds" $redraw \
    3>&- 4<&-
