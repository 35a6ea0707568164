//! Errors of API calls in words for people.

use std::error::Error;

/// What the API server said, or what went wrong on the way there. The client's own text of an answer repeats it with all
/// that came along.
#[must_use]
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        _ => chain(error),
    }
}

/// An error with its causes: what went wrong on the network stands at their end only.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Many errors repeat their cause.
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_answer_is_told_as_it_came() {
        let answer = |message| kube::Error::Api(Status::failure(message, "Forbidden").with_code(403).boxed());
        assert_eq!(words(&answer("exceeded quota: jobs")), "exceeded quota: jobs");
        assert!(words(&answer("")).contains("Forbidden"));
    }
}
