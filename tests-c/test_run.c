/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_prog_test_run_opts: data and context in and out, and the outputs if the run fails. */
#include "support.h"

static const char packet[64] = { 1, 2, 3 };

TEST(a_program_runs_on_the_given_data)
{
	COVERS(bpf_prog_test_run_opts);
	int prog = load_return(BPF_PROG_TYPE_SCHED_CLS, 0, 42);
	char out[128];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 10, .retval = 77, .duration = UINT32_MAX);

	memset(out, 'c', sizeof(out));
	assert_ok(bpf_prog_test_run_opts(prog, &opts));
	assert_int_equal(opts.retval, 42);
	assert_int_equal(opts.data_size_out, sizeof(packet));
	assert_memory_equal(out, packet, sizeof(packet));
	assert_int_equal(out[sizeof(packet)], 'c');
	assert_true(opts.duration != UINT32_MAX);
	close(prog);
}

TEST(too_small_a_buffer_is_enospc_with_the_true_size)
{
	COVERS(bpf_prog_test_run_opts);
	int prog = load_return(BPF_PROG_TYPE_SCHED_CLS, 0, 42);
	char out[128];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .data_out = out, .data_size_out = 2);

	memset(out, 'c', sizeof(out));
	assert_fails(ENOSPC, bpf_prog_test_run_opts(prog, &opts));
	/* Outputs are also written on failure. */
	assert_int_equal(opts.data_size_out, sizeof(packet));
	assert_int_equal(opts.retval, 42);
	assert_int_equal(out[0], 1);
	assert_int_equal(out[2], 'c');
	close(prog);
}

TEST(a_context_is_passed_in_and_returned)
{
	COVERS(bpf_prog_test_run_opts);
	/* skb->cb[0] += 5; return skb->mark */
	struct bpf_insn insns[] = {
		LOAD(BPF_W, 2, 1, offsetof(struct __sk_buff, cb)),
		ADD_IMM(2, 5),
		STORE(BPF_W, 1, 2, offsetof(struct __sk_buff, cb)),
		LOAD(BPF_W, 0, 1, offsetof(struct __sk_buff, mark)),
		EXIT(),
	};
	int prog = assert_fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ctx", "GPL", insns, ARRAY_SIZE(insns), NULL));
	struct __sk_buff in = { .mark = 9, .cb = { 100 } }, out = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .ctx_out = &out, .ctx_size_out = sizeof(out));

	assert_ok(bpf_prog_test_run_opts(prog, &opts));
	assert_int_equal(opts.retval, 9);
	/* The size of the kernel's struct, which depends on its release. */
	assert_true(opts.ctx_size_out > offsetof(struct __sk_buff, cb[4]) && opts.ctx_size_out <= sizeof(out));
	assert_int_equal(out.cb[0], 105);
	close(prog);
}

TEST(invalid_arguments_are_rejected)
{
	COVERS(bpf_prog_test_run_opts);
	int prog = load_return(BPF_PROG_TYPE_SCHED_CLS, 0, 0), map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	const int wild[] = { -1, 9999, wild_fd() };
	LIBBPF_OPTS(bpf_test_run_opts, fine, .data_in = packet, .data_size_in = sizeof(packet));
	LIBBPF_OPTS(bpf_test_run_opts, size_alone, .ctx_size_in = 4);
	LIBBPF_OPTS(bpf_test_run_opts, huge, .data_in = packet, .data_size_in = UINT32_MAX);
	LIBBPF_OPTS(bpf_test_run_opts, flags, .data_in = packet, .data_size_in = sizeof(packet), .flags = 1U << 31);
	LIBBPF_OPTS(bpf_test_run_opts, tiny, .data_in = packet, .data_size_in = 1);

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++)
		assert_fails(EBADF, bpf_prog_test_run_opts(wild[i], &fine));
	assert_fails(EINVAL, bpf_prog_test_run_opts(map, &fine));
	assert_fails(EINVAL, bpf_prog_test_run_opts(prog, &size_alone));
	int ret = bpf_prog_test_run_opts(prog, &huge);

	assert_true(ret < 0 && errno == -ret);
	assert_fails(EINVAL, bpf_prog_test_run_opts(prog, &flags));
	assert_fails(EINVAL, bpf_prog_test_run_opts(prog, &tiny));
	assert_fails(EINVAL, bpf_prog_test_run_opts(prog, NULL));
	close(map);
	close(prog);
}

TEST(a_raw_tracepoint_program_runs_on_the_given_cpu)
{
	COVERS(bpf_prog_test_run_opts);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 5);
	__u64 args[2] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args), .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = 0);

	assert_ok(bpf_prog_test_run_opts(prog, &opts));
	assert_int_equal(opts.retval, 5);
	opts.cpu = 1U << 20;
	assert_fails_either(ENXIO, EINVAL, bpf_prog_test_run_opts(prog, &opts));
	opts.flags = 0;
	assert_fails(EINVAL, bpf_prog_test_run_opts(prog, &opts));
	close(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_program_runs_on_the_given_data),
		T(too_small_a_buffer_is_enospc_with_the_true_size),
		T(a_context_is_passed_in_and_returned),
		T(invalid_arguments_are_rejected),
		T(a_raw_tracepoint_program_runs_on_the_given_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
