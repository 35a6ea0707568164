//! `marmot-operator`: the operator, and small commands about its API.

use clap::Parser;
use marmot_operator::args::{Cli, Command};
use marmot_operator::{app, telemetry};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Operator(args) => {
            telemetry::init(args.log_format, telemetry::filter(&args.log_level)?)?;
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(*args))
        }
        Command::Crd => {
            print!("{}", crds::crd_yaml().map_err(anyhow::Error::msg)?);
            Ok(())
        }
    }
}
