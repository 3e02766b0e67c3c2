//! The service that the examples deploy, on its own: `POD_IP=127.0.0.1 VERSION=1 web`.

fn main() -> anyhow::Result<std::process::ExitCode> {
    zdd_examples::web::main()
}
