/**
 * Tiered storage for message brokers, from Java.
 *
 * <p>A broker hands over a sealed segment of its log; seglift puts it into an object store as one object, and reads any
 * range of it back.
 *
 * <pre>{@code
 * try (Seglift tier = Seglift.open("s3://bucket/tier", Map.of("owner", "cluster-1"))) {
 *     Receipt receipt = tier.offload(Segment.of("orders/0/0000-6f0c2b9e", log).build(), Call.DEFAULT);
 *     SegmentRef ref = new SegmentRef("orders/0/0000-6f0c2b9e", receipt.token());
 *     ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20);
 *     int n = tier.read(ref, 0, buffer, Call.DEFAULT);
 * }
 * }</pre>
 *
 * <p>{@link io.seglift.Engine} has the threads, the memory and the caches; {@link io.seglift.Seglift} is its connection
 * to one store, and has all operations. The work is done by libseglift, which is loaded when the first engine is
 * opened.
 *
 * <p>How it crosses: {@code Native} has the functions, all of which take numbers, packed arrays and direct buffers.
 * Operations end in one queue, which {@code Completions} polls on the engine's one thread; it ends the futures. A
 * {@code Handle} keeps a pointer from being used after it was freed. So whatever is called whenever, from whatever
 * thread: it works, or it is an exception.
 */
package io.seglift;
