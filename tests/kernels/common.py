# SPDX-License-Identifier: MIT OR Apache-2.0
"""Shared by check, arches and update: the architectures, and what it takes to boot a kernel with the C tests.

The C tests are built here so that they need nothing but a kernel: linked statically, with cmocka from its Debian source
and, where the target is not this machine's, with Debian's cross compiler and a Rust standard library built from source.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import fnmatch
import gzip
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

KERNELS = Path(__file__).resolve().parent
TOP = KERNELS.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target").absolute()
# Everything built goes here; nothing is built in the source directories.
BUILD = Path(os.environ.get("SYSBPF_BUILD") or TARGET / "kernels").absolute()
LOCK = Path(os.environ.get("SYSBPF_LOCK") or KERNELS / "lock")
MACHINES = KERNELS / "machines"
DEBIAN_GET = TOP / "tools/debian-get"
SCRIPT = Path(sys.argv[0]).name


class Missing(Exception):
    """Something that this machine lacks and that is not available: a skip, and in CI a failure."""


class Gone(Missing):
    """A locked package that the mirror no longer has."""


class Broken(Exception):
    """Something that is wrong on any machine: a failure."""


class BuildError(Broken):
    """A build step that failed, and its log."""

    def __init__(self, log: Path):
        super().__init__(f"see {log}")
        self.log = log


# ---- Running, counting


def fail(message: str) -> NoReturn:
    print(f"{SCRIPT}: {message}", file=sys.stderr)
    sys.exit(1)


# While a process is being started, a signal has to wait: the process could not be ended, because it is not known yet.
starting = interrupted = False


def interrupt(*_) -> None:
    global interrupted
    interrupted = True
    if not starting:
        sys.exit(1)


def handle_signals() -> None:
    """Lets a signal end the script by way of its `finally` clauses."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def take_lock() -> IO[str]:
    """Waits for other runs in the same directory. The lock is held until the file is closed; no child inherits it."""
    if " " in f"{TOP}{BUILD}":
        fail("the paths of the clone and of SYSBPF_BUILD must not have spaces, which make does not support")
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = open(BUILD / "lock", "w")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{SCRIPT}: waiting for another run to end", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def run(*command: str | Path, limit: float | None = None, **options) -> subprocess.CompletedProcess:
    """Runs a command in a process group of its own, which is ended after the time limit or on the way out of here."""
    global starting
    options.setdefault("stdin", subprocess.DEVNULL)
    process = None
    starting = True
    try:
        process = subprocess.Popen(command, process_group=0, **options)
        starting = False
        if interrupted:
            sys.exit(1)
        output, errors = process.communicate(timeout=limit)
    finally:
        starting = False
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            # Whatever of the group is left.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def last_lines(log: Path, count: int) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-count:]


