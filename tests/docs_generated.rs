//! The documents that come from tables say what the tables say.

use std::{fs, path::Path};

fn is_fresh(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("SEGLIFT_BLESS").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/{name} is stale; write it anew: SEGLIFT_BLESS=1 cargo test --release --test docs_generated"
    );
}

#[test]
fn configuration_md_is_what_the_property_table_says() {
    is_fresh("configuration.md", &seglift::config::document());
}

#[test]
fn metrics_md_is_what_the_metrics_table_says() {
    is_fresh("metrics.md", &seglift::metrics::document());
}
