package io.seglift;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Path;

/**
 * Strings and paths on their way to the library: strict UTF-8 without NUL. JNI's own strings are modified UTF-8. What is
 * refused is not shown: it may be a secret.
 */
final class Text {
    private Text() {}

    /** @throws IllegalArgumentException for a NUL and for half a surrogate pair, which UTF-8 cannot say */
    static byte[] utf8(String text, String what) {
        if (text.indexOf('\0') >= 0) {
            throw new IllegalArgumentException("the " + what + " contains a NUL");
        }
        try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            byte[] exact = new byte[bytes.remaining()];
            bytes.get(exact);
            return exact;
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("the " + what + " contains half a surrogate pair", e);
        }
    }

    /** The name of a file, absolute, as the library opens it. */
    static String path(Path file) {
        if (file.getFileSystem() != FileSystems.getDefault()) {
            throw new IllegalArgumentException(file + " is no file of this machine's own file system, but of "
                    + file.getFileSystem().provider().getScheme() + ":");
        }
        return file.toAbsolutePath().toString();
    }
}
