/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* New descriptors while 0, 1 and 2 are closed, and while the limit is reached. */
#include "support.h"

static const struct bpf_insn insns[] = { MOV_IMM(0, 0), EXIT() };
static char blob[512];
static size_t blob_size;
static int tracer;

static int open_map(void) { return bpf_map_create(BPF_MAP_TYPE_ARRAY, "low", 4, 4, 1, NULL); }
static int open_prog(void) { return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "low", "GPL", insns, ARRAY_SIZE(insns), NULL); }
static int open_btf(void) { return bpf_btf_load(blob, blob_size, NULL); }
static int open_tracepoint(void) { return bpf_raw_tracepoint_open("sys_enter", tracer); }
static int open_stats(void) { return bpf_enable_stats(BPF_STATS_RUN_TIME); }
static int (*const openers[])(void) = { open_map, open_prog, open_btf, open_tracepoint, open_stats };

static void set_up(void)
{
	blob_size = small_btf(blob, sizeof(blob));
	tracer = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
}

TEST(with_0_1_and_2_closed_descriptors_are_3_or_more)
{
	COVERS(bpf_map_create, bpf_prog_load, bpf_btf_load, bpf_raw_tracepoint_open, bpf_enable_stats);
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		int fd, err, flags, low_open = 0;

		close_low_fds();
		errno = ERRNO_MARK;
		fd = openers[i]();
		err = errno;
		flags = fcntl(fd, F_GETFD);
		for (int n = 0; n < 3; n++)
			low_open += fcntl(n, F_GETFD) >= 0;
		restore_low_fds();
		if (fd < 3 || err != ERRNO_MARK || flags < 0 || !(flags & FD_CLOEXEC) || low_open)
			fail_msg("opener %zu: returned %d, errno %d, flags %d, %d low descriptors open", i, fd, err, flags, low_open);
		close(fd);
	}
	close(tracer);
}

TEST(at_the_limit_calls_return_emfile_and_nothing_leaks)
{
	COVERS(bpf_map_create, bpf_prog_load, bpf_btf_load, bpf_raw_tracepoint_open, bpf_enable_stats);
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		int before = count_fds(), ret, err;

		exhaust_fds();
		errno = 0;
		ret = openers[i]();
		err = errno;
		release_fds();
		if (ret != -EMFILE || err != EMFILE || count_fds() != before)
			fail_msg("opener %zu: returned %d, errno %d, %d descriptors before, %d after", i, ret, err, before, count_fds());
	}
	close(tracer);
}

TEST(at_the_limit_with_a_low_descriptor_free_nothing_leaks)
{
	COVERS(bpf_map_create, bpf_prog_load, bpf_btf_load, bpf_raw_tracepoint_open, bpf_enable_stats);
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		int ret, err, still;

		close_low_fds();
		exhaust_fds();
		errno = 0;
		ret = openers[i]();
		err = errno;
		still = fcntl(0, F_GETFD);
		release_fds();
		restore_low_fds();
		/* The kernel returns descriptor 0, but no other number is free to move it to. */
		if (!((ret == -EMFILE && err == EMFILE) || (ret == -EINVAL && err == EINVAL)) || still >= 0)
			fail_msg("opener %zu: returned %d, errno %d, number 0 is %s", i, ret, err, still >= 0 ? "open" : "closed");
	}
	close(tracer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(with_0_1_and_2_closed_descriptors_are_3_or_more),
		T(at_the_limit_calls_return_emfile_and_nothing_leaks),
		T(at_the_limit_with_a_low_descriptor_free_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
