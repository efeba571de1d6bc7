//! Test vectors of others whose messages are no tokens: the verdicts in WebAssembly are the native ones. (That the native ones
//! are right is tested in `core/tests/vectors`.)

use anyhow::Result;
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::signed::{Vector, all};
use tollgate_tests::vector_runners::{WorkerdRunner, run_in_wasmtime};

/// Vectors sent at once.
const BATCH: usize = 250;

/// Native verdicts against those of one place, told together.
fn compare(place: &str, vectors: &[Vector], verdicts: &str) {
    assert_eq!(verdicts.len(), vectors.len(), "{place} judged each vector");
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for (vector, verdict) in vectors.iter().zip(verdicts.chars()) {
        let expected = if vector.is_accepted() { 'a' } else { 'r' };
        accepted += u32::from(verdict == 'a');
        if verdict != expected {
            wrong.push(format!("{} {}: {verdict} in {place}, natively {expected}", vector.set, vector.name));
        }
    }
    println!("{place}: {} vectors, {accepted} accepted, {} unlike the native verdict", vectors.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(vectors.len() > 1500 && accepted > 400, "vectors are missing");
}

fn lines(vectors: &[Vector]) -> String {
    vectors.iter().map(|vector| vector.line() + "\n").collect()
}

#[test]
fn are_judged_in_wasmtime_as_natively() -> Result<()> {
    let vectors = all();
    compare("wasmtime", &vectors, &run_in_wasmtime(&lines(&vectors))?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn are_judged_in_workerd_as_natively() -> Result<()> {
    install_tls_provider();
    let vectors = all();
    let workerd = WorkerdRunner::start().await?;
    let mut verdicts = String::new();
    for batch in vectors.chunks(BATCH) {
        verdicts += &workerd.run(&lines(batch)).await?;
    }
    compare("workerd", &vectors, &verdicts);
    Ok(())
}
