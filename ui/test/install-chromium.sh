#!/usr/bin/env bash
# Installs Debian's chromium, which the console's tests drive. Needs root.
set -euo pipefail
if [ "$(id -u)" -ne 0 ]; then
	echo "chromium is not installed; install it (Debian: apt-get install chromium), or run this as root" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
command -v chromium
