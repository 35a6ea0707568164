//! `marmot-operator`: the operator, the runner in its pods, and small commands about its API.

use std::process::ExitCode;

use clap::Parser;
use marmot_operator::args::{Cli, Command};
use marmot_operator::{app, cli, runner, telemetry};
use tikv_jemallocator::Jemalloc;

/// Lists and answers of ten thousand objects come and go: this one gives the memory back, and takes less time. Its options
/// stand in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Operator(args) => {
            telemetry::init(args.log_format, telemetry::filter(&args.log_level)?)?;
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(*args))?;
        }
        Command::Crd => print!("{}", crds::crd_yaml().map_err(anyhow::Error::msg)?),
        Command::Explain(args) => return Ok(one_thread()?.block_on(cli::explain::main(&args))),
        Command::Next(args) => return Ok(cli::next::main(&args)),
        Command::Reach(args) => return Ok(one_thread()?.block_on(cli::reach::main(&args))),
        Command::Validate(args) => return Ok(cli::validate::main(&args)),
        Command::Runner(command) => return Ok(runner::main(&command)),
    }
    Ok(ExitCode::SUCCESS)
}

fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
