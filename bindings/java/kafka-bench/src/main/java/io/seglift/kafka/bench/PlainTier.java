package io.seglift.kafka.bench;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The least that a JVM can do to move the same bytes to and from the same server: one kept connection, files read into
 * one direct buffer and sent from there, ranges received into another and copied to the caller's array. No checksum, no
 * signature, no retry. It shows what the machine can do, so that ratios to it mean the same everywhere. ({@code
 * sendfile} would be less for a file; who answers for its bytes has to look at them.)
 */
final class PlainTier implements Tier {
    private static final int BUFFER = 1 << 20;
    /** Of a file, at one time: what is read stays in the processor's cache until it is sent. */
    private static final int PIECE = 256 << 10;
    private static final String END_OF_HEAD = "\r\n\r\n";
    private static final Pattern LENGTH = Pattern.compile("(?i)\r\ncontent-length: *(\\d+)");

    private final Path file;
    private final String bucket;
    private final SocketChannel connection;
    /** What was received and not yet read, between its position and its limit. */
    private final ByteBuffer received = ByteBuffer.allocateDirect(BUFFER).limit(0);
    private final ByteBuffer piece = ByteBuffer.allocateDirect(PIECE);
    private int copies;

    /** @param bucket URL of a bucket in which anonymous requests may put, get and delete */
    PlainTier(Path file, URI bucket) throws IOException {
        this.file = file;
        this.bucket = bucket.getPath();
        connection = SocketChannel.open(new InetSocketAddress(bucket.getHost(), bucket.getPort()));
    }

    @Override
    public void copy(int number) throws IOException {
        try (FileChannel from = FileChannel.open(file)) {
            long size = from.size();
            request("PUT", number, "Content-Length: " + size + "\r\n");
            while (from.read(piece.clear()) > 0) {
                for (piece.flip(); piece.hasRemaining(); ) {
                    connection.write(piece);
                }
            }
        }
        skipBody(answer());
        copies = Math.max(copies, number + 1);
    }

    @Override
    public InputStream open(int number, int position, int expected) throws IOException {
        request("GET", number, "Range: bytes=" + position + "-" + (position + expected - 1) + "\r\n");
        return new Body(answer());
    }

    @Override
    public void clear() throws IOException {
        for (; copies > 0; copies--) {
            request("DELETE", copies - 1, "");
            skipBody(answer());
        }
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }

    private void request(String method, int number, String headers) throws IOException {
        String head = method + " " + bucket + "/plain-" + number + " HTTP/1.1\r\nHost: bench\r\n" + headers + "\r\n";
        ByteBuffer bytes = ByteBuffer.wrap(head.getBytes(StandardCharsets.US_ASCII));
        while (bytes.hasRemaining()) {
            connection.write(bytes);
        }
    }

    /** Reads the head of an answer; how many bytes its body has. */
    private long answer() throws IOException {
        StringBuilder head = new StringBuilder();
        while (head.length() < END_OF_HEAD.length()
                || head.indexOf(END_OF_HEAD, head.length() - END_OF_HEAD.length()) < 0) {
            fill();
            head.append((char) received.get());
        }
        if (!head.toString().startsWith("HTTP/1.1 2")) {
            throw new IOException("the store refuses a plain request: " + head);
        }
        Matcher length = LENGTH.matcher(head);
        return length.find() ? Long.parseLong(length.group(1)) : 0;
    }

    /** Receives something unless there is something already. */
    private void fill() throws IOException {
        if (!received.hasRemaining()) {
            received.clear();
            int count = connection.read(received);
            received.flip();
            if (count < 0) {
                throw new EOFException("the store closed the connection");
            }
        }
    }

    private void skipBody(long length) throws IOException {
        new Body(length).close();
    }

    /** The body of the answer that is under way. */
    private final class Body extends InputStream {
        private long rest;

        Body(long length) {
            rest = length;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : Byte.toUnsignedInt(one[0]);
        }

        @Override
        public int read(byte[] into, int at, int length) throws IOException {
            if (rest == 0) {
                return -1;
            }
            fill();
            int count = (int) Math.min(Math.min(length, received.remaining()), rest);
            received.get(into, at, count);
            rest -= count;
            return count;
        }

        /** Reads what is left, since the next answer follows on the same connection. */
        @Override
        public void close() throws IOException {
            skipNBytes(rest);
        }
    }
}
