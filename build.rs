//! What the linker must know of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let link = |argument: &str| println!("cargo:rustc-cdylib-link-arg={argument}");
    match os.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            // A cdylib has no name of its own; with one, a program that links to it takes any 1.x.
            link("-Wl,-soname,libseglift.so.1");
            // Threads of ours run library code, and their thread-locals have destructors in it: after an unload
            // they would run nowhere.
            link("-Wl,-z,nodelete");
            // Only seglift_*: symbols of C libraries that are linked in (zstd, crc-fast's own C ABI) would otherwise
            // get in the way of the host's copies of them.
            link("-Wl,--exclude-libs,ALL");
        }
        "macos" | "ios" => link("-Wl,-install_name,@rpath/libseglift.1.dylib"),
        _ => {}
    }
}
