/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the library finds out about the kernel: memory accounting, names, common attributes. It remembers the
 * answers, so each case runs in a process of its own.
 */
#include "script.h"

#include <sys/resource.h>

/* Maps can always be created. Whether a probe is loaded, for a newer helper or for a name, depends on the case. */
static bool old_memory, old_names;

static bool zero(const unsigned char *bytes, size_t n)
{
	while (n--)
		if (*bytes++)
			return false;
	return true;
}

static long a_kernel(struct bpf_call *call, int number)
{
	(void)number;
	switch (call->cmd) {
	case BPF_MAP_CREATE:
		/* Before 4.15 the bytes of the name had to be zero. */
		return old_names && !zero(call->attr + 28, 16) ? -EINVAL : 1000;
	case BPF_PROG_LOAD:
		if (old_names && !zero(call->attr + 48, 16))
			return -EINVAL;
		/* A program without a name is the probe for charging memory to the cgroup. */
		return old_memory && u64_at(call->attr, 8) ? -EINVAL : open("/dev/null", O_RDONLY | O_CLOEXEC);
	default:
		return -EINVAL;
	}
}

static rlim_t limit(void)
{
	struct rlimit now;

	getrlimit(RLIMIT_MEMLOCK, &now);
	return now.rlim_cur;
}

static int map(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "name", 4, 4, 1, NULL);
}

static void new_kernel_body(void)
{
	rlim_t before = limit();

	fake_release = "5.11.0";
	script(a_kernel);
	child_check(map() == 1000);
	/* No probe is loaded, the limit is not raised, and the name is sent. */
	child_check(recorded->count == 1);
	child_check(last_call()->cmd == BPF_MAP_CREATE);
	child_check(!zero(last_call()->attr + 28, 16));
	child_check(limit() == before);
	child_check(libbpf_set_memlock_rlim(4096) == 0);
	child_check(map() == 1000);
	child_check(recorded->count == 2);
	child_check(limit() == before);
}

TEST(on_5_11_and_later_a_map_is_one_call)
{
	COVERS(bpf_map_create, libbpf_set_memlock_rlim);
	in_child(new_kernel_body);
	note_call("bpf_map_create");
	note_call("libbpf_set_memlock_rlim");
}

static void old_kernel_body(void)
{
	fake_release = "5.10.0";
	old_memory = true;
	script(a_kernel);
	child_check(libbpf_set_memlock_rlim(128 * 1024) == 0);
	child_check(libbpf_set_memlock_rlim(64 * 1024) == 0);
	child_check(map() == 1000);
	child_check(limit() == 64 * 1024);
	/* The limit cannot be set after it was raised, and is not raised again. */
	errno = 0;
	child_check(libbpf_set_memlock_rlim(32 * 1024) == -EBUSY && errno == EBUSY);
	struct rlimit own = { 16 * 1024, 64 * 1024 };

	child_check(setrlimit(RLIMIT_MEMLOCK, &own) == 0);
	int calls = recorded->count;

	child_check(map() == 1000);
	child_check(limit() == 16 * 1024);
	child_check(recorded->count == calls + 1);
}

TEST(on_an_older_kernel_the_limit_is_set_once)
{
	COVERS(bpf_map_create, libbpf_set_memlock_rlim);
	in_child(old_kernel_body);
	note_call("bpf_map_create");
	note_call("libbpf_set_memlock_rlim");
}

static void never_body(void)
{
	rlim_t before = limit();

	fake_release = "5.10.0";
	old_memory = true;
	script(a_kernel);
	child_check(libbpf_set_memlock_rlim(0) == 0);
	child_check(map() == 1000);
	child_check(limit() == before);
}

TEST(a_limit_of_zero_means_never)
{
	COVERS(bpf_map_create, libbpf_set_memlock_rlim);
	in_child(never_body);
	note_call("bpf_map_create");
	note_call("libbpf_set_memlock_rlim");
}

static void backport_body(void)
{
	rlim_t before = limit();

	/* An old release that accepts the probe: a vendor's kernel, with the accounting backported. */
	fake_release = "4.18.0-553.el8";
	script(a_kernel);
	child_check(libbpf_set_memlock_rlim(64 * 1024) == 0);
	child_check(map() == 1000);
	child_check(limit() == before);
	child_check(!zero(last_call()->attr + 28, 16));
}

TEST(an_old_release_with_cgroup_accounting_keeps_its_limit)
{
	COVERS(bpf_map_create, libbpf_set_memlock_rlim);
	in_child(backport_body);
	note_call("bpf_map_create");
	note_call("libbpf_set_memlock_rlim");
}

