#!/usr/bin/env bash
# All checks of the repository, as CI runs them: format, lints, dependency policy, tests, the package for Salesforce.
# Needs rustup, a C compiler and Node.js. Safe to run again; stops at the first stage that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}"
# A snapshot that differs fails; it is never accepted on the way.
export INSTA_UPDATE=no

DENY_VERSION=0.20.2
stage=""
began=$SECONDS

begin() {
    stage="$1"
    began=$SECONDS
    printf '\n== %s\n' "$stage"
}
done_() { printf '== %s: well, %ss\n' "$stage" "$((SECONDS - began))"; }
trap 'status=$?; [ "$status" -eq 0 ] || printf "\n== %s: FAILED\n" "${stage:-start}" >&2; exit "$status"' EXIT

begin "toolchain"
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust with rustup (https://rustup.rs)" >&2
    exit 1
fi
if ! command -v cc >/dev/null; then
    echo "a C compiler is missing: SQLite, the script engine and the cryptography are C (Debian: apt install build-essential)" >&2
    exit 1
fi
cargo --version
for component in fmt clippy; do
    if ! cargo "$component" --version >/dev/null 2>&1; then
        rustup component add "$([ "$component" = fmt ] && echo rustfmt || echo clippy)"
    fi
done
done_

begin "format"
cargo fmt --all --check
done_

begin "lints"
cargo clippy --all-targets --locked -- -D warnings
done_

begin "dependency policy"
deny="target/tools/bin/cargo-deny"
if ! "$deny" --version >/dev/null 2>&1; then
    deny="$(command -v cargo-deny || true)"
fi
if [ -z "$deny" ]; then
    echo "installing cargo-deny $DENY_VERSION into target/tools (once, some minutes)"
    cargo install --quiet --locked "cargo-deny@$DENY_VERSION" --root target/tools
    deny="target/tools/bin/cargo-deny"
fi
# Advisories need a database from the network: see docs/CONTRIBUTING.md.
"$deny" --locked check --hide-inclusion-graph bans licenses sources
done_

begin "browser"
./tests/browser.sh
done_

begin "tests"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast
else
    cargo test --locked --no-fail-fast
fi
done_

begin "salesforce"
# The tests above left a package behind, which is shown to the Salesforce CLI.
./tests/salesforce.sh
done_
