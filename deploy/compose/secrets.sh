#!/bin/sh
# Makes what the services, the broker and the stores know each other by, in secrets/
# beside this file. Passwords that are there stay, so that it may be run again after an
# upgrade; to change one, delete its file (PostgreSQL and ClickHouse have to be told).
#
# Containers read the files as users of their own, so each file may be read by
# everybody who gets as far: the directory is its owner's alone.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p -m 700 secrets
cd secrets

# write NAME: a file with what comes in, if that is not what it has.
write() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then
    rm "$1.new"
  else
    mv "$1.new" "$1" && echo "made secrets/$1"
  fi
}
# password NAME [BYTES]: a password, unless there is one.
password() { [ -s "$1" ] || od -An -tx1 -N "${2:-24}" /dev/urandom | tr -d ' \n' | write "$1"; }

password mesh
password admin 12 # the first login: admin, of the tenant driftmesh
password metrics  # who scrapes
password grafana 12 # the first login at Grafana: admin

password clickhouse
password clickhouse-grafana # who reads, and changes nothing
printf 'http://driftmesh:%s@clickhouse:8123/driftmesh\n' "$(cat clickhouse)" | write clickhouse.url
write clickhouse.xml <<XML
<clickhouse><users>
  <default remove="remove"/>
  <driftmesh>
    <password>$(cat clickhouse)</password>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <access_management>1</access_management>
  </driftmesh>
  <grafana>
    <password>$(cat clickhouse-grafana)</password>
    <networks><ip>::/0</ip></networks>
    <profile>grafana</profile>
    <quota>default</quota>
    <grants><query>GRANT SELECT ON driftmesh.*</query></grants>
  </grafana>
</users><profiles><grafana><readonly>2</readonly></grafana></profiles></clickhouse>
XML

password postgres
printf 'postgres://driftmesh:%s@postgres:5432/driftmesh?sslmode=disable\n' "$(cat postgres)" | write postgres.url

for user in gateway auth drift ingest-worker trace-store producer; do
  password "nats-$user"
  printf 'nats://%s:%s@nats:4222?inbox-prefix=_INBOX_%s\n' "$user" "$(cat "nats-$user")" "$user" | write "nats-$user.url"
done
for user in gateway auth drift ingest-worker trace-store producer; do
  printf '%s_PASSWORD: "%s"\n' "$(echo "$user" | tr 'a-z-' 'A-Z_')" "$(cat "nats-$user")"
done | write nats.conf

# The other brokers have one user for the mesh, which may do everything.
for broker in kafka rabbitmq redis; do
  password "$broker"
  case $broker in
  kafka) url="kafka://mesh:$(cat kafka)@kafka:9092?sasl=plain" ;;
  rabbitmq) url="amqp://mesh:$(cat rabbitmq)@rabbitmq:5672?management=http://rabbitmq:15672" ;;
  redis) url="redis://mesh:$(cat redis)@redis:6379" ;;
  esac
  for user in gateway auth drift ingest-worker trace-store; do
    printf '%s\n' "$url" | write "$broker-$user.url"
  done
done

password kafka-self # the broker's own user
write kafka.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=CLIENT://:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=CLIENT://kafka:9092
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="self" password="$(cat kafka-self)" user_self="$(cat kafka-self)" user_mesh="$(cat kafka)";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:self;User:mesh;User:ANONYMOUS
log.dirs=/var/lib/kafka/data/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
PROPERTIES

write rabbitmq.conf <<CONF
default_user = mesh
default_pass = $(cat rabbitmq)
default_user_tags.monitoring = true
disk_free_limit.absolute = 2GB
log.console = true
CONF

# The users and their rights are those of docs/brokers.md, and why the default one has any.
write redis.conf <<CONF
bind * -::*
protected-mode no
dir /data
appendonly yes
appendfsync always
save ""
maxmemory 3gb
maxmemory-policy noeviction
user default off ~* &* +@all
user mesh on >$(cat redis) ~driftmesh:* -@all +hello +auth +ping +select +client|setname +xadd +xreadgroup +xread +xrange +xrevrange +xlen +xack +xclaim +xpending +xtrim +xsetid +xgroup +xinfo +info +memory|usage +time +exists +hset +hsetnx +hget +hgetall +hdel +eval +evalsha +script|load +config|get
CONF
