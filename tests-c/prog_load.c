/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_prog_load: valid and invalid programs, the verifier log, the checks before the system call. */
#include "support.h"

static const struct bpf_insn good[] = { MOV_IMM(0, 0), EXIT() };
/* r0 is not initialised. */
static const struct bpf_insn bad[] = { EXIT() };

#define LOAD_GOOD(opts) bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "good", "GPL", good, ARRAY_SIZE(good), opts)
#define LOAD_BAD(opts) bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "bad", "GPL", bad, ARRAY_SIZE(bad), opts)

TEST(a_program_is_loaded)
{
	COVERS(bpf_prog_load);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = assert_fd(LOAD_GOOD(NULL));

	assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.type, BPF_PROG_TYPE_SOCKET_FILTER);
	assert_int_equal(info.xlated_prog_len, sizeof(good));
	assert_string_equal(info.name, "good");
	assert_int_equal(info.gpl_compatible, 1);
	close(fd);
	assert_fails(EACCES, LOAD_BAD(NULL));
}

TEST(names_of_any_length_are_cut_at_15)
{
	COVERS(bpf_prog_load);
	const size_t lengths[] = { 0, 1, 15, 16, 100 };
	char name[101];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		memset(name, 'p', sizeof(name));
		name[lengths[i]] = '\0';
		int fd = assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, name, "GPL", good, ARRAY_SIZE(good), NULL));

		assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
		assert_int_equal(strlen(info.name), lengths[i] < 15 ? lengths[i] : 15);
		close(fd);
	}
	close(assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, ARRAY_SIZE(good), NULL)));
	assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "a b", "GPL", good, ARRAY_SIZE(good), NULL));
}

TEST(a_valid_program_is_logged_only_on_request)
{
	COVERS(bpf_prog_load);
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_true_size = 77);

	close(assert_fd(LOAD_GOOD(&opts)));
	assert_string_equal(log, "");
	assert_int_equal(opts.log_true_size, 0);
	opts.log_level = 1;
	close(assert_fd(LOAD_GOOD(&opts)));
	assert_non_null(strstr(log, "processed 2 insns"));
	if (kernel_knows("log_true_size"))
		assert_int_equal(opts.log_true_size, strlen(log) + 1);
	else
		assert_int_equal(opts.log_true_size, 0);
}

TEST(a_rejected_program_is_logged_even_at_level_0)
{
	COVERS(bpf_prog_load);
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log));

	assert_fails(EACCES, LOAD_BAD(&opts));
	assert_non_null(strstr(log, "R0 !read_ok"));
	opts.log_level = 2;
	memset(log, 0, sizeof(log));
	assert_fails(EACCES, LOAD_BAD(&opts));
	assert_non_null(strstr(log, "R0 !read_ok"));
}

TEST(too_small_a_log_is_enospc_with_its_true_size)
{
	COVERS(bpf_prog_load);
	char log[64];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = 8, .log_level = 1);

	memset(log, 'c', sizeof(log));
	/* Kernels before 6.4 require at least 128 bytes. */
	if (!kernel_knows("log_true_size")) {
		assert_fails(EINVAL, LOAD_GOOD(&opts));
		skip_test("this kernel has no log_true_size (a log below 128 bytes fails with EINVAL, as expected)");
	}
	assert_fails(ENOSPC, LOAD_GOOD(&opts));
	assert_true(opts.log_true_size > 8);
	for (size_t i = 8; i < sizeof(log); i++)
		assert_int_equal(log[i], 'c');
}

