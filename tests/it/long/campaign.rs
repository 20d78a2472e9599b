//! Many seeds, with every kind of fault.

use crate::campaign::campaign;

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_of_many_seeds_keep_every_promise() {
    let (output, report) = campaign(&["--seed", "1000", "--runs", "20"]).await;
    println!("{}", output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(20));
}
