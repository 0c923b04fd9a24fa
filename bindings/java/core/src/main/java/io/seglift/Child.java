package io.seglift;

/** What is opened on a driver and must not outlive it, because it keeps the library's engine from being freed. */
interface Child extends AutoCloseable {
    @Override
    void close();
}
