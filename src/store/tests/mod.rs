//! The rules of the ledger as sentences, run against both stores; random operations that compare them; vectors.

/// Runs the body on a fresh ledger of either store.
macro_rules! rule {
    ($name:ident, |$w:ident| $body:block) => {
        #[test]
        fn $name() {
            run(async {
                {
                    #[allow(unused_mut, reason = "not every rule lets time pass")]
                    let mut $w = World::model().await;
                    $body
                }
                {
                    #[allow(unused_mut, reason = "not every rule lets time pass")]
                    let mut $w = World::on_redis().await;
                    $body
                }
            })
        }
    };
}

mod asked;
mod batches;
mod change_rules;
mod durability;
mod lanes;
mod operations;
mod outages;
mod property;
mod rules;
mod server;
mod texts;
mod vector_cases;
mod vectors;
mod world;
