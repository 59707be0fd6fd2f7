#!/usr/bin/env bash
# Installs Debian's prometheus package: a real server that remote-writes, and
# promtool, for the tests. The service that the package starts is not wanted.
set -euo pipefail
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing Debian's prometheus package for the tests"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends prometheus >/dev/null