class Count:
    """Passed, failed and skipped checks, in the form that tools/check reads."""

    def __init__(self, name: str):
        self.name = name
        self.passed = self.failed = self.skipped = 0

    def fail(self, what: str, reason: object) -> None:
        print(f"FAIL {what}: {reason}", flush=True)
        self.failed += 1

    def news(self, what: str, reason: object) -> None:
        """Skipped in CI too: something outside this tree has changed, such as a package on the mirror."""
        print(f"SKIP {what}: {reason}", flush=True)
        self.skipped += 1

    def skip(self, what: str, reason: object) -> None:
        if os.environ.get("CI") == "true":
            self.fail(what, reason)
        else:
            self.news(what, reason)

    def finish(self) -> int:
        """Prints the counts; returns the exit status."""
        print(f"{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0


# ---- Packages


def table(path: Path) -> Iterator[list[str]]:
    """The words of each line of `lock` or `machines` that is not a comment."""
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split()


def debian_get(*arguments: str) -> str:
    """What tools/debian-get prints."""
    done = run(DEBIAN_GET, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        return done.stdout.strip()
    reason = (done.stderr.splitlines() or [f"debian-get: exit status {done.returncode}"])[-1]
    # A package that is not the one that the archive signed is never a skip.
    raise {3: Broken, 4: Gone}.get(done.returncode, Missing)(reason)


# The locked packages that the mirror has dropped, and what was used instead.
drift: set[str] = set()


def locked(what: str, arch: str) -> Path:
    """The package of a line of `lock`: the path of its .deb, or of its unpacked source.

    If the mirror no longer has it, the newest one is used and noted in `drift`.
    """
    lines = [line for line in table(LOCK) if line[0] == what and line[2] == arch and len(line) == 7]
    if len(lines) != 1:
        fail(f"{LOCK} does not have one line for {what} ({arch}): make update-kernels")
    suite, name = lines[0][1], lines[0][3]
    try:
        return Path(debian_get("--locked", *lines[0][1:]))
    except Gone as gone:
        # A kernel is named by a pattern, anything else by its own name.
        pattern = next((line[3] for line in table(MACHINES) if line[0] == what), name)
        try:
            newest = debian_get("--newest", suite, arch, pattern).split()
        except Missing:
            raise gone from None
        path = Path(debian_get("--locked", suite, arch, *newest))
        reason = str(gone).removeprefix("debian-get: ")
        drift.add(f"{what} ({arch}): {reason}; {newest[0]} {newest[1]} was used: make update-kernels")
        return path


def report_drift(count: Count) -> None:
    # That the mirror has newer packages is not an error in this tree.
    for line in sorted(drift):
        count.news("lock", line)


def file_of_deb(deb: Path, pattern: str) -> bytes:
    """The only file of a package whose path matches."""
    content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    assert content.stdout
    with content, tarfile.open(fileobj=content.stdout, mode="r|") as tar:
        found = []
        for member in tar:
            file = tar.extractfile(member) if fnmatch.fnmatch(member.name, pattern) else None
            if file and member.isreg():
                found.append(file.read())
    if len(found) != 1:
        raise Broken(f"{deb.name} has {len(found)} files like {pattern}")
    return found[0]


# ---- Architectures


@dataclasses.dataclass(frozen=True)
class Architecture:
    name: str
    target: str  # of Rust
    debian: str  # Debian's name
    prefix: str = ""  # of the cross compiler and binutils
    compiler: str = ""  # where there is no prefix
    package: str = ""  # that has this compiler
    user: tuple[str, ...] = ()  # runs its programs, where the machine cannot
    system: tuple[str, ...] = ()  # the emulator and the machine that its kernel boots on
    console: str = ""
    system_package: str = ""  # that has the emulator

    @property
    def cc(self) -> str:
        return self.compiler or f"{self.prefix}gcc"

    @property
    def cc_packages(self) -> str:
        return self.package or f"gcc-{self.prefix.removesuffix('-')} libc6-dev-{self.debian}-cross"


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "x86_64",
            "x86_64-unknown-linux-gnu",
            "amd64",
            compiler="gcc",
            package="gcc",
            # Without cmpxchg16b: qemu 7.2 loses flags around it, and 6.12 then panics in two of five boots.
            system=("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,-cx16"),
            console="ttyS0",
            system_package="qemu-system-x86",
        ),
        Architecture("i686", "i686-unknown-linux-gnu", "i386", "i686-linux-gnu-"),
        Architecture(
            "aarch64",
            "aarch64-unknown-linux-gnu",
            "arm64",
            "aarch64-linux-gnu-",
            user=("qemu-aarch64-static",),
            system=("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
            console="ttyAMA0",
            system_package="qemu-system-arm",
        ),
        Architecture(
            "armv7",
            "armv7-unknown-linux-gnueabihf",
            "armhf",
            "arm-linux-gnueabihf-",
            user=("qemu-arm-static",),
        ),
        Architecture(
            "riscv64",
            "riscv64gc-unknown-linux-gnu",
            "riscv64",
            "riscv64-linux-gnu-",
            user=("qemu-riscv64-static", "-L", "/usr/riscv64-linux-gnu"),
        ),
        Architecture(
            "s390x",
            "s390x-unknown-linux-gnu",
            "s390x",
            "s390x-linux-gnu-",
            user=("qemu-s390x-static",),
            system=("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"),
            console="ttysclp0",
            system_package="qemu-system-misc",
        ),
        Architecture(
            "ppc64le",
            "powerpc64le-unknown-linux-gnu",
            "ppc64el",
            "powerpc64le-linux-gnu-",
            user=("qemu-ppc64le-static",),
        ),
        Architecture(
            "x86_64-musl",
            "x86_64-unknown-linux-musl",
            "musl-linux-amd64",
            compiler="musl-gcc",
            package="musl-tools",
        ),
    )
}


