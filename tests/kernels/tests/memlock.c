/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * RLIMIT_MEMLOCK: on a kernel that charges BPF memory to it, the library raises
 * it once, before the first map, program or BTF object of a process; on other
 * kernels never. Because it is done once, each case runs in a process of its own.
 */
#include "support.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Less than what any map of the tests is charged. */
#define TINY 4096
/* More than they need together. */
#define AMPLE (64UL << 20)

/* Runs a case in a child process, which reports its own failures. Fails the test if the case fails. */
static void in_child(void (*run)(void))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		run();
		fflush(stdout);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the child process failed (status %#x)", status);
}

/* Used in a child, where a failed assertion of cmocka would go on with the parent's tests. */
#define must(condition) do { \
	if (!(condition)) { \
		printf("# %s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

static void set_soft_limit(rlim_t soft)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	limit.rlim_cur = soft;
	must(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

/* Called by the library. It can be slowed down, so that threads are in it at the same time. */
static bool slow;
int slow_setrlimit(int resource, const struct rlimit *limit) __asm__("setrlimit");
int slow_setrlimit(int resource, const struct rlimit *limit)
{
	if (slow)
		usleep(50000);
	return prlimit(0, resource, limit, NULL);
}

static struct rlimit current_limit(void)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	return limit;
}

static int charged_map(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "charged", 4, 8192, 4, NULL);
}

static int load_program(void)
{
	struct bpf_insn insns[] = { MOV_IMM(0, 0), EXIT() };

	return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "charged", "GPL", insns, ARRAY_SIZE(insns), NULL);
}

/* Whether the kernel creates a map while the limit is 0. Does not use the library. */
static bool kernel_charges_the_limit(void)
{
	struct rlimit before, none;
	struct { __u32 type, key, value, entries, flags; } attr = { BPF_MAP_TYPE_ARRAY, 4, 8192, 4, 0 };

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	int fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	int err = errno;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
	if (fd >= 0) {
		close(fd);
		return false;
	}
	assert_int_equal(err, EPERM);
	return true;
}

static void raised_for_a_map_and_never_again(void)
{
	set_soft_limit(TINY);
	must(charged_map() >= 3);
	must(current_limit().rlim_cur == RLIM_INFINITY);
	must(current_limit().rlim_max == RLIM_INFINITY);
	set_soft_limit(TINY);
	must(charged_map() == -EPERM && errno == EPERM);
	must(load_program() == -EPERM && errno == EPERM);
	must(current_limit().rlim_cur == TINY);
}

/* Enough for a few maps of charged_map(), but not for all threads' maps. */
#define FOR_A_FEW (64UL << 10)
enum { THREADS = 64 };

static pthread_barrier_t start;

static void *first_map(void *result)
{
	pthread_barrier_wait(&start);
	*(int *)result = charged_map();
	return NULL;
}

static void simultaneous_first_maps(void)
{
	pthread_t threads[THREADS];
	int results[THREADS];

	set_soft_limit(FOR_A_FEW);
	slow = true;
	must(pthread_barrier_init(&start, NULL, THREADS) == 0);
	for (int i = 0; i < THREADS; i++)
		must(pthread_create(&threads[i], NULL, first_map, &results[i]) == 0);
	for (int i = 0; i < THREADS; i++) {
		must(pthread_join(threads[i], NULL) == 0);
		must(results[i] >= 3);
	}
	must(current_limit().rlim_cur == RLIM_INFINITY);
	/* The limit is not raised a second time. */
	must(libbpf_set_memlock_rlim(AMPLE) == -EBUSY);
}

static void raised_for_a_program(void)
{
	set_soft_limit(0);
	must(load_program() >= 3);
	must(current_limit().rlim_cur == RLIM_INFINITY);
}

static void raised_for_btf(void)
{
	set_soft_limit(TINY);
	must(bpf_btf_load("", 0, NULL) == -EINVAL && errno == EINVAL);
	must(current_limit().rlim_cur == RLIM_INFINITY);
}

static void raised_to_what_was_asked(void)
{
	set_soft_limit(TINY);
	must(libbpf_set_memlock_rlim(AMPLE * 2) == 0);
	must(libbpf_set_memlock_rlim(AMPLE) == 0);
	must(current_limit().rlim_cur == TINY);
	must(charged_map() >= 3);
	must(current_limit().rlim_cur == AMPLE && current_limit().rlim_max == AMPLE);
	must(libbpf_set_memlock_rlim(AMPLE * 2) == -EBUSY && errno == EBUSY);
	must(current_limit().rlim_cur == AMPLE);
}

static void never_raised_when_disabled(void)
{
	set_soft_limit(0);
	must(libbpf_set_memlock_rlim(0) == 0);
	must(charged_map() == -EPERM && errno == EPERM);
	must(load_program() == -EPERM && errno == EPERM);
	must(current_limit().rlim_cur == 0);
	/* The limit would not be raised later either. */
	must(libbpf_set_memlock_rlim(AMPLE) == -EBUSY && errno == EBUSY);
	must(charged_map() == -EPERM);
	must(current_limit().rlim_cur == 0);
}

static void left_alone(void)
{
	struct rlimit hard = current_limit();

	set_soft_limit(TINY);
	must(charged_map() >= 3);
	must(load_program() >= 3);
	must(bpf_btf_load("", 0, NULL) == -EINVAL);
	must(current_limit().rlim_cur == TINY && current_limit().rlim_max == hard.rlim_max);
	must(libbpf_set_memlock_rlim(AMPLE) == 0);
	must(charged_map() >= 3);
	must(current_limit().rlim_cur == TINY && current_limit().rlim_max == hard.rlim_max);
	must(libbpf_set_memlock_rlim(0) == 0);
}

#define NEEDS_CHARGING() do { \
	if (!kernel_charges_the_limit()) \
		skip_test("this kernel does not charge BPF memory to RLIMIT_MEMLOCK"); \
} while (0)

TEST(the_limit_is_raised_for_the_first_map_and_never_again)
{
	NEEDS_CHARGING();
	in_child(raised_for_a_map_and_never_again);
}

TEST(no_thread_creates_its_first_map_before_the_limit_is_raised)
{
	NEEDS_CHARGING();
	in_child(simultaneous_first_maps);
}

TEST(the_limit_is_raised_for_a_first_program)
{
	NEEDS_CHARGING();
	in_child(raised_for_a_program);
}

TEST(the_limit_is_raised_for_a_first_btf)
{
	NEEDS_CHARGING();
	in_child(raised_for_btf);
}

TEST(the_limit_is_raised_to_the_set_value_and_then_fixed)
{
	NEEDS_CHARGING();
	in_child(raised_to_what_was_asked);
}

TEST(with_raising_disabled_a_tiny_limit_is_eperm)
{
	NEEDS_CHARGING();
	in_child(never_raised_when_disabled);
}

TEST(the_limit_is_unchanged_if_the_kernel_does_not_charge_it)
{
	if (kernel_charges_the_limit())
		skip_test("this kernel charges BPF memory to RLIMIT_MEMLOCK (covered by the other tests)");
	in_child(left_alone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_limit_is_raised_for_the_first_map_and_never_again),
		T(no_thread_creates_its_first_map_before_the_limit_is_raised),
		T(the_limit_is_raised_for_a_first_program),
		T(the_limit_is_raised_for_a_first_btf),
		T(the_limit_is_raised_to_the_set_value_and_then_fixed),
		T(with_raising_disabled_a_tiny_limit_is_eperm),
		T(the_limit_is_unchanged_if_the_kernel_does_not_charge_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
