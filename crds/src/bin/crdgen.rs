//! Prints `crds/runs.yaml`: `cargo run -p crds --bin crdgen > crds/runs.yaml`.

fn main() -> Result<(), String> {
    print!("{}", crds::crd_yaml()?);
    Ok(())
}
