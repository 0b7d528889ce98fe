//! `cargo run -p durabletask-gen-proto`: writes what `durabletask-proto` is made of.

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = durabletask_gen_proto::generated_dir();
    fs::create_dir_all(&dir)?;
    for (name, text) in durabletask_gen_proto::generate()? {
        fs::write(dir.join(name), text)?;
        println!("wrote rust/proto/src/generated/{name}");
    }
    Ok(())
}
