#!/usr/bin/env bash
# Installs Debian's Node.js and npm, which build the console. Needs root.
set -euo pipefail
if [ "$(id -u)" -ne 0 ]; then
	echo "Node.js is not installed; install version 20 or later (Debian: apt-get install nodejs npm), or run this as root" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
if [ "$major" -lt 20 ]; then
	echo "Debian's Node.js here is $(node --version); the console needs version 20 or later" >&2
	exit 1
fi
