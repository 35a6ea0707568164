//! Which environment variables hold secrets (R37).

use super::args::Common;

/// Variables that always do.
const SECRET: [&str; 1] = ["MARMOT_API_KEY"];
/// Variables of images, shells and the kubelet: never secret, and hiding their values makes messages unreadable.
const PUBLIC: [&str; 12] =
    ["HOME", "HOSTNAME", "LANG", "MARMOT_HOST", "PATH", "PWD", "SHELL", "SHLVL", "TERM", "TMPDIR", "TZ", "USER"];
/// With `envFrom` every variable may be from the Secret; shorter values of that kind (`1`, `on`) hide more than they
/// protect.
const MIN_GUESSED: usize = 4;

/// Values of the variables that hold secrets by the flags.
pub(super) fn values(common: &Common, environment: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let is_named = |name: &str| SECRET.contains(&name) || common.secret_env.iter().any(|secret| secret == name);
    let is_guessed = |name: &str, value: &str| {
        common.secret_env_from.iter().any(|prefix| name.starts_with(prefix.as_str()))
            && value.len() >= MIN_GUESSED
            && !["true", "false"].contains(&value)
            && !is_public(name)
    };
    environment.filter(|(name, value)| is_named(name) || is_guessed(name, value)).map(|(_, value)| value).collect()
}

fn is_public(name: &str) -> bool {
    // The kubelet tells every pod where the Services of its namespace are.
    let service = name.starts_with("KUBERNETES_")
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_");
    PUBLIC.contains(&name) || service
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn secrets(flags: &[&str]) -> Vec<String> {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            common: Common,
        }
        let common = Flags::parse_from(["runner"].iter().chain(flags)).common;
        let environment = [
            ("PATH", "/usr/bin"),
            ("MARMOT_API_KEY", "key-1"),
            ("PGPASSWORD", "pw"),
            ("DB_PASSWORD", "secret"),
            ("DB_DEBUG", "on"),
            ("DB_TLS", "true"),
            ("MARMOT_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ];
        values(&common, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    // R37
    #[test]
    fn named_ones_are_and_of_a_secret_taken_as_a_whole_what_may_be() {
        assert_eq!(secrets(&[]), ["key-1"]);
        assert_eq!(secrets(&["--secret-env=PGPASSWORD"]), ["key-1", "pw"]);
        assert_eq!(secrets(&["--secret-env-from=DB_"]), ["key-1", "secret"]);
        assert_eq!(secrets(&["--secret-env-from="]), ["key-1", "secret"]);
    }
}
