//! Why a container could not be started, in words and with what to do: kubelet and runtime say it in theirs (R36, R41). Pure.

/// Reasons of a container that has ended without ever running: containerd and CRI-O say the first, Docker the second.
const REASONS: [&str; 2] = ["StartError", "ContainerCannotRun"];
/// Before it runtimes only say who asked whom.
const CAUSE: [&str; 2] = ["error during container init: ", "unable to start container process: "];

/// Whether a container that ended for that reason never ran.
#[must_use]
pub fn is_start_error(reason: &str) -> bool {
    REASONS.contains(&reason)
}

/// The message of kubelet or runtime about a container of that image, for people.
#[must_use]
pub fn explain(image: &str, message: &str) -> String {
    if message.contains("runAsNonRoot") {
        return format!(
            "{message}: set podSecurityContext.runAsUser of the Run (or of the operator's job defaults) to the number of \
             the user of {image}"
        );
    }
    let cause = CAUSE.iter().find_map(|before| message.split_once(before)).map_or(message, |(_, cause)| cause);
    let is_missing = cause.contains("not found") || cause.contains("no such file");
    match program(cause).filter(|_| is_missing) {
        Some("sh") => format!(
            "the image {image} has no shell (sh), which a teardown without the runner needs: switch the runner on \
             (operator.runner.enabled, --runner-image), or use an image with a shell"
        ),
        Some(program) => format!(
            "the image {image} has no program {program}: is it an image of Marmot (spec.image, operator.ingest.image)?"
        ),
        None => format!("the image {image} cannot be started: {}", cause.trim_end_matches(": unknown")),
    }
}

/// The program that was to be started, as runc (`exec: "sh": …`) and crun (``executable file `sh` …``) quote it.
fn program(cause: &str) -> Option<&str> {
    let quoted = |before: &str, end: char| Some(cause.split_once(before)?.1.split_once(end)?.0);
    quoted("exec: \"", '"').or_else(|| quoted("executable file `", '`'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const RUNC: &str = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc \
                        create failed: unable to start container process: ";

    // R36, R41
    #[rstest]
    #[case("exec: \"sh\": executable file not found in $PATH: unknown", "has no shell (sh), which a teardown")]
    #[case("error during container init: exec: \"sh\": executable file not found in $PATH", "has no shell (sh)")]
    #[case(
        "exec: \"marmot\": executable file not found in $PATH: unknown",
        "has no program marmot: is it an image of Marmot"
    )]
    #[case("exec: \"/marmot\": stat /marmot: no such file or directory: unknown", "has no program /marmot")]
    #[case(
        "exec: \"/bin/marmot\": permission denied: unknown",
        "cannot be started: exec: \"/bin/marmot\": permission denied"
    )]
    #[case(
        "error mounting \"x\": not a directory: unknown",
        "cannot be started: error mounting \"x\": not a directory"
    )]
    fn runc_is_understood(#[case] cause: &str, #[case] words: &str) {
        let said = explain("example.org/marmot:1", &format!("{RUNC}{cause}"));
        assert!(said.starts_with("the image example.org/marmot:1 ") && said.contains(words), "{said}");
        assert!(!said.contains("shim task") && !said.ends_with("unknown"), "{said}");
    }

    #[test]
    fn crun_and_the_kubelet_are_too() {
        let crun = "container create failed: executable file `sh` not found in $PATH: No such file or directory";
        assert!(explain("i", crun).contains("has no shell"));
        let kubelet =
            "container has runAsNonRoot and image has non-numeric user (marmot), cannot verify user is non-root";
        let said = explain("i", kubelet);
        assert!(said.starts_with(kubelet) && said.contains("set podSecurityContext.runAsUser"), "{said}");
        assert_eq!(explain("i", "no command specified"), "the image i cannot be started: no command specified");
    }
}
