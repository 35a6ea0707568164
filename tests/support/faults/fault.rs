//! What can happen to one call.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;

use super::call::Call;

/// Relative to the moment at which the API server carries a call out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It never hears of the call.
    Before,
    /// It has carried the call out, and its answer reaches nobody.
    After,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the process that sent it.
    Kill(Side),
    /// The connection is closed without an answer.
    Close(Side),
    /// The same with a RST, as where the other end is gone.
    Reset(Side),
    /// The API server refuses it with this status, and does nothing.
    Refuse(u16),
    /// It reaches the API server so much later, whether or not anybody still waits for the answer.
    Late(Duration),
    /// It goes through. Then every watch expires (410), and the lists that follow are older than the call before it.
    Outdate,
    /// `Kill(Side::After)`, and what the next process lists is older than the call before it.
    KillAndOutdate,
}

impl Fault {
    /// The API server may answer such a call so.
    pub fn befits(self, call: &Call) -> bool {
        match self {
            Self::Close(Side::After) | Self::Reset(Side::After) | Self::Refuse(409) => call.writes(),
            Self::Late(_) => call.verb == "create",
            _ => true,
        }
    }
}

/// The API server's refusal of a call, as it words it.
pub fn refusal(call: &Call, code: u16) -> Response<Bytes> {
    let reason = match code {
        409 if call.verb == "create" => "AlreadyExists",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(code).expect("a status"))
        .header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        response = response.header(header::RETRY_AFTER, "1");
    }
    response.body(Bytes::from(status(reason, code).to_string())).expect("a response")
}

/// The object that says so.
pub fn status(reason: &str, code: u16) -> serde_json::Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "code": code, "message": format!("injected: {reason}"),
    })
}
