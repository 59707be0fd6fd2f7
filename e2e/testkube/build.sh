#!/bin/bash
# build.sh: builds testkube unless it was built from these very files before, and prints its path.
# It is kept outside the work tree, by the hash of this folder: in $PANDO_CACHE, or the user's cache folder.
# Without optimisation: a quarter less build time, half a second more start-up.
set -euo pipefail
cd "$(dirname "$0")"
cache=${PANDO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pando}
hash=$( (go version; cat -- *.go go.mod go.sum build.sh) | sha256sum | cut -c1-16)
out=$cache/testkube-$hash
mkdir -p "$cache"
exec 9>"$cache/testkube.lock"
flock 9 # of those that come at the same time, one builds
if [ ! -x "$out" ]; then
	v=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	x=k8s.io/component-base/version
	echo "building testkube, a Kubernetes control plane for tests; once, some minutes" >&2
	CGO_ENABLED=0 go build -p 2 -trimpath -gcflags='all=-N -l' -ldflags "-s -w -X $x.gitVersion=$v -X $x.gitMajor=1 \
	 -X $x.gitMinor=$(echo "$v" | cut -d. -f2) -X $x.gitCommit=none -X $x.gitTreeState=clean -X $x.buildDate=1970-01-01T00:00:00Z" -o "$out.new" .
	mv "$out.new" "$out"
	find "$cache" -maxdepth 1 -name 'testkube-*' ! -name "testkube-$hash" -mtime +7 -delete
fi
echo "$out"
