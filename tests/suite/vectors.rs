//! Test vectors whose messages are not tokens: the results in WebAssembly equal the native ones.
//! (`core/tests/vectors` checks the native ones.)

use anyhow::Result;
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::signed::{Vector, all};
use tollgate_tests::vector_runners::{WorkerdRunner, run_in_wasmtime};

/// Vectors in one request.
const BATCH_SIZE: usize = 250;

/// Compares the results of one host with the native ones, and reports all differences.
fn compare(host: &str, vectors: &[Vector], results: &str) {
    assert_eq!(results.len(), vectors.len(), "{host} returned a result for each vector");
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for (vector, result) in vectors.iter().zip(results.chars()) {
        let expected = if vector.is_accepted() { 'a' } else { 'r' };
        accepted += u32::from(result == 'a');
        if result != expected {
            wrong.push(format!("{} {}: {result} in {host}, natively {expected}", vector.set, vector.name));
        }
    }
    println!("{host}: {} vectors, {accepted} accepted, {} unlike the native result", vectors.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(vectors.len() > 1500 && accepted > 400, "vectors are missing");
}

fn lines(vectors: &[Vector]) -> String {
    vectors.iter().map(|vector| vector.line() + "\n").collect()
}

#[test]
fn results_in_wasmtime_equal_native_results() -> Result<()> {
    let vectors = all();
    compare("wasmtime", &vectors, &run_in_wasmtime(&lines(&vectors))?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn results_in_workerd_equal_native_results() -> Result<()> {
    install_tls_provider();
    let vectors = all();
    let workerd = WorkerdRunner::start().await?;
    let mut results = String::new();
    for batch in vectors.chunks(BATCH_SIZE) {
        results += &workerd.run(&lines(batch)).await?;
    }
    compare("workerd", &vectors, &results);
    Ok(())
}