TEST(log_arguments_must_agree)
{
	COVERS(bpf_prog_load);
	char log[4096];
	LIBBPF_OPTS(bpf_prog_load_opts, no_size, .log_buf = log);
	LIBBPF_OPTS(bpf_prog_load_opts, no_buf, .log_size = sizeof(log));
	LIBBPF_OPTS(bpf_prog_load_opts, level_alone, .log_level = 1);

	assert_fails(EINVAL, LOAD_GOOD(&no_size));
	assert_fails(EINVAL, LOAD_GOOD(&no_buf));
	/* A level without a buffer is left to the kernel: rejected before 6.4, accepted since. */
	if (kernel_knows("log_true_size"))
		close(assert_fd(LOAD_GOOD(&level_alone)));
	else
		assert_fails(EINVAL, LOAD_GOOD(&level_alone));
}

TEST(counts_and_attempts_are_checked)
{
	COVERS(bpf_prog_load);
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	const int fine[] = { 0, 1, INT_MAX };

	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, 0, NULL));
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, UINT32_MAX, NULL));
#if SIZE_MAX > UINT32_MAX
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, (size_t)UINT32_MAX + 1, NULL));
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, SIZE_MAX, NULL));
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", good, ((size_t)1 << 32) + 2, NULL));
#endif
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		opts.attempts = fine[i];
		close(assert_fd(LOAD_GOOD(&opts)));
	}
	opts.attempts = -1;
	assert_fails(EINVAL, LOAD_GOOD(&opts));
	opts.attempts = INT_MIN;
	assert_fails(EINVAL, LOAD_GOOD(&opts));
}

TEST(options_reach_the_kernel)
{
	COVERS(bpf_prog_load);
	int token = open("/dev/null", O_RDONLY | O_CLOEXEC);
	LIBBPF_OPTS(bpf_prog_load_opts, type, .expected_attach_type = BPF_CGROUP_INET_EGRESS);
	LIBBPF_OPTS(bpf_prog_load_opts, flags, .prog_flags = 1U << 31);
	LIBBPF_OPTS(bpf_prog_load_opts, btf, .prog_btf_fd = 9999, .func_info = good, .func_info_cnt = 1, .func_info_rec_size = 8);
	LIBBPF_OPTS(bpf_prog_load_opts, target, .expected_attach_type = BPF_TRACE_RAW_TP, .attach_btf_id = 1, .attach_prog_fd = 9999);
	LIBBPF_OPTS(bpf_prog_load_opts, both, .attach_btf_id = 1, .attach_prog_fd = 5, .attach_btf_obj_fd = 6);
	LIBBPF_OPTS(bpf_prog_load_opts, device, .prog_ifindex = 1 << 30);
	LIBBPF_OPTS(bpf_prog_load_opts, with_token, .prog_flags = BPF_F_TOKEN_FD, .token_fd = token);

	close(assert_fd(bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, NULL, "GPL", good, ARRAY_SIZE(good), &type)));
	type.expected_attach_type = BPF_CGROUP_INET4_BIND;
	assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, NULL, "GPL", good, ARRAY_SIZE(good), &type));
	assert_fails(EINVAL, LOAD_GOOD(&flags));
	assert_fails_either(EBADF, EINVAL, LOAD_GOOD(&btf));
	assert_fails_either(EBADF, EINVAL, bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "GPL", good, ARRAY_SIZE(good), &target));
	assert_fails(EINVAL, LOAD_GOOD(&both));
	assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", good, ARRAY_SIZE(good), &device));
	/* An invalid token. Kernels before 6.9 do not know tokens. */
	assert_fails_either(EINVAL, E2BIG, LOAD_GOOD(&with_token));
	close(token);
	assert_fails(EINVAL, bpf_prog_load(9999, NULL, "GPL", good, ARRAY_SIZE(good), NULL));
	assert_fails(EFAULT, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, NULL, good, ARRAY_SIZE(good), NULL));
	assert_fails(EFAULT, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", NULL, 2, NULL));
}

TEST(the_licence_decides_which_helpers_may_be_called)
{
	COVERS(bpf_prog_load);
	/* Any program may call the clock helper; only GPL programs may call the one for event output. */
	struct bpf_insn insns[] = { MOV_IMM(1, 0), MOV_IMM(2, 1), CALL(BPF_FUNC_probe_read), MOV_IMM(0, 0), EXIT() };
	int ret = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, NULL, "proprietary", insns, ARRAY_SIZE(insns), NULL);

	assert_true(ret == -EINVAL && errno == EINVAL);
}

