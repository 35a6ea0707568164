//! Why a call did not succeed.

use scheduler::observation::RefusalCause;

use crate::api_error::words;
use crate::metrics::Verb;

/// Why an effect was not carried out. Whatever it is: the next look decides anew.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// This replica does not lead any more.
    #[error("this replica does not lead any more")]
    NotLeading,
    /// The Run has changed since it was observed; usually not a problem.
    #[error("the Run has changed since it was looked at")]
    Conflict,
    /// The object is gone.
    #[error("{object} is gone")]
    Gone {
        /// The object.
        object: String,
    },
    /// The deletion of a Job met a conflict, and the Job is still there.
    #[error("the deletion of Job {job} is refused")]
    Kept {
        /// The Job.
        job: String,
    },
    /// Too late to send the create under this claim (R33).
    #[error("the window of the claim for Job {job} has closed")]
    WindowClosed {
        /// The Job.
        job: String,
    },
    /// The API server did not answer in time.
    #[error("{operation:?} {object}: no answer in time")]
    Timeout {
        /// What was tried.
        operation: Verb,
        /// On what.
        object: String,
    },
    /// The API server, or the way there, said no.
    #[error("{operation:?} {object}: {}", words(source))]
    Api {
        /// What was tried.
        operation: Verb,
        /// On what.
        object: String,
        /// What came back.
        source: Box<kube::Error>,
    },
}

impl ExecuteError {
    /// What keeps the API server from doing it, where that is not trouble of its own, and everybody's: mostly admission.
    pub(super) fn trouble(&self) -> Option<(RefusalCause, String)> {
        match self {
            Self::Timeout { .. } => {
                Some((RefusalCause::Unanswered, "no answer in time; an admission webhook may hold it up".to_owned()))
            }
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if matches!(status.code, 429 | 503 | 504) => None,
                kube::Error::Api(_) => Some((RefusalCause::Rejected, words(source))),
                _ => None,
            },
            _ => None,
        }
    }

    /// Keeps the Run from going on, and stands in no condition of it: creates do (R39).
    pub(super) fn is_told_by_event(&self) -> bool {
        match self {
            Self::Timeout { operation, .. } | Self::Api { operation, .. } => {
                *operation != Verb::Create && self.trouble().is_some()
            }
            Self::Kept { .. } => true,
            _ => false,
        }
    }
}

/// The API server understood the request and said no: nothing was made.
pub(super) fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && !matches!(status.code, 401 | 408 | 429))
}
