package io.seglift;

/** Loads the shim and the library from the paths in the system properties seglift.jni and seglift.library. */
final class NativeLibrary {
    private NativeLibrary() {}

    static void load() {
        System.load(System.getProperty("seglift.jni"));
        Native.attach(System.getProperty("seglift.library"));
    }
}
