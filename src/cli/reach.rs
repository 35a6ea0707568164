//! `marmot-operator reach`: whether addresses answer from where this runs. The pod of `helm test` asks so, whose image may
//! have no program for it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{Request, StatusCode, Uri};
use kube::client::Body;

use crate::api_error::words;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Flags of `reach`.
#[derive(Args, Clone, Debug)]
pub struct ReachArgs {
    /// Addresses to ask; certificates are not checked, which is Marmot's own affair
    #[arg(required = true, value_name = "URL")]
    urls: Vec<Uri>,
}

/// Asks each address once and says what came; success if all answered well.
pub async fn main(args: &ReachArgs) -> ExitCode {
    let mut well = true;
    for url in &args.urls {
        let answer = tokio::time::timeout(TIMEOUT, ask(url)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("nothing came within {} s", TIMEOUT.as_secs())));
        well &= matches!(answer, Ok(status) if status.is_success());
        match answer {
            Ok(status) => println!("{url} answers {status}"),
            Err(error) => println!("{url} cannot be reached: {error}"),
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn ask(url: &Uri) -> Result<StatusCode, String> {
    // The client puts the server's part before the request's.
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
    let mut server = url.clone().into_parts();
    server.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let server = Uri::from_parts(server).map_err(|error| format!("{error}: write http://HOST:PORT/PATH"))?;
    let mut config = kube::Config::new(server);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    // Nothing is checked against it, and an ingestion image may have none.
    config.root_cert = Some(Vec::new());
    let client = kube::Client::try_from(config).map_err(|error| words(&error))?;
    let response = client.send(request).await.map_err(|error| words(&error))?;
    Ok(response.status())
}
