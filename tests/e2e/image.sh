#!/usr/bin/env bash
# Makes the ingestion image of `make e2e`: the real `marmot` with its plugin `shelf` (tests/marmot), and the stand-in for
# Marmot's server. Without a Docker engine, as .ci/image does; needs buildah, and root or a user namespace.
#
#   tests/e2e/image.sh [OCI_ARCHIVE]    default: target/marmot-e2e.tar, with the name localhost/marmot-e2e:0.10.0
#   tests/e2e/image.sh --context        only fills the folder that becomes the image's root, and prints it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
context=$PWD/target/e2e-image
bin=$(tests/marmot/build.sh | tail -n 1)
rm -rf "$context"
mkdir -p "$context/bin" "$context/plugins" "$context/etc"
# As Marmot's own image: a user by name, of whom Kubernetes cannot tell that it is not root. No shell, as the distroless one.
echo "marmot:x:10001:10001::/home/marmot:/sbin/nologin" >"$context/etc/passwd"
cp "$bin/marmot" "$context/bin/marmot"
cp "$bin/plugins/marmot-plugin-shelf" "$context/plugins/"
CGO_ENABLED=0 go -C tests/e2e/standin build -trimpath -buildvcs=false -ldflags "-s -w" -o "$context/bin/marmot-standin" .
[[ ${1:-} != --context ]] || { echo "$context"; exit; }

archive=${1:-target/marmot-e2e.tar} name=localhost/marmot-e2e:0.10.0
cat >"$context/Dockerfile" <<'FILE'
FROM scratch
COPY etc /etc
COPY bin /bin
COPY plugins /plugins
ENV PATH=/bin MARMOT_PLUGINS_DIR=/plugins MARMOT_PLUGINS_AUTOINSTALL=false
USER marmot
ENTRYPOINT ["/bin/marmot"]
FILE
buildah() { command buildah --root "$PWD/target/containers" --runroot "$PWD/target/containers-run" --storage-driver vfs "$@"; }
buildah build --isolation chroot --tag "$name" "$context"
rm -f "$archive"
buildah push --quiet "$name" "oci-archive:$archive:$name"
echo "$archive"
