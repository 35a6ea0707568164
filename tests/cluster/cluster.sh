#!/usr/bin/env bash
# A real control plane on loopback: builds it if need be, then hands over to the supervisor.
#
#   cluster.sh up --state DIR [--detach] [--until-eof] [--restart] [--keep] [--no-kwok] [--no-controller-manager]
#   cluster.sh down --state DIR
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
bin=$("$here/build.sh" | tee /dev/stderr | tail -n 1)
exec "$bin/cluster" "$@"
