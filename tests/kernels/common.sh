# Shared by tests/kernels/check and tests/kernels/arches: what is known of each architecture, and how
# the C tests are built for it so that they need nothing but a kernel.

kernels=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$kernels/../.." && pwd)
cache=${SYSBPF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sysbpf}
# Everything built goes here; nothing is built in the source directories.
build=${SYSBPF_BUILD:-${CARGO_TARGET_DIR:-$top/target}/kernels}
lock=${SYSBPF_LOCK:-$kernels/lock}

# make takes a space in a name for the end of it.
case "$top $build" in
*' '*' '*) echo "$script: this takes a clone (and a SYSBPF_BUILD) whose path has no space" >&2; exit 1 ;;
esac

mkdir -p "$build"
exec 8>"$build/lock"
flock -n 8 || { echo "$script: waiting for another run to end" >&2; flock 8; }

fail() { echo "$script: $*" >&2; exit 1; }

# Sets what belongs to an architecture: the Rust target, the C compiler and the package it comes in, Debian's name
# for it, how its programs run here, and, where there is one to boot, the machine.
architecture() {
    arch=$1
    tools='' libc='' run='' machine='' console=''
    case $arch in
    x86_64)
        target=x86_64-unknown-linux-gnu cc=gcc debian=amd64 packages=gcc
        # Without cmpxchg16b: qemu 7.2 loses flags around it, and 6.12 then panics in two boots of five.
        machine='qemu-system-x86_64 -accel tcg -cpu max,-cx16' console=ttyS0 emulator=qemu-system-x86 ;;
    x86_64-musl)
        target=x86_64-unknown-linux-musl cc=musl-gcc debian=musl-linux-amd64 packages=musl-tools ;;
    i686)
        target=i686-unknown-linux-gnu tools=i686-linux-gnu- debian=i386 ;;
    aarch64)
        target=aarch64-unknown-linux-gnu tools=aarch64-linux-gnu- debian=arm64 run=qemu-aarch64-static
        machine='qemu-system-aarch64 -M virt -cpu max,pauth-impdef=on' console=ttyAMA0 emulator=qemu-system-arm ;;
    armv7)
        target=armv7-unknown-linux-gnueabihf tools=arm-linux-gnueabihf- debian=armhf run=qemu-arm-static ;;
    riscv64)
        target=riscv64gc-unknown-linux-gnu tools=riscv64-linux-gnu- debian=riscv64
        run='qemu-riscv64-static -L /usr/riscv64-linux-gnu' ;;
    s390x)
        target=s390x-unknown-linux-gnu tools=s390x-linux-gnu- debian=s390x run=qemu-s390x-static
        machine='qemu-system-s390x -M s390-ccw-virtio -cpu max' console=ttysclp0 emulator=qemu-system-misc ;;
    ppc64le)
        target=powerpc64le-unknown-linux-gnu tools=powerpc64le-linux-gnu- debian=ppc64el run=qemu-ppc64le-static ;;
    *) fail "unknown architecture $arch" ;;
    esac
    [ -z "$tools" ] || cc=${tools}gcc packages="gcc-${tools%-} libc6-dev-$debian-cross"
}

# A Debian package, unpacked: its folder in $tree. False if it cannot be had, with the reason in $lacking and
# what to make of that in $verdict: a package that is not what the archive signed is never a skip.
fetch() {
    lacking='' status=0
    mkdir -p "$build"
    tree=$("$top/tools/debian-get" "$@" 2>"$build/fetch.part") || status=$?
    cat "$build/fetch.part" >&2
    [ "$status" = 0 ] || lacking=$(tail -n 1 "$build/fetch.part")
    rm -f "$build/fetch.part"
    verdict=skip
    [ "$status" != 3 ] || verdict=broken
    return "$status"
}