class Builder:
    """Builds for one architecture. Raises Missing if the compilers are not installed."""

    def __init__(self, architecture: Architecture):
        self.architecture = architecture
        self.directory = BUILD / architecture.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.tests = self.directory / "tests"
        self.cflags: list[str] = []
        self.unit_flags = ["-Ctarget-feature=+crt-static"]
        missing = ""
        if architecture.name == "x86_64":
            self.cargo = ["env", "RUSTC_BOOTSTRAP=1", "cargo"]
            self.std: list[str] = []
            self.unit_std: list[str] = []
            self.stage = TARGET / "stage"
        else:
            # rustup's toolchain has the standard library of this machine only; Debian's rust-web builds it for any
            # target from source. The intermediate files of all builds of the architecture are in one directory, so that
            # core is compiled once.
            build_directory = f"CARGO_BUILD_BUILD_DIR={self.directory}/cargo"
            self.cargo = ["env", "RUSTC=/usr/bin/rustc", "RUSTC_BOOTSTRAP=1", build_directory, "/usr/bin/cargo"]
            self.std = ["-Zbuild-std=core,compiler_builtins"]
            self.unit_std = ["-Zbuild-std=std,panic_unwind,test"]
            self.stage = self.directory / "stage"
            if not os.access("/usr/bin/cargo", os.X_OK) or not Path("/usr/lib/rustlib/src/rust/library").is_dir():
                missing = f"no Rust for {architecture.target}: apt-get install rustc-web cargo-web rust-web-src"
        if not shutil.which(architecture.cc):
            missing = f"no {architecture.cc}: apt-get install {architecture.cc_packages}"
        if missing:
            raise Missing(missing)
        if architecture.name == "riscv64":
            # The standard library, unoptimised and static, is too large for the short jumps of this architecture.
            self.unit_flags = []
        if architecture.name == "x86_64-musl":
            self.prepare_musl()

    def tool(self, name: str) -> str:
        """A program of the binutils."""
        return self.architecture.prefix + name

    def step(self, name: str, *command: str | Path, **options) -> None:
        """Runs a build step, whose output is kept in a log."""
        log = self.directory / f"{name}.log"
        with open(log, "w") as file:
            done = run(*command, stdout=file, stderr=subprocess.STDOUT, **options)
        if done.returncode:
            raise BuildError(log)

    def prepare_musl(self) -> None:
        """musl-tools has neither kernel headers nor libunwind."""

        def gcc_prints(what: str) -> str:
            return subprocess.run(["gcc", what], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

        include, lib = self.directory / "include", self.directory / "lib"
        include.mkdir(exist_ok=True)
        lib.mkdir(exist_ok=True)
        multiarch = gcc_prints("-print-multiarch")
        # The kernel headers of this machine do not depend on the C library.
        for name, headers in (("linux", "linux"), ("asm-generic", "asm-generic"), ("asm", f"{multiarch}/asm")):
            (include / name).unlink(missing_ok=True)
            (include / name).symlink_to(f"/usr/include/{headers}")
        # Rust's standard library links with libunwind by that name. gcc's own library provides the same functions, but
        # was built for a glibc with _dl_find_object(). Without it a panic, which is a failed test, would end the run.
        source, member, archive = lib / "find_object.c", lib / "find_object.o", lib / "libunwind.a"
        source.write_text("int _dl_find_object(void *pc, void *result) { (void)pc; (void)result; return -1; }\n")
        self.step("find_object", self.architecture.cc, "-c", "-o", member, source)
        shutil.copyfile(gcc_prints("-print-file-name=libgcc_eh.a"), archive)
        self.step("libunwind", "ar", "r", archive, member)
        self.cflags = ["-isystem", str(include)]
        self.unit_flags += ["-Clink-self-contained=no", f"-L{lib}"]

    def build_library(self) -> None:
        """Installs the library into the stage."""
        command = ["make", "-C", str(TOP), "stage"]
        if self.architecture.name != "x86_64":
            command += [
                f"TARGET={self.directory}/library",
                f"STAGE={self.stage}",
                f"RUST_TARGET={self.architecture.target}",
                f"CARGO={shlex.join(self.cargo)}",
                f"CARGOFLAGS={' '.join(self.std)}",
                f"CC={self.architecture.cc}",
                f"AR={self.tool('ar')}",
                f"OBJCOPY={self.tool('objcopy')}",
            ]
        self.step("library", *command)

    def cargo_command(self, what: str, directory: str, *arguments: str) -> list[str]:
        return [
            *self.cargo,
            what,
            "--locked",
            f"--manifest-path={TOP}/Cargo.toml",
            f"--target={self.architecture.target}",
            f"--target-dir={self.directory}/{directory}",
            *arguments,
        ]

    def build_layout(self) -> Path:
        """The layout of the attribute records, as a static library."""
        self.step("layout", *self.cargo_command("build", "layout", "--release", "-p", "sysbpf-layout", *self.std))
        return self.directory / "layout" / self.architecture.target / "release/libsysbpf_layout.a"

    def build_cmocka(self) -> Path:
        """The directory of cmocka's header and static library: Debian has only the shared one. It is one C file."""
        source = locked("cmocka", "source")
        directory = self.directory / source.name
        archive = directory / "libcmocka.a"
        if archive.exists():
            return directory
        directory.mkdir(exist_ok=True)
        defines = (
            "HAVE_SIGNAL_H HAVE_INTTYPES_H HAVE_STRINGS_H HAVE_STRSIGNAL HAVE_SIGLONGJMP HAVE_STRUCT_TIMESPEC "
            "HAVE_CLOCK_REALTIME HAVE_CLOCK_GETTIME HAVE_GCC_THREAD_LOCAL_STORAGE HAVE_SNPRINTF HAVE_VSNPRINTF"
        )
        options = ["-O2", *(f"-D{name}" for name in defines.split()), f"-I{source}/include"]
        member, new = directory / "cmocka.o", directory / "libcmocka.a.new"
        self.step("cmocka", self.architecture.cc, *options, "-c", source / "src/cmocka.c", "-o", member)
        shutil.copy(source / "include/cmocka.h", directory)
        self.step("cmocka-archive", self.tool("ar"), "rcs", new, member)
        new.rename(archive)
        return directory

    def build_tests(self) -> None:
        """The C tests, linked statically, in the directory `tests`, which is there only if all were built."""
        if self.tests.exists():
            shutil.rmtree(self.tests)
        cmocka = self.build_cmocka()
        self.build_library()
        layout = self.build_layout()
        settings = [
            f"CC={self.architecture.cc}",
            f"CFLAGS={' '.join(['-O2', *self.cflags])}",
            "LDFLAGS=-static",
            f"CMOCKA_CFLAGS=-I{cmocka}",
            f"CMOCKA_LIBS={cmocka}/libcmocka.a",
            f"SYSBPF_CFLAGS=-I{self.stage}/include/sysbpf",
            f"SYSBPF_LIBS={self.stage}/lib/libsysbpf.a",
        ]
        programs, kernel_programs = self.directory / "tests-c", self.directory / "kernel-tests"
        self.step("tests-c", "make", "-C", TOP / "tests-c", "programs", f"OUT={programs}", *settings)
        kernel_settings = [f"OUT={kernel_programs}", f"LAYOUT={layout}", *settings]
        self.step("kernel-tests", "make", "-C", KERNELS / "tests", "programs", *kernel_settings)
        with tempfile.TemporaryDirectory(prefix="root.", dir=self.directory) as directory:
            new = Path(directory) / "tests"
            new.mkdir()
            for program in [*programs.iterdir(), *kernel_programs.iterdir()]:
                if program.is_file() and program.suffix not in (".o", ".d", ".tap"):
                    shutil.copy(program, new)
            new.rename(self.tests)

    def build_initramfs(self, busybox: bytes, host_busybox: bytes) -> Path:
        """A busybox, `init` and the tests. `host_busybox` runs here, and packs them."""
        initramfs = self.directory / "initramfs"
        with tempfile.TemporaryDirectory(prefix="root.", dir=self.directory) as directory:
            cpio, root = Path(directory) / "busybox", Path(directory) / "root"
            for name in ("bin", "proc", "sys", "dev", "tmp"):
                (root / name).mkdir(parents=True)
            for path, content in ((cpio, host_busybox), (root / "bin/busybox", busybox)):
                path.write_bytes(content)
                path.chmod(0o755)
            for name in ("init", "run-tests"):
                shutil.copy(KERNELS / name, root)
            (root / "init").chmod(0o755)
            shutil.copytree(self.tests, root / "tests")
            self.step("strip", self.tool("strip"), *(root / "tests").iterdir())
            names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
            pack = [str(cpio), "cpio", "-o", "-H", "newc"]
            packed = subprocess.run(pack, cwd=root, input=names.encode(), capture_output=True, check=True)
        initramfs.write_bytes(gzip.compress(packed.stdout, 1))
        return initramfs