TEST(maps_are_found_through_fd_array)
{
	COVERS(bpf_prog_load);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	const int fds[] = { -1, map };
	/* The instruction refers to the map by its index in the array. */
	struct bpf_insn insns[] = {
		INSN(BPF_LD | BPF_DW | BPF_IMM, 1, 5 /* BPF_PSEUDO_MAP_IDX */, 0, 1), INSN(0, 0, 0, 0, 0), MOV_IMM(0, 0), EXIT(),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = fds);

	/* The array is as old as this program type. (Its own name occurs in older kernels too.) */
	if (!kernel_knows("BPF_PROG_TYPE_SYSCALL")) {
		assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", insns, ARRAY_SIZE(insns), &opts));
		close(map);
		skip_test("this kernel has no fd_array (E2BIG, as expected)");
	}
	int fd = assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", insns, ARRAY_SIZE(insns), &opts));
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.nr_map_ids, 1);
	close(fd);
	close(map);
}

TEST(fd_array_cnt_binds_all_maps)
{
	COVERS(bpf_prog_load);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	const int fds[] = { map };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = fds, .fd_array_cnt = 1);

	if (!kernel_knows("fd_array_cnt")) {
		assert_fails_either(EINVAL, E2BIG, LOAD_GOOD(&opts));
		close(map);
		skip_test("this kernel has no fd_array_cnt (the option is rejected, as expected)");
	}
	int fd = assert_fd(LOAD_GOOD(&opts));
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.nr_map_ids, 1);
	close(fd);
	close(map);
}

TEST(func_info_is_loaded_with_the_program)
{
	COVERS(bpf_prog_load);
	char blob[512];
	int btf = assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), NULL));
	/* main calls sub and returns its result; sub returns 7. */
	struct bpf_insn insns[] = {
		MOV_IMM(1, 0), INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 1), EXIT(),
		MOV_IMM(0, 7), EXIT(),
	};
	/* Records longer than the kernel's 8 bytes, as a newer compiler may emit; the excess bytes are zero. */
	struct { struct bpf_func_info info; __u32 more; } funcs[] = {
		{ { 0, BTF_FUNC_MAIN }, 0 }, { { 3, BTF_FUNC_SUB }, 0 },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_btf_fd = btf, .func_info = funcs, .func_info_cnt = 2,
		    .func_info_rec_size = sizeof(funcs[0]));
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = assert_fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "calls", "GPL", insns, ARRAY_SIZE(insns), &opts));

	assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.nr_func_info, 2);
	close(fd);

	/* The excess bytes are not zero: the kernel returns E2BIG and its own size, and the call is repeated with them zeroed. */
	funcs[0].more = funcs[1].more = 0xdead;
	fd = assert_fd_at_last(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "calls", "GPL", insns, ARRAY_SIZE(insns), &opts));
	len = sizeof(info);
	memset(&info, 0, sizeof(info));
	assert_ok(bpf_prog_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.nr_func_info, 2);
	assert_int_equal(funcs[0].more, 0xdead);
	close(fd);
	close(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_program_is_loaded),
		T(names_of_any_length_are_cut_at_15),
		T(a_valid_program_is_logged_only_on_request),
		T(a_rejected_program_is_logged_even_at_level_0),
		T(too_small_a_log_is_enospc_with_its_true_size),
		T(log_arguments_must_agree),
		T(counts_and_attempts_are_checked),
		T(options_reach_the_kernel),
		T(the_licence_decides_which_helpers_may_be_called),
		T(maps_are_found_through_fd_array),
		T(fd_array_cnt_binds_all_maps),
		T(func_info_is_loaded_with_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
