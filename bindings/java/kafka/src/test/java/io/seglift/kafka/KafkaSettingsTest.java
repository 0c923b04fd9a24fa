package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.junit.jupiter.api.Test;

class KafkaSettingsTest {
    private final Map<String, Object> configs = new HashMap<>(Map.of("store", "memory:", "owner", "c1"));

    private String refusal() {
        return assertThrows(ConfigException.class, () -> KafkaSettings.of(configs)).getMessage();
    }

    private String refusalOfTheLibrary() {
        try (SegliftRemoteStorageManager manager = new SegliftRemoteStorageManager()) {
            return assertThrows(ConfigException.class, () -> manager.configure(configs)).getMessage();
        }
    }

    @Test
    void storeAndOwnerAreEnough() {
        KafkaSettings settings = KafkaSettings.of(configs);
        assertEquals("memory:", settings.store());
        assertEquals(Map.of("owner", "c1"), settings.library());
        assertEquals(Duration.ofSeconds(10), settings.deleteTimeout());
    }

    @Test
    void whatIsNotOursIsTheLibrarysByItsOwnName() {
        configs.put("codec", "none");
        configs.put("cache.memory.size", " 64MiB ");
        assertEquals(
                Map.of("owner", "c1", "codec", "none", "cache.memory.size", "64MiB"),
                KafkaSettings.of(configs).library());
    }

    @Test
    void whatTheBrokerAddsIsNoError() {
        configs.put("broker.id", 1);
        assertEquals(Map.of("owner", "c1"), KafkaSettings.of(configs).library());
    }

    @Test
    void aMissingStoreSaysHowItIsWritten() {
        configs.remove("store");
        assertEquals("rsm.config.store is missing: say where segments go, such as s3://BUCKET/PREFIX", refusal());
    }

    @Test
    void aMissingOwnerSaysWhatToTake() {
        configs.put("owner", " ");
        assertTrue(refusal().startsWith("rsm.config.owner is missing: give all brokers of the cluster one name"));
    }

    @Test
    void anUnknownSettingOfThePluginNamesTheRightOne() {
        configs.put("kafka.delete.timeuot", "1s");
        assertEquals(
                "there is no setting rsm.config.kafka.delete.timeuot; did you mean rsm.config.kafka.delete.timeout?",
                refusal());
    }

    @Test
    void anUnknownSettingOfTheLibraryNamesTheNearest() {
        configs.put("cache.memory.sise", "64MiB");
        String refusal = refusalOfTheLibrary();
        assertTrue(refusal.contains("cache.memory.sise") && refusal.contains("cache.memory.size"), refusal);
    }

    @Test
    void aTimeIsWrittenAsEverywhere() {
        configs.put("kafka.delete.timeout", "2m");
        assertEquals(Duration.ofMinutes(2), KafkaSettings.of(configs).deleteTimeout());
        for (String wrong : new String[] {"", "10", "0s", "-1s", "1.5s", "soon"}) {
            configs.put("kafka.delete.timeout", wrong);
            assertTrue(refusal().contains("kafka.delete.timeout"), wrong);
        }
    }

    @Test
    void noSecretIsInItsText() {
        configs.put("s3.secret.key", "hush");
        assertFalse(KafkaSettings.of(configs).toString().contains("hush"));
    }
}