static void nameless_body(void)
{
	static const struct bpf_insn insns[2];

	fake_release = "4.14.0";
	old_names = true;
	script(a_kernel);
	libbpf_set_memlock_rlim(0);
	child_check(map() == 1000);
	child_check(zero(last_call()->attr + 28, 16));
	int calls = recorded->count;

	/* The probe is loaded only once. */
	child_check(map() == 1000);
	child_check(recorded->count == calls + 1);
	child_check(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "name", "GPL", insns, 2, NULL) >= 3);
	child_check(last_call()->cmd == BPF_PROG_LOAD);
	child_check(zero(last_call()->attr + 48, 16));
}

TEST(before_4_15_names_are_not_sent)
{
	COVERS(bpf_map_create, bpf_prog_load);
	in_child(nameless_body);
	note_call("bpf_map_create");
	note_call("bpf_prog_load");
}

/* ---- common attributes ---- */

static bool has_common;

static long common_kernel(struct bpf_call *call, int number)
{
	__u32 true_size = 55;

	(void)number;
	if (!(call->cmd & BPF_COMMON_ATTRS))
		return call->cmd == BPF_MAP_CREATE ? 1000 : -EPERM;
	if (!has_common)
		return -EINVAL;
	if (!call->common)
		return -EFAULT;
	memcpy((char *)(uintptr_t)call->common + 16, &true_size, 4);
	return (call->cmd & ~BPF_COMMON_ATTRS) == BPF_MAP_CREATE ? 1000 : -EPERM;
}

static char map_log[32];

static void common_body(void)
{
	LIBBPF_OPTS(bpf_log_opts, log_opts, .buf = map_log, .size = sizeof(map_log), .level = 3, .true_size = 77);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .log_opts = &log_opts);
	struct bpf_call *call;

	script(common_kernel);
	for (int round = 0; round < 2; round++) {
		log_opts.true_size = 77;
		child_check(bpf_map_create(BPF_MAP_TYPE_ARRAY, "m", 4, 4, 1, &opts) == 1000);
		call = last_call();
		child_check(call->size >= 92);
		if (has_common) {
			child_check(call->cmd == (BPF_MAP_CREATE | BPF_COMMON_ATTRS));
			child_check(call->common_size == 24);
			child_check(u64_at(call->common_attr, 0) == (uintptr_t)map_log);
			child_check(u32_at(call->common_attr, 8) == sizeof(map_log));
			child_check(u32_at(call->common_attr, 12) == 3);
			child_check(u64_at(call->common_attr, 16) == 0);
			child_check(log_opts.true_size == 55);
		} else {
			child_check(call->cmd == BPF_MAP_CREATE);
			child_check(log_opts.true_size == 0);
		}
		/* The kernel is probed for them once. */
		child_check(recorded->count == (round == 0 ? 2 : 3));
	}
	child_check(recorded->calls[0].cmd == (BPF_PROG_LOAD | BPF_COMMON_ATTRS));
	child_check(recorded->calls[0].common == NULL && recorded->calls[0].common_size == 24);
	/* Without a log the kernel is not probed. */
	opts.log_opts = NULL;
	child_check(bpf_map_create(BPF_MAP_TYPE_ARRAY, "m", 4, 4, 1, &opts) == 1000);
	child_check(recorded->count == 4 && last_call()->cmd == BPF_MAP_CREATE);
}

TEST(a_map_log_is_sent_in_the_common_attributes)
{
	COVERS(bpf_map_create);
	has_common = true;
	in_child(common_body);
	note_call("bpf_map_create");
}

TEST(without_common_attributes_the_plain_call_is_made)
{
	COVERS(bpf_map_create);
	has_common = false;
	in_child(common_body);
	note_call("bpf_map_create");
}

/* ---- warnings ---- */

static const char *log_level;

static void warning_body(void)
{
	struct bpf_map_create_opts opts = { .sz = 1 };
	const char *text;
	int ret;

	setenv("LIBBPF_LOG_LEVEL", log_level, 1);
	script(a_kernel);
	capture_stderr();
	ret = bpf_map_create(BPF_MAP_TYPE_ARRAY, "m", 4, 4, 1, &opts);
	int err = errno;

	text = captured_stderr();
	child_check(ret == -EINVAL && err == EINVAL);
	child_check(!strncmp(text, "libbpf: ", 8) && strstr(text, "bpf_map_create_opts"));
	child_check(strchr(text, '\n') == text + strlen(text) - 1);
}

TEST(no_log_level_silences_a_warning)
{
	COVERS(bpf_map_create);
	static const char *const levels[] = { "warn", "info", "debug", "WARN", "nonsense", "" };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		log_level = levels[i];
		in_child(warning_body);
	}
	note_call("bpf_map_create");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(on_5_11_and_later_a_map_is_one_call),
		T(on_an_older_kernel_the_limit_is_set_once),
		T(a_limit_of_zero_means_never),
		T(an_old_release_with_cgroup_accounting_keeps_its_limit),
		T(before_4_15_names_are_not_sent),
		T(a_map_log_is_sent_in_the_common_attributes),
		T(without_common_attributes_the_plain_call_is_made),
		T(no_log_level_silences_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
