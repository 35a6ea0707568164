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
# helm takes the Kubernetes it knows from two more, for `kubeVersion` of charts.
for part in Major=1 Minor=$minor; do ldflags+=" -X helm.sh/helm/v3/pkg/chartutil.k8sVersion$part -X helm.sh/helm/v3/pkg/lint/rules.k8sVersion$part"; done
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor"
  ldflags+=" -X $package.gitTreeState=clean"
done

# The folder's name stands for all that decides what is in it, so a stale binary is never found.
key=$({ cat go.mod go.sum etcd/go.mod etcd/go.sum build.sh; echo "${KUBEBUILDER_ASSETS:-}"; } | sha256sum | cut -c1-16)
cache=${MARMOT_CLUSTER_CACHE:-$(cd ../.. && pwd)/.cache/cluster}
bin=$cache/$key/bin
mkdir -p "$bin"
exec 9>"$cache/$key/lock"
flock 9

# build MODULE_DIR NAME PACKAGE: go build, into its place only when complete.
build() {
  CGO_ENABLED=0 go -C "$1" build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$bin/.$2.new" "$3"
  mv "$bin/.$2.new" "$bin/$2"
}

# provide MODULE_DIR NAME PACKAGE: from the cache, from KUBEBUILDER_ASSETS, or built.
provide() {
  [[ ! -x $bin/$2 ]] || return 0
  if [[ $mode == --where ]]; then
    echo "$2 is not built yet; run \`make cluster-binaries\` (takes minutes, once)" >&2
    exit 3
  fi
  if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/$2 ]]; then
    ln -sfn "$KUBEBUILDER_ASSETS/$2" "$bin/$2"
    echo "$2: from KUBEBUILDER_ASSETS"
    return
  fi
  local started=$SECONDS
  echo "$2: building"
  build "$@"
  echo "$2: built in $((SECONDS - started)) s"
}

mode=${1:-}
provide .    kube-apiserver          k8s.io/kubernetes/cmd/kube-apiserver
provide etcd etcd                    go.etcd.io/etcd/server/v3
provide .    kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
provide .    kube-scheduler          k8s.io/kubernetes/cmd/kube-scheduler
provide .    kubectl                 k8s.io/kubernetes/cmd/kubectl
provide .    kwok                    sigs.k8s.io/kwok/cmd/kwok
provide .    helm                    helm.sh/helm/v3/cmd/helm
for program in cluster demo; do build . "$program" "./cmd/$program"; done
echo "$bin"
