package io.seglift;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The named blobs of a segment that is about to be written, each a file or bytes. */
final class Attachments {
    private static final byte[] NONE = new byte[0];

    private final Map<String, Object> byName = new LinkedHashMap<>();

    void add(String name, Path file) {
        put(name, file);
    }

    void add(String name, byte[] bytes) {
        put(name, bytes.clone());
    }

    void add(String name, ByteBuffer bytes) {
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        put(name, copy);
    }

    private void put(String name, Object content) {
        if (byName.putIfAbsent(name, content) != null) {
            throw new IllegalArgumentException("two attachments with the name " + name);
        }
    }

    void pack(Packer out) {
        out.number(byName.size());
        byName.forEach((name, content) -> out
                .text(name, "name of an attachment")
                .text(content instanceof Path file ? Text.path(file) : "", "path of an attachment")
                .blob(content instanceof byte[] bytes ? bytes : NONE));
    }
}
