/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What bpf_prog_load and bpf_btf_load do if the kernel returns EAGAIN, E2BIG or another error. */
#include "script.h"

#include <bpf/bpf.h>

static const struct bpf_insn insns[2];
static int busy_answers;
static long final_answer;

static int open_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- EAGAIN ---- */

static long busy_kernel(struct bpf_call *call, int number)
{
	(void)call;
	return number < busy_answers ? -EAGAIN : final_answer ? final_answer : open_null();
}

static int load_busy(int answers, int attempts)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .attempts = attempts);

	busy_answers = answers;
	script(busy_kernel);
	return bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts);
}

TEST(eagain_is_retried_up_to_the_number_of_attempts)
{
	COVERS(bpf_prog_load);
	static const struct { int attempts, calls; } cases[] = { { 0, 5 }, { 1, 1 }, { 2, 2 }, { 5, 5 }, { 30, 30 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* EAGAIN every time: all attempts are made, and EAGAIN is returned. */
		assert_fails(EAGAIN, load_busy(INT_MAX, cases[i].attempts));
		assert_int_equal(recorded->count, cases[i].calls);
		/* The last attempt succeeds. */
		close(assert_fd_at_last(load_busy(cases[i].calls - 1, cases[i].attempts)));
		assert_int_equal(recorded->count, cases[i].calls);
		for (int n = 1; n < recorded->count; n++)
			assert_memory_equal(recorded->calls[n].attr, recorded->calls[0].attr, 168);
	}
	final_answer = -EPERM;
	assert_fails(EPERM, load_busy(3, INT_MAX));
	assert_int_equal(recorded->count, 4);
	final_answer = 0;
	close(assert_fd_at_last(load_busy(20, INT_MAX)));
	assert_int_equal(recorded->count, 21);
	/* No options: the default. */
	busy_answers = INT_MAX;
	script(busy_kernel);
	assert_fails(EAGAIN, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, NULL));
	assert_int_equal(recorded->count, 5);
}

TEST(other_errors_are_not_retried)
{
	COVERS(bpf_prog_load);
	static const int errors[] = { EINTR, ENOMEM, EPERM, EINVAL, E2BIG, EBUSY };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		script_value(-errors[i]);
		assert_fails(errors[i], bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, NULL));
		assert_int_equal(recorded->count, 1);
	}
}

/* ---- rejected before the system call ---- */

TEST(invalid_arguments_never_reach_the_kernel)
{
	COVERS(bpf_prog_load, bpf_btf_load);
	char log[8];
	LIBBPF_OPTS(bpf_prog_load_opts, negative, .attempts = -1);
	LIBBPF_OPTS(bpf_prog_load_opts, lowest, .attempts = INT_MIN);
	LIBBPF_OPTS(bpf_prog_load_opts, two_targets, .attach_prog_fd = 1, .attach_btf_obj_fd = 1);
	LIBBPF_OPTS(bpf_prog_load_opts, no_size, .log_buf = log);
	LIBBPF_OPTS(bpf_prog_load_opts, no_buf, .log_size = 8);
	LIBBPF_OPTS(bpf_btf_load_opts, no_btf_buf, .log_size = 8);
	struct bpf_prog_load_opts *bad[] = { &negative, &lowest, &two_targets, &no_size, &no_buf };

	script_value(-EDOM);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, bad[i]));
	assert_fails(EINVAL, bpf_btf_load("", 1, &no_btf_buf));
#if SIZE_MAX > UINT32_MAX
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, (size_t)UINT32_MAX + 1, NULL));
	assert_fails(E2BIG, bpf_btf_load("", (size_t)UINT32_MAX + 1, NULL));
	/* attempts is checked first, the count before the targets. */
	assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, SIZE_MAX, &negative));
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, SIZE_MAX, &two_targets));
#endif
	assert_int_equal(recorded->count, 0);
}

/* ---- E2BIG: records that are longer than the kernel's ---- */

static __u32 kernel_func_size, kernel_line_size;
static unsigned char seen_records[2][64];
static long after_repair;

