package io.seglift.kafka.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What an operator does at the command line beside a cluster: the programs run as they are installed. */
final class Operator {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Cluster cluster;
    private final Store store;
    private final Path folder;
    private final Path settings;

    /** @param folder for a file of settings, so that no secret stands on a command line, and for the programs' words */
    Operator(Cluster cluster, Store store, Path folder) throws IOException {
        this.cluster = cluster;
        this.store = store;
        this.folder = folder;
        settings = folder.resolve("seglift.properties");
        Map<String, String> all = new HashMap<>(store.settings());
        all.put("owner", Cluster.OWNER);
        SettingsFile.write(settings, all);
    }

    /** The keys of the segments in the store. */
    List<String> keys() throws Exception {
        return seglift("", "ls", store.uri()).lines().toList();
    }

    /** The list of the keys that the brokers refer to, as it is printed; no copy may be under way. */
    String liveKeys() throws Exception {
        Path home = folder.resolve("kafka");
        if (!Files.exists(home)) {
            cluster.version().unpack(home);
        }
        Path script = Build.root().resolve("bindings/java/kafka/bin/seglift-kafka");
        ProcessBuilder builder = new ProcessBuilder(script.toString(), "live-keys", "--bootstrap-server",
                cluster.bootstrap(), "--cluster-id", cluster.id(), "--in-flight", "1ms");
        builder.environment().put("KAFKA_HOME", home.toString());
        builder.environment().put("SEGLIFT_KAFKA_JARS", Build.plugin().toString());
        return run(builder, "");
    }

    /** The keys of a list: all lines but the first and the last one, which say how far it reaches. */
    static List<String> keys(String list) {
        return list.lines().filter(line -> !line.startsWith("#")).toList();
    }

    /** Puts an object into the store that no broker knows of. */
    void plant(String key) throws Exception {
        Path file = Files.writeString(folder.resolve("planted"), "a copy whose broker died before it was noted");
        seglift("", "offload", "--to", store.uri(), "--key", key, file.toString());
    }

    /** Deletes what is not live, however young, and returns the verdict on each key. */
    Map<String, String> sweep(String liveKeys) throws Exception {
        return verdicts(seglift(liveKeys, "sweep", "--json", "--delete", "--grace", "0s", "--live", "-", store.uri()));
    }

    /** Aborts the uploads that nobody will end, and returns the verdict on each. */
    Map<String, String> reap() throws Exception {
        return verdicts(seglift("", "reap", "--json", "--older-than", "1s", "--all-owners", store.uri()));
    }

    private static Map<String, String> verdicts(String lines) throws IOException {
        Map<String, String> verdicts = new TreeMap<>();
        for (String line : lines.lines().toList()) {
            JsonNode object = JSON.readTree(line);
            verdicts.put(object.get("name").textValue(), object.get("verdict").textValue());
        }
        return verdicts;
    }

    private String seglift(String input, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(Build.command().toString()));
        command.addAll(List.of(arguments));
        command.addAll(List.of("--config", settings.toString()));
        return run(new ProcessBuilder(command), input);
    }

    /** Runs a program to its end; what it prints, if it succeeds. */
    private String run(ProcessBuilder builder, String input) throws Exception {
        Path errors = folder.resolve("operator.log");
        builder.environment().keySet().removeIf(name -> name.startsWith("AWS_") || name.startsWith("SEGLIFT_LOG"));
        Process process = builder.redirectError(errors.toFile()).start();
        try (var stdin = process.outputWriter(StandardCharsets.UTF_8)) {
            stdin.write(input);
        }
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        if (status != 0) {
            throw new AssertionError(builder.command() + " ended with status " + status + ": "
                    + Files.readString(errors));
        }
        return output;
    }
}
