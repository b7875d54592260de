//! `cargo xtask tidy` holds, so that `cargo test` says so too. (That the program is built here, with the
//! features of all crates together, saves the checks that follow from building most crates twice.)

use std::process::Command;

#[test]
fn what_the_compiler_cannot_check_holds() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("tidy").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
