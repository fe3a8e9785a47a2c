/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See support.h. The functions of the library are called here for set-up, so these calls are not noted. */
#define CALLS_ARE_NOT_NOTED
#include "support.h"

#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

__attribute__((weak)) bool kernel_is_scripted;

/* ---- tests ---- */

static const char *test_name;
static char called[4096], claimed[4096];
static bool skipped;
static int fds_before;
/* The file to which stderr is captured. */
static int captured = -1, saved_stderr;

/* SYSBPF_TESTS='a_frozen_*' in the environment: run only the test functions that match. */
__attribute__((constructor)) static void select_tests(void)
{
	const char *pattern = getenv("SYSBPF_TESTS");

	if (pattern)
		cmocka_set_test_filter(pattern);
}

int test_begin(void **state)
{
	test_name = *state;
	strcpy(called, " ");
	claimed[0] = '\0';
	skipped = false;
	if (captured < 0)
		captured = memfd_create("stderr", MFD_CLOEXEC);
	fds_before = count_fds();
	return 0;
}

static void append(char *list, size_t room, const char *word, size_t len)
{
	size_t used = strlen(list);

	if (used + len + 2 > room)
		fail_msg("too many functions for the list of one test");
	memcpy(list + used, word, len);
	strcpy(list + used + len, " ");
}

static bool in_list(const char *list, const char *word, size_t len)
{
	char spaced[128];

	snprintf(spaced, sizeof(spaced), " %.*s ", (int)len, word);
	return strstr(list, spaced) != NULL;
}

void note_call(const char *function)
{
	if (!in_list(called, function, strlen(function)))
		append(called, sizeof(called), function, strlen(function));
}

static bool may_use_bpf(void)
{
	/* An array of one element with key and value of 4 bytes: the smallest map. */
	__u32 attr[4] = { BPF_MAP_TYPE_ARRAY, 4, 4, 1 };
	int fd = syscall(SYS_bpf, BPF_MAP_CREATE, attr, sizeof(attr));

	if (fd >= 0)
		close(fd);
	/* For root, EPERM means that RLIMIT_MEMLOCK is reached, which the library raises. */
	return fd >= 0 || errno != EPERM || geteuid() == 0;
}

void covers(const char *functions)
{
	strcpy(claimed, " ");
	while (*functions) {
		size_t len = strcspn(functions, ", ");

		if (len)
			append(claimed, sizeof(claimed), functions, len);
		functions += len + (functions[len] != '\0');
	}
	if (!kernel_is_scripted && !may_use_bpf())
		skip_test("bpf(2) is not permitted: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root");
}

int test_end(void **state)
{
	int failures = 0, fds_after = count_fds();

	(void)state;
	if (fds_after != fds_before) {
		printf("# %s: %d descriptors before, %d after\n", test_name, fds_before, fds_after);
		failures++;
	}
	if (!skipped) {
		char list[sizeof(claimed)], *word;

		strcpy(list, claimed);
		for (word = strtok(list, " "); word; word = strtok(NULL, " ")) {
			if (!in_list(called, word, strlen(word))) {
				printf("# %s: claims to cover %s but did not call it\n", test_name, word);
				failures++;
			}
		}
		printf("# covers%s %s:%s\n", kernel_is_scripted ? "-scripted" : "", test_name, claimed);
	}
	fflush(stdout);
	return failures ? -1 : 0;
}

