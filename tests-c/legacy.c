/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libbpf_get_error, libbpf_set_strict_mode and libbpf_set_memlock_rlim. */
#include "support.h"

#include <sys/resource.h>
#include <sys/wait.h>

TEST(error_pointers_are_recognised)
{
	COVERS(libbpf_get_error);
	int here;

	assert_returns(0, libbpf_get_error(&here));
	assert_returns(0, libbpf_get_error((void *)1));
	assert_returns(0, libbpf_get_error((void *)-4096L));
	assert_fails(ENOENT, libbpf_get_error((void *)(long)-ENOENT));
	assert_fails(1, libbpf_get_error((void *)-1L));
	assert_fails(4095, libbpf_get_error((void *)-4095L));
	/* For NULL the error is in errno already. */
	errno = EBUSY;
	assert_int_equal(libbpf_get_error(NULL), -EBUSY);
	assert_int_equal(errno, EBUSY);
	errno = 0;
	assert_int_equal(libbpf_get_error(NULL), 0);
}

TEST(strict_mode_is_accepted_and_changes_nothing)
{
	COVERS(libbpf_set_strict_mode);
	assert_ok(libbpf_set_strict_mode(LIBBPF_STRICT_ALL));
	assert_ok(libbpf_set_strict_mode(LIBBPF_STRICT_NONE));
	assert_ok(libbpf_set_strict_mode(LIBBPF_STRICT_CLEAN_PTRS | LIBBPF_STRICT_DIRECT_ERRS));
	assert_ok(libbpf_set_strict_mode(12345));
}

/* Runs in a process of its own, because the library keeps state. Returns the number of the step that failed, or 0. */
static int memlock_steps(void)
{
	struct rlimit before, after;
	int fd;

	if (getrlimit(RLIMIT_MEMLOCK, &before))
		return 1;
	/* The limit may be set any number of times before the first load. */
	if (libbpf_set_memlock_rlim(1 << 20) || libbpf_set_memlock_rlim(0) || libbpf_set_memlock_rlim(1 << 22))
		return 2;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "m", 4, 4, 1, NULL);
	if (fd < 0)
		return 3;
	close(fd);
	if (getrlimit(RLIMIT_MEMLOCK, &after))
		return 4;
	if (after.rlim_cur == before.rlim_cur && after.rlim_max == before.rlim_max)
		/* This kernel charges memory to the cgroup. The limit was not raised, so it may still be set. */
		return libbpf_set_memlock_rlim(1 << 20) ? 5 : 0;
	if (after.rlim_cur != 1 << 22 || after.rlim_max != 1 << 22)
		return 6;
	errno = 0;
	return libbpf_set_memlock_rlim(1 << 20) == -EBUSY && errno == EBUSY ? 0 : 7;
}

TEST(the_memory_limit_is_raised_only_where_the_kernel_charges_it)
{
	COVERS(libbpf_set_memlock_rlim);
	int status;

	fflush(stdout);
	pid_t child = fork();

	if (!child)
		_exit(memlock_steps());
	note_call("libbpf_set_memlock_rlim");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(error_pointers_are_recognised),
		T(strict_mode_is_accepted_and_changes_nothing),
		T(the_memory_limit_is_raised_only_where_the_kernel_charges_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
