package io.seglift.kafka;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;

/** A cluster, as a command reaches it. */
interface KafkaCluster {
    /** The one that the properties name. */
    KafkaCluster REAL = new KafkaCluster() {
        @Override
        public String id(Properties client, Duration timeout) {
            try (Admin admin = Admin.create(client)) {
                return admin.describeCluster().clusterId().get(timeout.toNanos(), TimeUnit.NANOSECONDS);
            } catch (ExecutionException e) {
                throw new KafkaException("the cluster's id could not be had", e.getCause());
            } catch (TimeoutException e) {
                throw new KafkaException("the cluster's id did not come within " + timeout.toSeconds() + " s", e);
            } catch (InterruptedException e) {
                throw new KafkaException("interrupted while waiting for the cluster's id", e);
            }
        }

        @Override
        public Consumer<byte[], byte[]> consumer(Properties client) {
            return new KafkaConsumer<>(client);
        }
    };

    /**
     * The cluster's id, as its brokers say it.
     *
     * @throws KafkaException if they do not say it in time
     */
    String id(Properties client, Duration timeout);

    /** A consumer of the cluster, for the caller to close. */
    Consumer<byte[], byte[]> consumer(Properties client);
}