void skip_reason(const char *format, ...)
{
	va_list args;

	skipped = true;
	printf("# SKIP %s: ", test_name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

/* ---- assertions ---- */

const char *strerrorname(int err)
{
	static const struct { int err; const char *name; } names[] = {
		{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { E2BIG, "E2BIG" }, { EBADF, "EBADF" }, { EAGAIN, "EAGAIN" },
		{ ENOMEM, "ENOMEM" }, { EACCES, "EACCES" }, { EFAULT, "EFAULT" }, { EBUSY, "EBUSY" }, { EEXIST, "EEXIST" },
		{ EINVAL, "EINVAL" }, { EMFILE, "EMFILE" }, { ENOSPC, "ENOSPC" }, { ERANGE, "ERANGE" }, { ENOTSUP, "ENOTSUP" },
		{ ESTALE, "ESTALE" }, { 524, "ENOTSUPP" }, { ENOTDIR, "ENOTDIR" }, { ENODEV, "ENODEV" }, { ELOOP, "ELOOP" },
	};
	static char number[16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].err == err)
			return names[i].name;
	snprintf(number, sizeof(number), "%d", err);
	return number;
}

static void wrong(const char *file, int line, const char *call, const char *want, long ret, int err)
{
	print_error("%s\n  wanted %s\n  got    %ld, errno %s\n", call, want, ret,
		    err == ERRNO_MARK ? "untouched" : strerrorname(err));
	_fail(file, line);
}

void check_value(long value, long ret, int err, const char *call, const char *file, int line)
{
	char want[64];

	snprintf(want, sizeof(want), "%ld, errno untouched", value);
	if (ret != value || err != ERRNO_MARK)
		wrong(file, line, call, want, ret, err);
}

void check_ok(long ret, int err, const char *call, const char *file, int line)
{
	check_value(0, ret, err, call, file, line);
}

void check_fails(int want_err, long ret, int err, const char *call, const char *file, int line)
{
	char want[64];

	snprintf(want, sizeof(want), "%d, errno %s", -want_err, strerrorname(want_err));
	if (ret != -want_err || err != want_err)
		wrong(file, line, call, want, ret, err);
}

void check_fd(int fd, int err, const char *call, const char *file, int line)
{
	int flags;

	if (fd < 3 || err != ERRNO_MARK)
		wrong(file, line, call, "a descriptor >= 3, errno untouched", fd, err);
	flags = fcntl(fd, F_GETFD);
	if (flags < 0 || !(flags & FD_CLOEXEC)) {
		print_error("%s\n  descriptor %d: flags %d, wanted close-on-exec\n", call, fd, flags);
		_fail(file, line);
	}
}

static char captured_text[65536];

void capture_stderr(void)
{
	fflush(stderr);
	if (lseek(captured, 0, SEEK_SET) || ftruncate(captured, 0))
		fail_msg("cannot capture stderr: %s", strerror(errno));
	saved_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (saved_stderr < 0 || dup2(captured, 2) < 0)
		fail_msg("cannot capture stderr: %s", strerror(errno));
}

const char *captured_stderr(void)
{
	ssize_t len;

	fflush(stderr);
	dup2(saved_stderr, 2);
	close(saved_stderr);
	len = pread(captured, captured_text, sizeof(captured_text) - 1, 0);
	captured_text[len > 0 ? len : 0] = '\0';
	return captured_text;
}

void assert_one_warning(const char *text)
{
	const char *end = strchr(text, '\n');

	if (strncmp(text, "libbpf: ", 8) || !end || end[1] != '\0')
		fail_msg("wanted one line \"libbpf: ...\" on stderr, got \"%s\"", text);
}

/* ---- descriptors and memory ---- */

int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -1; /* the listing's own descriptor */

	if (!dir)
		fail_msg("cannot list /proc/self/fd: %s", strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

int wild_fd(void)
{
	int any = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = any;

	if (any < 3) {
		fd = fcntl(any, F_DUPFD_CLOEXEC, 3);
		close(any);
	}
	close(fd);
	return fd;
}

static int low[3];

void close_low_fds(void)
{
	fflush(stdout);
	fflush(stderr);
	for (int fd = 0; fd < 3; fd++) {
		low[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
}

void restore_low_fds(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (low[fd] < 0)
			continue;
		dup2(low[fd], fd);
		close(low[fd]);
	}
}

static struct rlimit fd_limit;

void exhaust_fds(void)
{
	struct rlimit tight;

	getrlimit(RLIMIT_NOFILE, &fd_limit);
	tight = fd_limit;
	tight.rlim_cur = wild_fd();
	setrlimit(RLIMIT_NOFILE, &tight);
}

void release_fds(void)
{
	setrlimit(RLIMIT_NOFILE, &fd_limit);
}

void *before_guard(size_t size)
{
	static char *end;
	size_t page = sysconf(_SC_PAGESIZE);

	if (!end) {
		char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED || munmap(at + page, page))
			fail_msg("cannot map a page before an unmapped one: %s", strerror(errno));
		end = at + page;
	}
	if (size > page)
		fail_msg("no %zu bytes before the unmapped page", size);
	return end - size;
}

/* ---- programs ---- */

static int must(int fd, const char *what)
{
	if (fd < 0)
		fail_msg("set-up: %s: %s", what, strerror(errno));
	return fd;
}

int load_return(enum bpf_prog_type type, enum bpf_attach_type attach_type, int value)
{
	struct bpf_insn insns[] = { MOV_IMM(0, value), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);

	return must(bpf_prog_load(type, "returns", "GPL", insns, ARRAY_SIZE(insns), &opts), "bpf_prog_load");
}

int load_counter(enum bpf_prog_type type, int array_fd)
{
	struct bpf_insn insns[] = {
		STORE_IMM(BPF_W, 10, -4, 0),
		MOV_REG(2, 10),
		ADD_IMM(2, -4),
		MAP_FD(1, array_fd),
		CALL(BPF_FUNC_map_lookup_elem),
		JUMP_NE(0, 0, 2),
		MOV_IMM(0, 0),
		EXIT(),
		LOAD(BPF_DW, 1, 0, 0),
		ADD_IMM(1, 1),
		STORE(BPF_DW, 0, 1, 0),
		MOV_REG(0, 1),
		EXIT(),
	};

	return must(bpf_prog_load(type, "counter", "GPL", insns, ARRAY_SIZE(insns), NULL), "bpf_prog_load");
}

int make_map(enum bpf_map_type type, __u32 key_size, __u32 value_size, __u32 max_entries)
{
	return must(bpf_map_create(type, "map", key_size, value_size, max_entries, NULL), "bpf_map_create");
}

__u32 prog_id(int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	must(bpf_prog_get_info_by_fd(fd, &info, &len), "bpf_prog_get_info_by_fd");
	return info.id;
}

__u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	must(bpf_map_get_info_by_fd(fd, &info, &len), "bpf_map_get_info_by_fd");
	return info.id;
}

__u32 link_id(int fd)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	must(bpf_link_get_info_by_fd(fd, &info, &len), "bpf_link_get_info_by_fd");
	return info.id;
}

size_t small_btf(void *blob, size_t room)
{
#define INFO(kind, vlen) ((__u32)(kind) << 24 | (vlen))
	static const char strings[] = "\0int\0main\0sub\0pair\0a\0x";
	const __u32 types[] = {
		1, INFO(BTF_KIND_INT, 0), 4, BTF_INT_SIGNED << 24 | 32,		/* int */
		0, INFO(BTF_KIND_FUNC_PROTO, 1), BTF_INT, 21, BTF_INT,		/* int (int x) */
		5, INFO(BTF_KIND_FUNC, BTF_FUNC_STATIC), BTF_PROTO,		/* main */
		10, INFO(BTF_KIND_FUNC, BTF_FUNC_STATIC), BTF_PROTO,		/* sub */
		14, INFO(BTF_KIND_STRUCT, 1), 4, 19, BTF_INT, 0,		/* struct pair { int a; } */
	};
	struct btf_header header = {
		.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(header),
		.type_off = 0, .type_len = sizeof(types), .str_off = sizeof(types), .str_len = sizeof(strings),
	};

	if (room < sizeof(header) + sizeof(types) + sizeof(strings))
		fail_msg("set-up: no room for the BTF");
	memcpy(blob, &header, sizeof(header));
	memcpy((char *)blob + sizeof(header), types, sizeof(types));
	memcpy((char *)blob + sizeof(header) + sizeof(types), strings, sizeof(strings));
	return sizeof(header) + sizeof(types) + sizeof(strings);
}

/* ---- private mounts, network namespaces and cgroups ---- */

void own_mounts(void)
{
	static bool done;

	if (done)
		return;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		skip_test("cannot create a mount namespace: %s", strerror(errno));
	done = true;
}

void own_netns(void)
{
	static bool done;
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int sock;

	if (done)
		return;
	if (unshare(CLONE_NEWNET))
		skip_test("cannot create a network namespace: %s", strerror(errno));
	sock = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	if (ioctl(sock, SIOCSIFFLAGS, &lo))
		fail_msg("set-up: cannot bring lo up: %s", strerror(errno));
	close(sock);
	done = true;
}

char *mount_own(const char *fstype, const char *options)
{
	const char *base = getenv("TMPDIR");
	char *dir;

	own_mounts();
	if (asprintf(&dir, "%s/sysbpf-test-XXXXXX", base ? base : "/tmp") < 0 || !mkdtemp(dir))
		fail_msg("set-up: no temporary directory: %s", strerror(errno));
	if (mount("none", dir, fstype, 0, options)) {
		int err = errno;

		rmdir(dir);
		free(dir);
		errno = err;
		return NULL;
	}
	return dir;
}

void unmount_own(char *dir)
{
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	free(dir);
}

static char *cgroup_root;

static void cgroup_path(char *path, size_t room)
{
	snprintf(path, room, "%s/sysbpf-test-%d", cgroup_root, (int)getpid());
}

int make_cgroup(void)
{
	char path[PATH_MAX];

	cgroup_root = mount_own("cgroup2", NULL);
	if (!cgroup_root)
		skip_test("cannot mount cgroup2: %s", strerror(errno));
	cgroup_path(path, sizeof(path));
	if (mkdir(path, 0755)) {
		int err = errno;

		unmount_own(cgroup_root);
		skip_test("cannot create a cgroup: %s", strerror(err));
	}
	return must(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open cgroup");
}

void remove_cgroup(int fd)
{
	char path[PATH_MAX];

	close(fd);
	cgroup_path(path, sizeof(path));
	rmdir(path);
	unmount_own(cgroup_root);
}
