//! Lines in, verdicts out.

use std::io::{self, Read as _, Write as _};

fn main() -> io::Result<()> {
    let mut lines = String::new();
    io::stdin().read_to_string(&mut lines)?;
    io::stdout().write_all(tollgate_judge::judge(&lines).as_bytes())
}
