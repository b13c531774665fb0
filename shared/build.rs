//! A new migration is a new build: the macro that embeds them does not see files come.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
