//! The `durabletask-sidecar` program; all of it is in [`durabletask_sidecar::command`].

fn main() {
    std::process::exit(durabletask_sidecar::command::run(std::env::args_os()));
}
