package io.seglift.kafka.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** Files of settings, as brokers and the command line read them: {@code NAME=VALUE} on each line. */
final class SettingsFile {
    private SettingsFile() {
    }

    static void write(Path file, Map<String, String> settings) throws IOException {
        Files.write(file, new TreeMap<>(settings).entrySet().stream()
                .map(setting -> setting.getKey() + "=" + setting.getValue()).toList());
    }
}
