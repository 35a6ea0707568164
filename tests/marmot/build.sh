#!/usr/bin/env bash
# Builds the real `marmot ingest` and a plugin for tests, once, and prints the folder that holds them as the last line.
#
#   build.sh            build what is missing (half a minute, once)
#   build.sh --where    fail if something is missing
#
# MARMOT_CLUSTER_CACHE   where to keep the binaries, so that several clones may share them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The folder's name stands for all that decides what is in it, so a stale binary is never found.
key=marmot-$(cat go.mod go.sum build.sh plugin/*.go | sha256sum | cut -c1-16)
cache=${MARMOT_CLUSTER_CACHE:-$(cd ../.. && pwd)/.cache/cluster}
bin=$cache/$key/bin
mkdir -p "$bin"
exec 9>"$cache/$key/lock"
flock 9

# The commands beside `ingest` need Marmot's server or its client library, which is not published as a module of its
# own. They are left out of the copy that is built; every file that stays is as released.
kept="config.go context.go credentials.go ingest.go root.go version.go"
copy_of_marmot() {
  local source copy=$cache/$key/marmot
  source=$(go list -m -f '{{.Dir}}' github.com/marmotdata/marmot)
  rm -rf "$copy"
  cp -r "$source" "$copy"
  chmod -R u+w "$copy"
  for file in "$copy"/internal/cmd/*.go; do
    [[ " $kept " == *" ${file##*/} "* ]] || rm "$file"
  done
  cp go.mod "$cache/$key/go.mod"
  cp go.sum "$cache/$key/go.sum"
  go mod edit -replace "github.com/marmotdata/marmot=$copy" "$cache/$key/go.mod"
  go mod edit -replace "github.com/marmotdata/marmot/sdk/go=$PWD/sdk" "$cache/$key/go.mod"
}

# build NAME PACKAGE [FLAG…]: go build, into its place only when complete.
build() {
  local name=$1 package=$2 started=$SECONDS
  shift 2
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" "$@" -o "$bin/$name.new" "$package"
  mv "$bin/$name.new" "$bin/$name"
  echo "$name: built in $((SECONDS - started)) s"
}

mode=${1:-}
if [[ ! -x $bin/marmot || ! -x $bin/plugins/marmot-plugin-shelf ]]; then
  if [[ $mode == --where ]]; then
    echo "marmot is not built yet; run \`tests/marmot/build.sh\` (takes half a minute, once)" >&2
    exit 3
  fi
  go mod download
  copy_of_marmot
  mkdir -p "$bin/plugins"
  build marmot github.com/marmotdata/marmot/cmd -modfile "$cache/$key/go.mod"
  build plugins/marmot-plugin-shelf ./plugin
  rm -rf "$cache/$key/marmot"
fi
echo "$bin"
