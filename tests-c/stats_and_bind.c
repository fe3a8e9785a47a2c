/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Run-time statistics, and maps bound to programs that do not refer to them. */
#include "support.h"

static struct bpf_prog_info info_of(int prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	assert_ok(bpf_prog_get_info_by_fd(prog, &info, &len));
	return info;
}

TEST(runs_are_counted_while_the_descriptor_is_open)
{
	COVERS(bpf_enable_stats);
	/* Test runs are not counted, so the program is run by system calls. */
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int tracepoint = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));
	int stats = assert_fd(bpf_enable_stats(BPF_STATS_RUN_TIME));

	for (int i = 0; i < 100; i++)
		(void)getppid();
	assert_true(info_of(prog).run_cnt >= 100);
	close(stats);
	close(tracepoint);
	close(prog);
	assert_fails(EINVAL, bpf_enable_stats(77));
	assert_fails(EINVAL, bpf_enable_stats(UINT32_MAX));
}

TEST(a_map_is_bound_to_a_program)
{
	COVERS(bpf_prog_bind_map);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0), map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	const int wild[] = { -1, 9999, wild_fd() };
	LIBBPF_OPTS(bpf_prog_bind_opts, opts);
	LIBBPF_OPTS(bpf_prog_bind_opts, flags, .flags = 1);

	assert_ok(bpf_prog_bind_map(prog, map, &opts));
	assert_int_equal(info_of(prog).nr_map_ids, 1);
	/* Binding it again changes nothing. */
	assert_ok(bpf_prog_bind_map(prog, map, NULL));
	assert_int_equal(info_of(prog).nr_map_ids, 1);
	assert_fails(EINVAL, bpf_prog_bind_map(prog, map, &flags));
	assert_fails(EINVAL, bpf_prog_bind_map(map, prog, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_prog_bind_map(wild[i], map, NULL));
		assert_fails(EBADF, bpf_prog_bind_map(prog, wild[i], NULL));
	}
	close(map);
	close(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(runs_are_counted_while_the_descriptor_is_open),
		T(a_map_is_bound_to_a_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
