/**
 * Real Kafka brokers that tier through seglift: each scenario is a test whose name is the sentence that it proves.
 *
 * <p>Brokers and stores are processes of their own. A {@link io.seglift.kafka.tests.Cluster} runs brokers, a
 * {@link io.seglift.kafka.tests.Store} what they tier to, {@link io.seglift.kafka.tests.Load} writes records that
 * {@link io.seglift.kafka.tests.Check} compares, every one, and {@link io.seglift.kafka.tests.Tiering} waits until
 * segments have left. Nothing here is published.
 */
package io.seglift.kafka.tests;
