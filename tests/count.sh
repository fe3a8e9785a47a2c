# Shared by the checks of this folder that are shell scripts: they source it after setting $name.
#
#   pass TEST; fail TEST WHAT; skip TEST REASON; check TEST COMMAND...; finish
#
# A skip says its reason, and is a failure where CI=true. `finish` prints the counting line.
root=$(cd -- "$(dirname -- "$0")/.." && pwd)
stage=$(readlink -f -- "${STAGE:-$root/target/stage}")
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
        skipped=$((skipped + 1))
        echo "SKIP $1: $2"
    fi
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
