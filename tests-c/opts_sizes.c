/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Opts structs of older and newer callers on the running kernel. (scripted_opts_sizes.c has every struct at every size.) */
#include "support.h"

static const struct bpf_insn good[] = { MOV_IMM(0, 3), EXIT() };

/* The struct of a caller that knows only the members before a given one. An unmapped page follows it. */
#define OLDER(opts, next_member) ({ \
	size_t len_ = offsetof(__typeof__(opts), next_member); \
	(opts).sz = len_; \
	memcpy(before_guard(len_), &(opts), len_); \
	before_guard(len_); \
})

TEST(an_older_callers_struct_is_not_read_past_its_end)
{
	COVERS(bpf_map_create, bpf_prog_load, bpf_prog_test_run_opts, bpf_map_update_batch, bpf_map_get_fd_by_id_opts);
	LIBBPF_OPTS(bpf_map_create_opts, map_opts, .map_flags = BPF_F_NO_PREALLOC);
	LIBBPF_OPTS(bpf_prog_load_opts, prog_opts, .attempts = 1);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, by_id);
	__u32 key = 1, value = 2, count = 1;
	int map = assert_fd(bpf_map_create(BPF_MAP_TYPE_HASH, "old", 4, 4, 1, OLDER(map_opts, map_extra)));
	int prog = assert_fd(bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "old", "GPL", good, ARRAY_SIZE(good), OLDER(prog_opts, log_level)));

	assert_ok(bpf_prog_test_run_opts(prog, OLDER(run, flags)));
	assert_int_equal(((struct bpf_test_run_opts *)OLDER(run, flags))->sz, offsetof(struct bpf_test_run_opts, flags));
	assert_ok(bpf_map_update_batch(map, &key, &value, &count, OLDER(batch, flags)));
	close(assert_fd(bpf_map_get_fd_by_id_opts(map_id(map), OLDER(by_id, open_flags))));
	close(prog);
	close(map);
}

TEST(outputs_are_written_only_within_the_callers_struct)
{
	COVERS(bpf_prog_test_run_opts, bpf_prog_load, bpf_btf_load);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 3);
	char log[4096], blob[512];
	struct bpf_test_run_opts run;
	struct bpf_prog_load_opts load;
	struct bpf_btf_load_opts btf;

	for (size_t sz = sizeof(size_t); sz <= sizeof(run); sz++) {
		memset(&run, 0, sizeof(run));
		memset((char *)&run + sz, 0xee, sizeof(run) - sz);
		run.sz = sz;
		assert_ok(bpf_prog_test_run_opts(prog, &run));
		if (sz >= offsetof(struct bpf_test_run_opts, retval) + sizeof(run.retval))
			assert_int_equal(run.retval, 3);
		for (size_t i = sz; i < sizeof(run); i++)
			assert_int_equal(((unsigned char *)&run)[i], 0xee);
	}
	/* log_true_size is after the other members of the log. */
	for (size_t sz = offsetof(struct bpf_prog_load_opts, log_true_size); sz <= sizeof(load); sz++) {
		memset(&load, 0, sizeof(load));
		load.log_level = 1;
		load.log_buf = log;
		load.log_size = sizeof(log);
		memset((char *)&load + sz, 0xee, sizeof(load) - sz);
		load.sz = sz;
		close(assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "log", "GPL", good, ARRAY_SIZE(good), &load)));
		for (size_t i = sz; i < sizeof(load); i++)
			assert_int_equal(((unsigned char *)&load)[i], 0xee);
	}
	for (size_t sz = offsetof(struct bpf_btf_load_opts, log_true_size); sz <= sizeof(btf); sz++) {
		memset(&btf, 0, sizeof(btf));
		btf.log_level = 1;
		btf.log_buf = log;
		btf.log_size = sizeof(log);
		memset((char *)&btf + sz, 0xee, sizeof(btf) - sz);
		btf.sz = sz;
		close(assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), &btf)));
		for (size_t i = sz; i < sizeof(btf); i++)
			assert_int_equal(((unsigned char *)&btf)[i], 0xee);
	}
	close(prog);
}

TEST(a_newer_caller_may_set_only_known_members)
{
	COVERS(bpf_map_create, bpf_prog_load, bpf_prog_query_opts);
	struct { struct bpf_map_create_opts opts; __u64 newer[4]; } map = { .opts.sz = sizeof(map) };
	struct { struct bpf_prog_load_opts opts; __u64 newer[4]; } prog = { .opts.sz = sizeof(prog) };
	struct { struct bpf_prog_query_opts opts; __u64 newer[4]; } query = { .opts.sz = sizeof(query) };

	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "new", 4, 4, 1, &map.opts)));
	close(assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "new", "GPL", good, ARRAY_SIZE(good), &prog.opts)));
	map.newer[3] = 1;
	prog.newer[0] = 1;
	query.newer[1] = 1;
	capture_stderr();
	int map_ret = bpf_map_create(BPF_MAP_TYPE_ARRAY, "new", 4, 4, 1, &map.opts), map_errno = errno;
	assert_one_warning(captured_stderr());
	assert_true(map_ret == -EINVAL && map_errno == EINVAL);
	capture_stderr();
	int prog_ret = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "new", "GPL", good, ARRAY_SIZE(good), &prog.opts), prog_errno = errno;
	assert_one_warning(captured_stderr());
	assert_true(prog_ret == -EINVAL && prog_errno == EINVAL);
	capture_stderr();
	int query_ret = bpf_prog_query_opts(-1, 0, &query.opts), query_errno = errno;
	assert_one_warning(captured_stderr());
	assert_true(query_ret == -EINVAL && query_errno == EINVAL);
}

TEST(log_opts_are_checked_like_every_opts_struct)
{
	COVERS(bpf_map_create);
	struct { struct bpf_log_opts opts; __u64 newer; } log = { .opts.sz = sizeof(log), .newer = 1 };
	LIBBPF_OPTS(bpf_map_create_opts, opts, .log_opts = &log.opts);

	capture_stderr();
	int ret = bpf_map_create(BPF_MAP_TYPE_ARRAY, "log", 4, 4, 1, &opts), err = errno;
	assert_one_warning(captured_stderr());
	assert_true(ret == -EINVAL && err == EINVAL);
	log.newer = 0;
	close(assert_fd_at_last(bpf_map_create(BPF_MAP_TYPE_ARRAY, "log", 4, 4, 1, &opts)));
}

TEST(the_macros_initialise_opts_structs)
{
	COVERS(bpf_map_create);
	/* Everything not initialised is zero, including padding, and a reset clears all members. */
	struct bpf_map_create_opts zero;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = 5, .numa_node = 6);
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, other);

	memset(&zero, 0, sizeof(zero));
	zero.sz = sizeof(zero);
	assert_int_equal(other.sz, sizeof(other));
	assert_int_equal(opts.sz, sizeof(opts));
	assert_int_equal(opts.map_flags, 5);
	LIBBPF_OPTS_RESET(opts, .numa_node = 7);
	assert_int_equal(opts.map_flags, 0);
	assert_int_equal(opts.numa_node, 7);
	LIBBPF_OPTS_RESET(opts);
	assert_memory_equal(&opts, &zero, sizeof(opts));
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "macro", 4, 4, 1, &opts)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_older_callers_struct_is_not_read_past_its_end),
		T(outputs_are_written_only_within_the_callers_struct),
		T(a_newer_caller_may_set_only_known_members),
		T(log_opts_are_checked_like_every_opts_struct),
		T(the_macros_initialise_opts_structs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
