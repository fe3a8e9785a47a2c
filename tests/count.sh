# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=sh
# Shared by the checks of this directory that are shell scripts: they source it after setting $name.
#
#   pass TEST; fail TEST WHAT; skip TEST REASON; news TEST WHAT; check TEST COMMAND...; same TEST EXPECTED ACTUAL; finish
#
# A skip says its reason, and is a failure where CI=true. `finish` prints the counting line.
root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
# Where everything is built: make exports it.
target=${CARGO_TARGET_DIR:-$root/target}
stage=$(readlink -f -- "${STAGE:-$target/stage}")
# shellcheck disable=SC2154 # the script that sources this sets $name
[ -e "$stage/lib/libsysbpf.so.1" ] || { echo "$name: nothing in $stage: run make stage first" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() {
    if [ "${CI:-}" = true ]; then
        fail "$1" "$2, which is an error in CI"
    else
        news "$1" "$2"
    fi
}
# Skipped in CI too: something outside this tree has changed, such as a package on the mirror.
news() { skipped=$((skipped + 1)); echo "SKIP $1: $2"; }

# have COMMAND...: whether all of them are installed. (In some shells `command -v A B` looks only for A.)
have() {
    for command; do command -v "$command" >/dev/null || return 1; done
}

# crates [tools/generate]: whether cargo has the crates of the whole workspace, or of the generators, or can fetch them. If not,
# $lacking says why. (Those of the library itself are there, or it would not have been built.)
crates() {
    lacking='' from=$root
    # The source archive does not contain the generators' crates, and its .cargo/config.toml allows no others.
    if [ "${1:-}" = tools/generate ] && [ -d "$root/vendor" ]; then from=/; fi
    (cd "$from" && "${CARGO:-cargo}" fetch -q --locked --manifest-path "$root/${1:+$1/}Cargo.toml" \
        --target "$(rustc -vV | sed -n 's/^host: //p')") >"$work/crates" 2>&1 ||
        lacking="crates cannot be fetched: $(grep . "$work/crates" | tail -n 1 | sed 's/^ *//')"
    [ -z "$lacking" ]
}

# check TEST COMMAND...: passes if the command succeeds; else shows what it printed.
check() {
    test=$1
    shift
    if "$@" >"$work/check.out" 2>&1; then
        pass "$test"
    else
        fail "$test" "$*"
        sed 's/^/     /' "$work/check.out" | head -n 20
    fi
}

# same TEST EXPECTED ACTUAL: passes if two texts are the same; else shows the difference.
same() {
    printf '%s\n' "$2" >"$work/expected"
    printf '%s\n' "$3" >"$work/actual"
    check "$1" diff -u "$work/expected" "$work/actual"
}

finish() {
    echo "$name: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}