static bool records_fit(const unsigned char *attr, size_t records, size_t size, size_t count, __u32 known)
{
	const unsigned char *at = (void *)(uintptr_t)u64_at(attr, records);

	for (__u32 i = 0; at && i < u32_at(attr, count); i++)
		for (__u32 b = known; b < u32_at(attr, size); b++)
			if (at[i * u32_at(attr, size) + b])
				return false;
	return true;
}

/* A kernel that knows the first bytes of each record, and requires zeros after them. */
static long record_kernel(struct bpf_call *call, int number)
{
	unsigned char *attr = call->live;

	(void)number;
	if (!records_fit(attr, 80, 76, 88, kernel_func_size)) {
		memcpy(attr + 76, &kernel_func_size, 4);
		return -E2BIG;
	}
	if (!records_fit(attr, 96, 92, 104, kernel_line_size)) {
		memcpy(attr + 92, &kernel_line_size, 4);
		return -E2BIG;
	}
	memcpy(seen_records[0], (void *)(uintptr_t)u64_at(attr, 80), 24);
	memcpy(seen_records[1], (void *)(uintptr_t)u64_at(attr, 96), 40);
	return after_repair ? after_repair : open_null();
}

TEST(longer_records_are_truncated_to_the_kernels_size)
{
	COVERS(bpf_prog_load);
	unsigned char func[24], line[40];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .func_info = func, .func_info_cnt = 2, .func_info_rec_size = 12,
		    .line_info = line, .line_info_cnt = 2, .line_info_rec_size = 20);

	memset(func, 0xf1, sizeof(func));
	memset(line, 0x11, sizeof(line));
	kernel_func_size = 8;
	kernel_line_size = 16;
	script(record_kernel);
	close(assert_fd_at_last(bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts)));
	/* Rejected, function records repaired, rejected, line records repaired. */
	assert_int_equal(recorded->count, 3);
	for (int i = 0; i < 2; i++) {
		for (int b = 0; b < 12; b++)
			assert_int_equal(seen_records[0][12 * i + b], b < 8 ? 0xf1 : 0);
		for (int b = 0; b < 20; b++)
			assert_int_equal(seen_records[1][20 * i + b], b < 16 ? 0x11 : 0);
	}
	/* The caller's record size is sent again, and the caller's records are unchanged. */
	assert_int_equal(u32_at(recorded->calls[2].attr, 76), 12);
	assert_int_equal(u32_at(recorded->calls[2].attr, 92), 20);
	assert_int_equal(func[11], 0xf1);
	assert_int_equal(line[19], 0x11);

	/* Only one kind of records. */
	kernel_line_size = 20;
	script(record_kernel);
	close(assert_fd_at_last(bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts)));
	assert_int_equal(recorded->count, 2);
	kernel_func_size = 12;
	kernel_line_size = 16;
	script(record_kernel);
	close(assert_fd_at_last(bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts)));
	assert_int_equal(recorded->count, 2);

	/* If the repaired load is rejected, that error is returned. */
	after_repair = -EACCES;
	script(record_kernel);
	assert_fails(EACCES, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	after_repair = 0;
}

static long never_content(struct bpf_call *call, int number)
{
	/* The kernel returns a smaller size each time. */
	__u32 size = 11 - number;

	memcpy((unsigned char *)call->live + 76, &size, 4);
	size += 8;
	memcpy((unsigned char *)call->live + 92, &size, 4);
	return -E2BIG;
}

TEST(each_kind_of_record_is_repaired_once)
{
	COVERS(bpf_prog_load);
	unsigned char func[24] = {}, line[40] = {};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .func_info = func, .func_info_cnt = 2, .func_info_rec_size = 12,
		    .line_info = line, .line_info_cnt = 2, .line_info_rec_size = 20);

	script(never_content);
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 3);
	/* E2BIG for another reason: there is nothing to repair. */
	script_value(-E2BIG);
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 1);
}

static long smaller_once(struct bpf_call *call, int number)
{
	__u32 size = 8;

	(void)number;
	memcpy((unsigned char *)call->live + 76, &size, 4);
	return -E2BIG;
}

TEST(records_that_exceed_memory_are_e2big)
{
	COVERS(bpf_prog_load);
#if SIZE_MAX > UINT32_MAX
	/* 2^32 - 1 records of 2^32 - 1 bytes: there is not enough memory for a copy. */
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .func_info = insns, .func_info_cnt = UINT32_MAX, .func_info_rec_size = UINT32_MAX);

	script(smaller_once);
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 1);
#else
	(void)smaller_once;
	script_value(-E2BIG);
	assert_fails(E2BIG, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, NULL));
