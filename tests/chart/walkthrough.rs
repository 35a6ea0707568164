//! The commands of docs/install.md work, in their order, on a cluster that has nothing yet.

use std::path::Path;
use std::process::Command;

use crate::helm;
use crate::support::cluster::{Cluster, programs};

/// Sections whose commands need nothing but the chart and the cluster.
const SECTIONS: [&str; 4] = ["First time", "Highly available", "Upgrade", "Uninstall"];

/// The shell blocks of a section. One that has to be filled in first is left out.
fn commands(text: &str, section: &str) -> Vec<String> {
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.filter(|block| !block.contains(" NAME ")).map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_install_guide_work_in_their_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("docs/install.md")).expect("docs/install.md is there");
    let cluster = Cluster::start(&[]).unwrap_or_else(|message| panic!("{message}"));
    let path = format!("{}:{}", programs().unwrap().display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for command in SECTIONS.iter().flat_map(|section| commands(&guide, section)) {
        let output = Command::new("bash")
            .args(["-euc", &command])
            .current_dir(root)
            .env("PATH", &path)
            .env("KUBECONFIG", &cluster.kubeconfig)
            .env("KUBECACHEDIR", cluster.kubeconfig.with_file_name("kubectl-cache"))
            .env("MARMOT_API_KEY", "a key")
            .output()
            .expect("bash can be started");
        let (out, error) = (helm::text(&output.stdout), helm::text(&output.stderr));
        assert!(output.status.success(), "docs/install.md:\n{command}\n{out}\n{error}");
        run += 1;
    }
    assert_eq!(run, 4, "one block of commands in each of {SECTIONS:?}");
}
