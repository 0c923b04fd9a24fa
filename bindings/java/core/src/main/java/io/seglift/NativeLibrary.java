package io.seglift;

/** Loads the shim and the library from the paths in the system properties seglift.jni and seglift.library. */
final class NativeLibrary {
    private static boolean loaded;

    private NativeLibrary() {}

    static synchronized void load() throws SegliftException {
        if (!loaded) {
            System.load(System.getProperty("seglift.jni"));
            Native.attach(System.getProperty("seglift.library"));
            loaded = true;
        }
    }
}
