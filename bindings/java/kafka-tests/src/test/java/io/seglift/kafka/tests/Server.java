package io.seglift.kafka.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A real object store, run by {@code tests/servers/serve.py}: that program ends it, and removes what it held, when this
 * JVM is gone, however it ended. So there is one of each kind for all tests, and nobody closes it.
 */
final class Server {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, Server> SHARED = new HashMap<>();

    private final String kind;
    private final Process process;
    private final BufferedReader answers;
    private final String endpoint;
    private final String accessKey;
    private final String secretKey;
    private int buckets;

    /** The one store of this kind: {@code minio} or {@code versitygw}. */
    static synchronized Server shared(String kind) throws IOException {
        Server server = SHARED.get(kind);
        if (server == null) {
            server = new Server(kind);
            SHARED.put(kind, server);
        }
        return server;
    }

    private Server(String kind) throws IOException {
        this.kind = kind;
        String program = Build.root().resolve("tests/servers/serve.py").toString();
        process = new ProcessBuilder("python3", program, kind).redirectError(Redirect.INHERIT).start();
        answers = process.inputReader(StandardCharsets.UTF_8);
        JsonNode facts = answer("the start of " + kind);
        endpoint = facts.get("endpoint").textValue();
        accessKey = facts.get("access_key").textValue();
        secretKey = facts.get("secret_key").textValue();
    }

    String kind() {
        return kind;
    }

    String endpoint() {
        return endpoint;
    }

    String accessKey() {
        return accessKey;
    }

    String secretKey() {
        return secretKey;
    }

    /** Makes a bucket that no other test has. */
    synchronized String makeBucket() throws IOException {
        String bucket = "bucket-" + ++buckets;
        order("make_bucket", bucket);
        return bucket;
    }

    /** The keys in a bucket, looked up without the library. */
    List<String> keys(String bucket) throws IOException {
        return texts(order("keys", bucket));
    }

    /** The keys of the uploads in a bucket that were begun and not ended. */
    List<String> uploads(String bucket) throws IOException {
        return texts(order("uploads", bucket));
    }

    /** Kills the store as a power cut would; its data stay. */
    void stop() throws IOException {
        order("stop");
    }

    /** Brings it back, at the same port and with the same data. */
    void start() throws IOException {
        order("start");
    }

    private synchronized JsonNode order(String... words) throws IOException {
        process.outputWriter().write(JSON.writeValueAsString(words) + "\n");
        process.outputWriter().flush();
        return answer(words[0]);
    }

    private JsonNode answer(String what) throws IOException {
        String line = answers.readLine();
        if (line == null) {
            throw new IOException(what + " failed; serve.py says above why");
        }
        return JSON.readTree(line);
    }

    private static List<String> texts(JsonNode array) {
        List<String> texts = new ArrayList<>();
        array.forEach(text -> texts.add(text.textValue()));
        return texts;
    }
}
