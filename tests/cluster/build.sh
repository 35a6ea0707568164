#!/usr/bin/env bash
# Builds what a test cluster is made of, once, and prints the folder that holds it as the last line.
#
#   build.sh            build what is missing
#   build.sh --where    build only the supervisor (a second); fail if a big one is missing
#
# MARMOT_CLUSTER_CACHE   where to keep the binaries, so that several clones may share them
# KUBEBUILDER_ASSETS     a folder whose kube-apiserver, etcd and kubectl are used instead of built ones
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' go.mod)
minor=${kubernetes#v1.} minor=${minor%%.*}
ldflags="-s -w"
# Unstamped binaries call themselves v0.0.0-master, and clients that compare versions misbehave.
# helm and helm-unittest take the Kubernetes they know from two more, for `kubeVersion` of charts.
for package in helm.sh/helm/v3/pkg/chartutil.k8sVersion helm.sh/helm/v3/pkg/lint/rules.k8sVersion; do
  ldflags+=" -X ${package}Major=1 -X ${package}Minor=$minor"
done
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor"
  ldflags+=" -X $package.gitTreeState=clean"
done

# Name, module and package of each program.
programs=(
  "kube-apiserver          .             k8s.io/kubernetes/cmd/kube-apiserver"
  "etcd                    etcd          go.etcd.io/etcd/server/v3"
  "kube-controller-manager .             k8s.io/kubernetes/cmd/kube-controller-manager"
  "kube-scheduler          .             k8s.io/kubernetes/cmd/kube-scheduler"
  "kubectl                 .             k8s.io/kubernetes/cmd/kubectl"
  "kwok                    .             sigs.k8s.io/kwok/cmd/kwok"
  "helm                    .             helm.sh/helm/v3/cmd/helm"
  "helm-unittest           helm-unittest github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
)

hash() { sha256sum | cut -c1-16; }

# Each program is kept under a key of its own inputs, so that a new program or another version of one leaves the others
# alone. The folder that is handed out has a key of all inputs: a stale binary is never found.
declare -A key
for program in "${programs[@]}"; do
  read -r name module package <<<"$program"
  key[$name]=$({ cat "$module/go.mod" "$module/go.sum"; echo "$package $ldflags"; } | hash)
done
own=$({ find cmd kwok etcd/history -type f | LC_ALL=C sort | xargs cat; cat go.mod go.sum; } | hash)
all=$({ for name in "${!key[@]}"; do echo "$name ${key[$name]}"; done | LC_ALL=C sort; echo "$own ${KUBEBUILDER_ASSETS:-}"; } | hash)
cache=${MARMOT_CLUSTER_CACHE:-$(cd ../.. && pwd)/.cache/cluster}
store=$cache/programs
bin=$cache/$all/bin
mkdir -p "$bin" "$store"

# build MODULE_DIR FILE PACKAGE: go build, into its place only when complete.
build() {
  CGO_ENABLED=0 go -C "$1" build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$2.new.$$" "$3"
  mv "$2.new.$$" "$2"
}

# provide NAME MODULE_DIR PACKAGE: from KUBEBUILDER_ASSETS, from the store, or built.
provide() {
  [[ ! -x $bin/$1 ]] || return 0
  if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/$1 ]]; then
    ln -sfn "$KUBEBUILDER_ASSETS/$1" "$bin/$1"
    echo "$1: from KUBEBUILDER_ASSETS"
    return
  fi
  local kept=$store/$1-${key[$1]}
  if [[ ! -x $kept ]]; then
    if [[ $mode == --where ]]; then
      echo "$1 is not built yet; run \`make cluster-binaries\` (takes minutes, once)" >&2
      exit 3
    fi
    # Only who builds waits for who builds.
    exec 9>"$store/lock"
    flock 9
    if [[ ! -x $kept ]]; then
      local started=$SECONDS
      echo "$1: building"
      build "$2" "$kept" "$3"
      echo "$1: built in $((SECONDS - started)) s"
    fi
    exec 9>&-
  fi
  ln -f "$kept" "$bin/$1"
}

mode=${1:-}
for program in "${programs[@]}"; do
  read -r name module package <<<"$program"
  provide "$name" "$module" "$package"
done
for program in cluster demo candidate; do
  [[ -x $bin/$program ]] || build . "$bin/$program" "./cmd/$program"
done
[[ -x $bin/history ]] || build etcd "$bin/history" ./history
echo "$bin"
