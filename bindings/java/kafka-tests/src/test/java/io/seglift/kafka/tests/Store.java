package io.seglift.kafka.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** What brokers tier to. */
sealed interface Store {
    /** What runs it, for names of folders. */
    String kind();

    /** The URI. */
    String uri();

    /** What seglift has to be told beside the URI. */
    Map<String, String> settings();

    /** Everything that lies in it, objects and what is on its way to be one, looked up without the library. */
    List<String> contents() throws IOException;

    /** Waits until nothing lies in it. */
    default void awaitEmpty() throws Exception {
        List<String> left = new ArrayList<>();
        Await.until("the store is empty", Scale.patience(), () -> "there still are " + left, () -> {
            left.clear();
            left.addAll(contents());
            return left.isEmpty();
        });
    }

    /** A folder of its own in {@code parent}. */
    static Store folder(Path parent) throws IOException {
        return new Folder(Files.createDirectories(parent.resolve("store")));
    }

    /** A bucket of its own on the shared server of this kind. */
    static Bucket bucket(String server) throws IOException {
        Server shared = Server.shared(server);
        return new Bucket(shared, shared.makeBucket());
    }

    /** A {@code file://} store. */
    record Folder(Path path) implements Store {
        @Override
        public String kind() {
            return "folder";
        }

        @Override
        public String uri() {
            return "file://" + path;
        }

        @Override
        public Map<String, String> settings() {
            return Map.of();
        }

        @Override
        public List<String> contents() throws IOException {
            try (Stream<Path> files = Files.walk(path)) {
                return files.filter(Files::isRegularFile).map(file -> path.relativize(file).toString()).toList();
            }
        }
    }

    /** A bucket of a server that speaks S3. */
    record Bucket(Server server, String name) implements Store {
        @Override
        public String kind() {
            return server.kind();
        }

        @Override
        public String uri() {
            return "s3://" + name;
        }

        @Override
        public Map<String, String> settings() {
            return Map.of(
                    "s3.endpoint", server.endpoint(),
                    "s3.access.key", server.accessKey(),
                    "s3.secret.key", server.secretKey());
        }

        @Override
        public List<String> contents() throws IOException {
            return Stream.concat(server.keys(name).stream(), uploads().stream()).toList();
        }

        /** The keys of the uploads that were begun and not ended. */
        List<String> uploads() throws IOException {
            return server.uploads(name);
        }
    }
}
