package io.seglift.kafka;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.config.ConfigException;

/**
 * The settings of the plugin: what the broker's file has behind {@code rsm.config.}.
 *
 * <p>{@code store} and {@code owner} are required, {@code kafka.*} are the plugin's own, and everything else is a
 * setting of seglift by its own name, which the library itself checks: an unknown one is an error there. So nothing
 * that the library has a setting for, such as the deadlines of copies ({@code deadline.offload}) and fetches, has a
 * second name here.
 *
 * @param store URI of the store
 * @param library settings for the library, {@code owner} among them
 * @param deleteTimeout total time that the removal of one segment may take
 */
record KafkaSettings(String store, Map<String, String> library, Duration deleteTimeout) {
    /** What the broker's file has in front of the names here, unless it says otherwise. */
    private static final String PREFIX = "rsm.config.";

    private static final String STORE = "store";
    private static final String OWNER = "owner";
    private static final String OWN_PREFIX = "kafka.";
    private static final String DELETE_TIMEOUT = "kafka.delete.timeout";

    /** What brokers add to the settings of their plugins. */
    private static final Set<String> BROKERS_OWN = Set.of("broker.id", "node.id", "cluster.id", "log.dir", "log.dirs");

    /**
     * Deleting a topic removes its segments one after the other, on a thread that the broker needs for other things.
     */
    private static final String DEFAULT_DELETE_TIMEOUT = "10s";

    /**
     * Reads what the broker hands to {@code configure}.
     *
     * @throws ConfigException names the setting, what is wrong with it and what to do
     */
    static KafkaSettings of(Map<String, ?> configs) {
        Map<String, String> library = new HashMap<>();
        Map<String, String> own = new HashMap<>();
        configs.forEach((name, value) -> {
            if (value != null && !BROKERS_OWN.contains(name)) {
                boolean ours = name.equals(STORE) || name.startsWith(OWN_PREFIX);
                (ours ? own : library).put(name, value.toString().trim());
            }
        });
        String store = own.getOrDefault(STORE, "");
        own.remove(STORE);
        if (store.isEmpty()) {
            throw new ConfigException(PREFIX + STORE
                    + " is missing: say where segments go, such as s3://BUCKET/PREFIX");
        }
        if (library.getOrDefault(OWNER, "").isEmpty()) {
            throw new ConfigException(PREFIX + OWNER
                    + " is missing: give all brokers of the cluster one name that no other cluster has, such as the"
                    + " cluster's id, which kafka-cluster.sh cluster-id prints");
        }
        Duration deleteTimeout = time(DELETE_TIMEOUT, own.getOrDefault(DELETE_TIMEOUT, DEFAULT_DELETE_TIMEOUT));
        own.remove(DELETE_TIMEOUT);
        own.keySet().stream().findFirst().ifPresent(name -> {
            throw new ConfigException(
                    "there is no setting " + PREFIX + name + "; did you mean " + PREFIX + DELETE_TIMEOUT + "?");
        });
        return new KafkaSettings(store, Map.copyOf(library), deleteTimeout);
    }

    /** Without the settings of the library, since secrets are among them. */
    @Override
    public String toString() {
        return "KafkaSettings[store=" + store + ", deleteTimeout=" + deleteTimeout + "]";
    }

    private static Duration time(String name, String text) {
        try {
            Duration time = Times.parse(text);
            if (time.isZero()) {
                throw new IllegalArgumentException("it must be longer than zero");
            }
            return time;
        } catch (IllegalArgumentException e) {
            throw new ConfigException(PREFIX + name, text, e.getMessage());
        }
    }
}
