//! The store in memory keeps what every store promises.

use seglift::store::{OpenOptions, conformance::*, open};

fn place() -> Place {
    Place { store: open("memory:", &OpenOptions::default()).unwrap(), rubbish: Box::new(Vec::new) }
}

seglift::store_conformance!(place);

#[test]
fn a_shared_place_outlives_its_stores_and_a_private_one_does_not() {
    let open = |uri| open(uri, &OpenOptions::default()).unwrap();
    block_on(async {
        put(&open("memory://outlives"), "k", "x").await;
        assert_eq!(keys(&open("memory://outlives"), "", 9).await, ["k"]);
        assert_eq!(keys(&open("memory://other"), "", 9).await, [""; 0]);
        put(&open("memory:"), "k", "x").await;
        assert_eq!(keys(&open("memory:"), "", 9).await, [""; 0]);
    });
}
