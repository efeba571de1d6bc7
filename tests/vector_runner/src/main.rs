//! Reads vectors from standard input and writes the result letters to standard output.

use std::io::{self, Read as _, Write as _};

fn main() -> io::Result<()> {
    let mut vectors = String::new();
    io::stdin().read_to_string(&mut vectors)?;
    io::stdout().write_all(tollgate_vector_runner::run_vectors(&vectors).as_bytes())
}