# locked WHAT ARCHITECTURE: the package of that line of tests/kernels/lock; its .deb, or its unpacked source, in $tree. Where the suite
# has moved on and the mirror has dropped the one that is locked, the one that it has now is taken, and noted in $drifted.
drifted=''
locked() {
    what=$1
    # shellcheck disable=SC2046 # the words of a line
    set -- $(awk -v what="$1" -v arch="$2" '$1 == what && $3 == arch { print $2, $3, $4, $5, $6, $7 }' "$lock")
    [ $# -eq 6 ] || fail "$lock has no line for $what: make update-kernels"
    fetch --locked "$@" && return
    [ "$status" = 4 ] || return
    gone=${lacking#debian-get: }
    # The kernels are named by a pattern, anything else by its own name.
    pattern=$(awk -v what="$what" '$1 == what { print $4 }' "$kernels/machines")
    found=$("$top/tools/debian-get" --newest "$1" "$2" "${pattern:-$3}") || { lacking=$gone; return 1; }
    # shellcheck disable=SC2086
    fetch --locked "$1" "$2" $found || return
    drifted="$drifted$what ($2): $gone; $(echo "$found" | cut -d ' ' -f 1,2) was used: make update-kernels
"
}

# from_deb DEB PATTERN FILE: one file of a package.
from_deb() {
    dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "$2" >"$3" && [ -s "$3" ]
}

# Runs a build step with its output kept, and shown only if it fails.
quietly() {
    log=$build/$arch/$1.log
    shift
    "$@" >"$log" 2>&1 && return
    tail -n 25 "$log" >&2
    return 1
}

# cmocka as a static library: Debian has only the shared one. It is one C file.
build_cmocka() {
    locked cmocka source || return 1
    cmocka=$build/$arch/$(basename "$tree")
    [ ! -e "$cmocka/libcmocka.a" ] || return 0
    mkdir -p "$cmocka"
    $cc -O2 -DHAVE_SIGNAL_H -DHAVE_INTTYPES_H -DHAVE_STRINGS_H -DHAVE_STRSIGNAL -DHAVE_SIGLONGJMP \
        -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME -DHAVE_CLOCK_GETTIME -DHAVE_GCC_THREAD_LOCAL_STORAGE \
        -DHAVE_SNPRINTF -DHAVE_VSNPRINTF -I"$tree/include" -c "$tree/src/cmocka.c" -o "$cmocka/cmocka.o" &&
        cp "$tree/include/cmocka.h" "$cmocka/" &&
        "${tools}ar" rcs "$cmocka/libcmocka.a.new" "$cmocka/cmocka.o" &&
        mv "$cmocka/libcmocka.a.new" "$cmocka/libcmocka.a"
}

# Finds what builds for the architecture: rustup's toolchain has the host's standard library alone; Debian's
# rust-web builds it for any target from source. False, and $lacking says why, if it is not there.
toolchain() {
    lacking='' cflags='' unit_flags='-Ctarget-feature=+crt-static'
    if [ "$arch" = x86_64 ]; then
        cargo='env RUSTC_BOOTSTRAP=1 cargo' rust_flags='' unit_std=''
    else
        # Intermediate files of all of the architecture's builds in one place, so that core is compiled once.
        cargo="env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_BUILD_BUILD_DIR=$build/$arch/cargo /usr/bin/cargo"
        rust_flags='-Zbuild-std=core,compiler_builtins' unit_std='-Zbuild-std=std,panic_unwind,test'
        [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ] ||
            lacking="no Rust for $target: apt-get install rustc-web cargo-web rust-web-src"
    fi
    command -v "$cc" >/dev/null || lacking="no $cc: apt-get install $packages"
    [ -z "$lacking" ] || return 1
    # The standard library, unoptimised and static, is too far from end to end for this one's short jumps.
    [ "$arch" != riscv64 ] || unit_flags=''
    if [ "$arch" = x86_64-musl ]; then
        # musl brings no kernel headers; the machine's are as good.
        mkdir -p "$build/$arch/include"
        ln -sfn /usr/include/linux "$build/$arch/include/linux"
        ln -sfn /usr/include/asm-generic "$build/$arch/include/asm-generic"
        ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" "$build/$arch/include/asm"
        # Rust's standard library asks for libunwind by that name; gcc's own library is as good, but was built for
        # a glibc with _dl_find_object(). Without it a panic, which is a failed test, ends the run at once.
        mkdir -p "$build/$arch/lib"
        echo 'int _dl_find_object(void *pc, void *result) { (void)pc; (void)result; return -1; }' |
            $cc -c -x c -o "$build/$arch/lib/find_object.o" -
        rm -f "$build/$arch/lib/libunwind.a"
        cp "$(gcc -print-file-name=libgcc_eh.a)" "$build/$arch/lib/libunwind.a"
        ar r "$build/$arch/lib/libunwind.a" "$build/$arch/lib/find_object.o"
        cflags="-isystem $build/$arch/include"
        unit_flags="$unit_flags -Clink-self-contained=no -L$build/$arch/lib"
    fi
}

# The library, installed into $stage.
build_library() {
    if [ "$arch" = x86_64 ]; then
        stage=${CARGO_TARGET_DIR:-$top/target}/stage
        quietly library make -C "$top" stage
    else
        stage=$build/$arch/stage
        quietly library make -C "$top" stage "TARGET=$build/$arch/library" "STAGE=$stage" "RUST_TARGET=$target" \
            "CARGO=$cargo" "CARGOFLAGS=$rust_flags" "CC=$cc" "AR=${tools}ar" "OBJCOPY=${tools}objcopy"
    fi
}

# The attribute records' layout, as a static library.
build_layout() {
    layout=$build/$arch/layout/$target/release/libsysbpf_layout.a
    quietly layout $cargo build --release --locked --manifest-path "$top/Cargo.toml" -p sysbpf-layout --target "$target" \
        --target-dir "$build/$arch/layout" $rust_flags
}

# The C tests, linked statically: $build/$arch/tests. If they cannot be built because something cannot be had,
# $lacking says what.
build_tests() {
    lacking=''
    mkdir -p "$build/$arch"
    rm -rf "$build/$arch/tests"
    build_cmocka && build_library && build_layout || return 1
    set -- "CC=$cc" "CFLAGS=-O2 $cflags" LDFLAGS=-static "CMOCKA_CFLAGS=-I$cmocka" "CMOCKA_LIBS=$cmocka/libcmocka.a" \
        "SYSBPF_CFLAGS=-I$stage/include/sysbpf" "SYSBPF_LIBS=$stage/lib/libsysbpf.a"
    quietly tests-c make -C "$top/tests-c" programs "OUT=$build/$arch/tests-c" "$@" &&
        quietly kernel-tests make -C "$kernels/tests" programs "OUT=$build/$arch/kernel-tests" "LAYOUT=$layout" "$@" ||
        return 1
    mkdir "$build/$arch/tests"
    for program in "$build/$arch/tests-c"/* "$build/$arch/kernel-tests"/*; do
        case $program in *.o | *.tap) ;; *) cp "$program" "$build/$arch/tests/" ;; esac
    done
}

# A busybox, init and the tests as an initramfs: $build/$arch/initramfs. $host_busybox packs it.
build_initramfs() {
    root=$(mktemp -d "$build/$arch/root.XXXXXX")
    mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/tests"
    cp "$1" "$root/bin/busybox"
    cp "$kernels/init" "$kernels/run-tests" "$root/"
    chmod +x "$root/init"
    cp "$build/$arch/tests"/* "$root/tests/"
    "${tools}strip" "$root/tests"/*
    (cd "$root" && find . | "$host_busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$build/$arch/initramfs"
    rm -rf "$root"
}
