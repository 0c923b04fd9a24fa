package io.seglift.kafka.tests;

import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.ElectionNotNeededException;

/**
 * Brokers that tier through one plugin. Broker 1 is the controller as well; further ones join by
 * {@link #addBroker}.
 *
 * <p>Tasks run twice a second, so that tests wait for work and not for timers.
 */
final class Cluster implements AutoCloseable {
    /** Whose objects the brokers of all clusters write; each cluster has a store of its own. */
    static final String OWNER = "kafka-tests";

    private static final String MANAGER = "remote.log.storage.manager.";
    private static final String CONFIG = "rsm.config.";

    private final KafkaVersion version;
    private final Path folder;
    private final Store store;
    private final String clusterId = Uuid.randomUuid().toString();
    private final int controllerPort = Ports.free();
    private final Map<Integer, Broker> brokers = new TreeMap<>();
    private final Map<Integer, Integer> ports = new HashMap<>();
    private final Admin admin;
    /** Settings of the plugin beside those that the store needs, which they replace. */
    private Map<String, String> more;

    private Cluster(KafkaVersion version, Path folder, Store store, Map<String, String> more) {
        this.version = version;
        this.folder = folder;
        this.store = store;
        this.more = more;
        ports.put(1, Ports.free());
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap()));
    }

    /**
     * Starts one broker and returns when it answers.
     *
     * @param more settings of the plugin beside those that the store needs, which they replace
     */
    static Cluster start(KafkaVersion version, Path folder, Store store, Map<String, String> more) throws Exception {
        Cluster cluster = new Cluster(version, folder, store, more);
        try {
            cluster.addBroker();
        } catch (Throwable e) {
            cluster.close();
            throw e;
        }
        return cluster;
    }

    /** Starts one more broker and returns it when it answers. */
    Broker addBroker() throws Exception {
        int id = brokers.size() + 1;
        ports.putIfAbsent(id, Ports.free());
        Broker broker = new Broker(version, folder.resolve("broker-" + id), clusterId, properties(id));
        brokers.put(id, broker);
        startBroker(id);
        return broker;
    }

    /** Starts a broker that was killed, and returns when it answers. */
    void startBroker(int id) throws Exception {
        Broker broker = broker(id);
        broker.start();
        Await.until("broker " + id + " answers", Scale.patience(), () -> "see its log", () -> {
            if (!broker.isAlive()) {
                throw new AssertionError("broker " + id + " ended while it started; see its log");
            }
            return isMember(id);
        });
    }

    /** Starts a broker anew with other settings of the plugin beside those that the store needs. */
    void reconfigure(int id, Map<String, String> settings) throws Exception {
        broker(id).stop();
        more = settings;
        broker(id).configure(properties(id));
        startBroker(id);
    }

    /** The cluster's id. */
    String id() {
        return clusterId;
    }

    Broker broker(int id) {
        return brokers.get(id);
    }

    Admin admin() {
        return admin;
    }

    KafkaVersion version() {
        return version;
    }

    String bootstrap() {
        return ports.values().stream().map(port -> "127.0.0.1:" + port).collect(Collectors.joining(","));
    }

    /** Creates a tiered topic on broker 1, whose sealed segments leave the disk as soon as they are copied. */
    Load createTopic(String name, int partitions, long segmentBytes) throws Exception {
        Map<String, String> config = Map.of(
                "remote.storage.enable", "true",
                "segment.bytes", Long.toString(segmentBytes),
                "local.retention.bytes", "1",
                "retention.ms", "-1",
                "file.delete.delay.ms", "500");
        Map<Integer, List<Integer>> replicas = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            replicas.put(partition, List.of(1));
        }
        admin.createTopics(List.of(new NewTopic(name, replicas).configs(config))).all().get();
        return new Load(this, name, partitions, segmentBytes);
    }

    void deleteTopic(String name) throws Exception {
        admin.deleteTopics(List.of(name)).all().get();
    }

    /** Moves all partitions of a topic to these brokers, and returns when each of them has what it needs. */
    void reassign(Load load, List<Integer> replicas) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> moves = new HashMap<>();
        for (TopicPartition partition : load.topicPartitions()) {
            moves.put(partition, Optional.of(new NewPartitionReassignment(replicas)));
        }
        admin.alterPartitionReassignments(moves).all().get();
        Await.until(load.topic() + " is on the brokers " + replicas, Scale.patience(), () -> "see their logs", () ->
                describe(load).stream().allMatch(partition -> partition.replicas().size() == replicas.size()
                        && partition.isr().size() == replicas.size()));
    }

    /** Makes the first broker of each replica list the leader, and returns when it is. */
    void electPreferredLeaders(Load load) throws Exception {
        var elected = admin.electLeaders(ElectionType.PREFERRED, new HashSet<>(load.topicPartitions()));
        for (Optional<Throwable> failure : elected.partitions().get().values()) {
            // The controller holds such elections by itself, every few minutes.
            if (failure.isPresent() && !(failure.get() instanceof ElectionNotNeededException)) {
                throw new AssertionError("no election for " + load.topic(), failure.get());
            }
        }
        Await.until("the preferred replicas of " + load.topic() + " lead", Scale.patience(), () -> "see their logs",
                () -> describe(load).stream().allMatch(partition ->
                        partition.leader().id() == partition.replicas().get(0).id()));
    }

    /** The partitions of a topic, as the cluster describes them. */
    List<TopicPartitionInfo> describe(Load load) throws ExecutionException, InterruptedException {
        return admin.describeTopics(List.of(load.topic())).allTopicNames().get().get(load.topic()).partitions();
    }

    @Override
    public void close() {
        admin.close(Duration.ZERO);
        AssertionError failure = null;
        // The controller goes last: a broker hands over to it when it shuts down.
        for (int id = brokers.size(); id > 0; id--) {
            try {
                broker(id).stop();
            } catch (AssertionError e) {
                failure = e;
            } catch (InterruptedException e) {
                failure = new AssertionError("interrupted while broker " + id + " stops", e);
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    private boolean isMember(int id) throws Exception {
        try {
            // Cheaper than a client that tries, and logs, until somebody answers.
            new Socket(InetAddress.getLoopbackAddress(), ports.get(id)).close();
            return admin.describeCluster().nodes().get().stream().anyMatch(node -> node.id() == id);
        } catch (ConnectException notYet) {
            return false;
        }
    }

    private Map<String, String> tiering() {
        Map<String, String> seglift = new HashMap<>(store.settings());
        seglift.put("store", store.uri());
        seglift.put("owner", OWNER);
        seglift.putAll(more);
        Map<String, String> tiering = new HashMap<>();
        tiering.put(MANAGER + "class.name", "io.seglift.kafka.SegliftRemoteStorageManager");
        tiering.put(MANAGER + "class.path", Build.plugin() + "/*");
        tiering.put(MANAGER + "impl.prefix", CONFIG);
        seglift.forEach((name, value) -> tiering.put(CONFIG + name, value));
        return tiering;
    }

    private Map<String, String> properties(int id) {
        Map<String, String> properties = new HashMap<>(tiering());
        properties.put("node.id", Integer.toString(id));
        properties.put("process.roles", id == 1 ? "broker,controller" : "broker");
        String listeners = "PLAINTEXT://127.0.0.1:" + ports.get(id);
        properties.put("listeners", id == 1 ? listeners + ",CONTROLLER://127.0.0.1:" + controllerPort : listeners);
        properties.put("controller.listener.names", "CONTROLLER");
        properties.put("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
        properties.put("controller.quorum.voters", "1@127.0.0.1:" + controllerPort);
        for (String topic : List.of("offsets.topic", "transaction.state.log")) {
            properties.put(topic + ".replication.factor", "1");
            properties.put(topic + ".num.partitions", "1");
        }
        properties.put("transaction.state.log.min.isr", "1");
        properties.put("group.initial.rebalance.delay.ms", "0");
        properties.put("log.initial.task.delay.ms", "500");
        properties.put("log.retention.check.interval.ms", "500");
        properties.put("remote.log.storage.system.enable", "true");
        properties.put("remote.log.manager.task.interval.ms", "500");
        properties.put("remote.log.metadata.manager.class.name",
                "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager");
        properties.put("remote.log.metadata.manager.impl.prefix", "rlmm.config.");
        properties.put("remote.log.metadata.manager.listener.name", "PLAINTEXT");
        properties.put("rlmm.config.remote.log.metadata.topic.num.partitions", "2");
        properties.put("rlmm.config.remote.log.metadata.topic.replication.factor", "1");
        return properties;
    }
}
