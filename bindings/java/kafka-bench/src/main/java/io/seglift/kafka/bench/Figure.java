package io.seglift.kafka.bench;

/** What is measured in CPU seconds per GiB. Targets and peers are for plain HTTP and segments of 128 MiB. */
enum Figure {
    COPY("copy", 0.52, "2.6", "3.9"),
    FETCH("full fetch", 0.55, "0.53", "1.34"),
    WALK("open, read 1 MiB, close, on and on", 0.60, "2.7", "");

    /** What the table calls it. */
    final String title;
    /** What it may be at most without a codec. */
    final double target;
    /** What was published of the peer without a codec, and with zstd; empty where nothing was. */
    final String peer;
    final String peerZstd;

    Figure(String title, double target, String peer, String peerZstd) {
        this.title = title;
        this.target = target;
        this.peer = peer;
        this.peerZstd = peerZstd;
    }
}
