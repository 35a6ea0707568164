# `make test` passes the tests; `make demo` shows the operator at work.
SHELL := /bin/bash
CARGO_BUILD_JOBS ?= 2
export CARGO_BUILD_JOBS

.PHONY: demo test bench bench-failover bench-memory bench-soak crashes e2e model chaos check image cluster-binaries

cluster-binaries:
	tests/cluster/build.sh

# DEMO_KUBECONFIG=FILE uses that cluster; DEMO_SECONDS=N ends by itself.
demo: cluster-binaries
	cargo build --locked
	"$$(tests/cluster/build.sh --where)/demo" $(if $(DEMO_KUBECONFIG),--kubeconfig "$(DEMO_KUBECONFIG)") \
	  $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

# The operator's image, without a Docker engine.
image:
	.ci/image

test: export MARMOT_AUDIT_LOGS := $(CURDIR)/target/audit
test: cluster-binaries
	tests/marmot/build.sh
	rm -rf target/audit && mkdir -p target/audit
	# A cluster of one's own writes no audit logs.
	env -u MARMOT_TEST_KUBECONFIG RUST_TEST_THREADS=6 cargo test --workspace --locked --no-fail-fast
	cargo test --workspace --locked --test rights -- --ignored

# BENCH_N=1,100,1000,10000 chooses how many objects are due on one minute; see docs/performance.md.
bench: cluster-binaries
	cargo bench --locked --bench ticks

# A leader that goes, memory with 10,000 Runs, an hour of 2,000 Runs every minute: see docs/performance.md too.
bench-failover bench-memory bench-soak: bench-%: cluster-binaries
	cargo bench --locked --bench $*

# The start protocol in every order of events, within wider bounds than `make test`: minutes, and several GiB.
model:
	cargo test --release --locked -p scheduler --test model -- --ignored --nocapture --test-threads 1

# Whole processes with the chart's rights; a fault every CHAOS_EVERY seconds for CHAOS_SECONDS; then the audit. SEED repeats.
chaos: cluster-binaries
	CHAOS_SECONDS=$(or $(CHAOS_SECONDS),600) CHAOS_EVERY=$(or $(CHAOS_EVERY),20) SEED=$(SEED) \
	  cargo test --workspace --locked --test chaos -- --ignored --nocapture

# Every fault at every call of every scenario, and how many those are. Takes long.
crashes: cluster-binaries
	RUST_TEST_THREADS=3 cargo test --workspace --locked --test crashes -- --include-ignored --show-output

# Real pods on the cluster of KUBECONFIG; see tests/e2e/run.sh for the two images it needs.
e2e:
	tests/e2e/run.sh

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	test "$$(cargo tree --locked -i k8s-openapi --depth 0 | wc -l)" = 1
	cargo run -q --locked -p crds --bin crdgen | diff crds/runs.yaml -
	diff crds/runs.yaml charts/marmot-operator/files/runs.yaml
	! command -v cargo-deny >/dev/null || cargo deny --locked check --hide-inclusion-graph bans licenses sources
