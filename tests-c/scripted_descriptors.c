/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A kernel that returns descriptors 0, 1 and 2, which the library must not return. */
#include "script.h"

static const struct bpf_insn insns[2];

/* Every function that returns a descriptor. */
static int map_create(void) { return bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL); }
static int prog_load(void) { return bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, NULL); }
static int btf_load(void) { return bpf_btf_load("", 1, NULL); }
static int obj_get(void) { return bpf_obj_get("x"); }
static int obj_get_opts(void) { return bpf_obj_get_opts("x", NULL); }
static int map_by_id(void) { return bpf_map_get_fd_by_id(1); }
static int prog_by_id(void) { return bpf_prog_get_fd_by_id(1); }
static int btf_by_id(void) { return bpf_btf_get_fd_by_id(1); }
static int link_by_id(void) { return bpf_link_get_fd_by_id(1); }
static int map_by_id_opts(void) { return bpf_map_get_fd_by_id_opts(1, NULL); }
static int prog_by_id_opts(void) { return bpf_prog_get_fd_by_id_opts(1, NULL); }
static int btf_by_id_opts(void) { return bpf_btf_get_fd_by_id_opts(1, NULL); }
static int link_by_id_opts(void) { return bpf_link_get_fd_by_id_opts(1, NULL); }
static int raw_tp(void) { return bpf_raw_tracepoint_open("x", 5); }
static int raw_tp_opts(void) { return bpf_raw_tracepoint_open_opts(5, NULL); }
static int link_create(void) { return bpf_link_create(5, 6, BPF_XDP, NULL); }
static int iter_create(void) { return bpf_iter_create(5); }
static int enable_stats(void) { return bpf_enable_stats(0); }
static int token_create(void) { return bpf_token_create(5, NULL); }

static int (*const openers[])(void) = {
	map_create, prog_load, btf_load, obj_get, obj_get_opts, map_by_id, prog_by_id, btf_by_id, link_by_id, map_by_id_opts,
	prog_by_id_opts, btf_by_id_opts, link_by_id_opts, raw_tp, raw_tp_opts, link_create, iter_create, enable_stats, token_create,
};

#define COVERS_ALL() COVERS(bpf_map_create, bpf_prog_load, bpf_btf_load, bpf_obj_get, bpf_obj_get_opts, bpf_map_get_fd_by_id, \
	bpf_prog_get_fd_by_id, bpf_btf_get_fd_by_id, bpf_link_get_fd_by_id, bpf_map_get_fd_by_id_opts, bpf_prog_get_fd_by_id_opts, \
	bpf_btf_get_fd_by_id_opts, bpf_link_get_fd_by_id_opts, bpf_raw_tracepoint_open, bpf_raw_tracepoint_open_opts, bpf_link_create, \
	bpf_iter_create, bpf_enable_stats, bpf_token_create)

/* A new descriptor: the lowest free one, as the kernel returns. */
static long lowest(struct bpf_call *call, int number)
{
	(void)call, (void)number;
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

TEST(a_low_descriptor_is_moved_to_3_or_above)
{
	COVERS_ALL();
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		for (int number = 0; number < 3; number++) {
			int fd, err, flags, still, lowest_free = wild_fd();

			script(lowest);
			close_low_fds();
			/* Occupy the descriptors below the one to be returned. */
			for (int n = 0; n < number; n++)
				open("/dev/null", O_RDONLY | O_CLOEXEC);
			errno = ERRNO_MARK;
			fd = openers[i]();
			err = errno;
			flags = fcntl(fd, F_GETFD);
			still = fcntl(number, F_GETFD);
			for (int n = 0; n < number; n++)
				close(n);
			restore_low_fds();
			/* The lowest free descriptor from 3 on, close-on-exec; errno is unchanged, and the low descriptor is closed. */
			if (fd != lowest_free || flags < 0 || !(flags & FD_CLOEXEC) || err != ERRNO_MARK || still >= 0)
				fail_msg("opener %zu, kernel's answer %d: returned %d (wanted %d), flags %d, errno %d, low one %s", i, number, fd,
					 lowest_free, flags, err, still >= 0 ? "open" : "closed");
			close(fd);
		}
	}
}

TEST(a_failing_move_closes_the_low_descriptor)
{
	COVERS_ALL();
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		int ret, err, still;

		script(lowest);
		close_low_fds();
		/* Only descriptors below 3 are free. */
		exhaust_fds();
		errno = 0;
		ret = openers[i]();
		err = errno;
		still = fcntl(0, F_GETFD);
		release_fds();
		restore_low_fds();
		if (!((ret == -EMFILE && err == EMFILE) || (ret == -EINVAL && err == EINVAL)) || still >= 0)
			fail_msg("opener %zu: returned %d, errno %d, the low descriptor is %s", i, ret, err, still >= 0 ? "open" : "closed");
	}
}

TEST(higher_descriptors_are_not_moved)
{
	COVERS_ALL();
	static const int numbers[] = { 3, 4, 1000, INT_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(openers); i++)
		for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
			script_value(numbers[n]);
			assert_returns(numbers[n], openers[i]());
			assert_int_equal(recorded->count, 1);
		}
}

TEST(errors_are_returned_negative_and_in_errno)
{
	COVERS_ALL();
	static const int errors[] = { EPERM, EINTR, EMFILE, ENOSYS, 524, 4095 };

	for (size_t i = 0; i < ARRAY_SIZE(openers); i++)
		for (size_t n = 0; n < ARRAY_SIZE(errors); n++) {
			script_value(-errors[n]);
			assert_fails(errors[n], openers[i]());
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_low_descriptor_is_moved_to_3_or_above),
		T(a_failing_move_closes_the_low_descriptor),
		T(higher_descriptors_are_not_moved),
		T(errors_are_returned_negative_and_in_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
