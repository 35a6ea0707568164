//! Command line of the runner. It is the operator that writes it, into the pods it makes.

#![allow(clippy::doc_markdown, reason = "these docs are the text of --help, where backticks are noise")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// What the runner is to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Copy this program into a directory, for the container that runs marmot
    Install {
        /// Directory, an emptyDir shared with that container
        directory: PathBuf,
    },
    /// Write a pipeline with the environment filled in; `ingest` calls this, so that what it takes of memory goes with it
    #[command(hide = true)]
    Expand {
        /// The pipeline
        config: PathBuf,
        /// File to be written, in memory
        target: PathBuf,
    },
    /// Run marmot ingest and tell how it really ended
    Ingest {
        /// The pipeline; ${NAME} in its strings is taken from the environment
        #[arg(long, default_value = "/config/pipeline.yaml", value_name = "FILE")]
        config: PathBuf,

        /// Flags of both
        #[command(flatten)]
        common: Common,
    },
    /// Run marmot ingest --destroy, answer its question, and tell how it really ended
    Destroy {
        /// Name of the pipeline
        #[arg(long, value_name = "NAME")]
        pipeline: String,

        /// Flags of both
        #[command(flatten)]
        common: Common,
    },
}

/// Flags of both.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Address of Marmot, handed on to marmot
    #[arg(long, env = "MARMOT_HOST", value_name = "URL")]
    pub host: Option<String>,

    /// Directory in memory for what marmot is to read once secrets are in it
    #[arg(long, default_value = "/marmot-work", value_name = "DIRECTORY")]
    pub work_dir: PathBuf,

    /// Where the outcome goes, as one line of JSON
    #[arg(long, default_value = "/dev/termination-log", value_name = "FILE")]
    pub termination_log: PathBuf,

    /// After SIGTERM or SIGINT, how long marmot may take to end before it is killed
    #[arg(long, default_value = "25s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub grace_period: Duration,

    /// How long to try again while Marmot answers 503 or refuses connections before anything has started; 0s: never
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub retry_for: Duration,

    /// Environment variable whose value must not appear in the outcome; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub secret_env: Vec<String>,

    /// The same for all variables that begin so; may be given more than once
    #[arg(long, value_name = "PREFIX")]
    pub secret_env_from: Vec<String>,

    /// The program to run
    #[arg(long, default_value = "marmot", value_name = "PROGRAM")]
    pub marmot: PathBuf,
}
