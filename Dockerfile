# The operator, which is also the runner of ingestion pods: one static program and nothing else.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t marmot-operator .

ARG RUST_VERSION=1.95

FROM docker.io/library/rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
# Static, because the runner is copied into images whose C library is another one, or none. With an explicit target the
# flag does not reach build scripts and macros, which must stay dynamic. Paths are cut, so that the same source gives the
# same program. The kept target folder may be newer than the sources, of another checkout. Some ARM kernels have pages of 64 KiB, whatever those of this machine have: the allocator has to know.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    find . -path ./target -prune -o -type f -exec touch {} + \
 && target="$(rustc -vV | sed -n 's/^host: //p')" \
 && case "$target" in aarch64-*) export JEMALLOC_SYS_WITH_LG_PAGE=16 ;; esac \
 && RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo" \
    cargo build --release --locked --bin marmot-operator --target "$target" \
 && install -D -m 0755 "target/$target/release/marmot-operator" /out/marmot-operator \
 && /out/marmot-operator --version

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="marmot-operator" \
      org.opencontainers.image.description="Runs Marmot ingestion pipelines on schedules it keeps itself" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/marmot-operator /marmot-operator
USER 65532:65532
EXPOSE 8090 8091
ENTRYPOINT ["/marmot-operator"]
CMD ["operator"]