#endif
}

/* ---- the log ---- */

static long rejecting(struct bpf_call *call, int number)
{
	__u32 true_size = 100 + number;

	if (u32_at(call->attr, 24)) /* log_level */
		memcpy((unsigned char *)call->live + 140, &true_size, 4);
	return number == 0 ? -EACCES : -EINVAL;
}

TEST(a_rejected_program_is_loaded_again_with_a_log)
{
	COVERS(bpf_prog_load);
	char log[8];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_true_size = 77);

	script(rejecting);
	/* The result of the second call is returned. */
	assert_fails(EINVAL, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 2);
	assert_int_equal(u32_at(recorded->calls[0].attr, 24), 0);
	assert_int_equal(u32_at(recorded->calls[0].attr, 28), 0);
	assert_true(u64_at(recorded->calls[0].attr, 32) == 0);
	assert_int_equal(u32_at(recorded->calls[1].attr, 24), 1);
	assert_int_equal(u32_at(recorded->calls[1].attr, 28), sizeof(log));
	assert_true(u64_at(recorded->calls[1].attr, 32) == (uintptr_t)log);
	assert_int_equal(opts.log_true_size, 101);

	/* With a level the first call sends the log buffer, and there is no second call. */
	opts.log_level = 2;
	script(rejecting);
	assert_fails(EACCES, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 1);
	assert_int_equal(opts.log_true_size, 100);

	/* The kernel writes no size: 0. */
	script_value(-EACCES);
	opts.log_true_size = 77;
	assert_fails(EACCES, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(opts.log_true_size, 0);
}

static long busy_in_the_second(struct bpf_call *call, int number)
{
	(void)call;
	return number == 0 ? -EACCES : -EAGAIN;
}

TEST(the_load_with_a_log_is_retried_too)
{
	COVERS(bpf_prog_load);
	char log[8];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .attempts = 3);

	script(busy_in_the_second);
	assert_fails(EAGAIN, bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 2, &opts));
	assert_int_equal(recorded->count, 1 + 3);
}

static long rejecting_btf(struct bpf_call *call, int number)
{
	__u32 true_size = 100 + number;

	if (u32_at(call->attr, 24)) /* btf_log_level */
		memcpy((unsigned char *)call->live + 28, &true_size, 4);
	return number == 0 ? -EACCES : -EINVAL;
}

TEST(rejected_btf_is_loaded_again_with_a_log)
{
	COVERS(bpf_btf_load);
	char log[8];
	LIBBPF_OPTS(bpf_btf_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_true_size = 77);

	script(rejecting_btf);
	assert_fails(EINVAL, bpf_btf_load("", 1, &opts));
	assert_int_equal(recorded->count, 2);
	assert_int_equal(u32_at(recorded->calls[0].attr, 24), 0);
	assert_true(u64_at(recorded->calls[0].attr, 8) == 0);
	assert_int_equal(u32_at(recorded->calls[1].attr, 24), 1);
	assert_int_equal(u32_at(recorded->calls[1].attr, 20), sizeof(log));
	assert_true(u64_at(recorded->calls[1].attr, 8) == (uintptr_t)log);
	assert_int_equal(opts.log_true_size, 101);
	opts.log_level = 1;
	script(rejecting_btf);
	assert_fails(EACCES, bpf_btf_load("", 1, &opts));
	assert_int_equal(recorded->count, 1);
	/* EAGAIN does not cause BTF to be loaded again. */
	script_value(-EAGAIN);
	assert_fails(EAGAIN, bpf_btf_load("", 1, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(eagain_is_retried_up_to_the_number_of_attempts),
		T(other_errors_are_not_retried),
		T(invalid_arguments_never_reach_the_kernel),
		T(longer_records_are_truncated_to_the_kernels_size),
		T(each_kind_of_record_is_repaired_once),
		T(records_that_exceed_memory_are_e2big),
		T(a_rejected_program_is_loaded_again_with_a_log),
		T(the_load_with_a_log_is_retried_too),
		T(rejected_btf_is_loaded_again_with_a_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
