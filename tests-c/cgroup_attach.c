/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Attaching programs to a cgroup without links: attach, detach, query, in every variant. */
#include "support.h"

#define HOOK BPF_CGROUP_INET_EGRESS

static int cgroup, first, second;

static void set_up(void)
{
	cgroup = make_cgroup();
	first = load_return(BPF_PROG_TYPE_CGROUP_SKB, HOOK, 1);
	second = load_return(BPF_PROG_TYPE_CGROUP_SKB, HOOK, 1);
}

static void tear_down(void)
{
	close(second);
	close(first);
	remove_cgroup(cgroup);
}

static __u32 attached(void)
{
	__u32 ids[8], count = 8;

	assert_ok(bpf_prog_query(cgroup, HOOK, 0, NULL, ids, &count));
	return count;
}

TEST(one_program_is_attached_and_detached)
{
	COVERS(bpf_prog_attach, bpf_prog_detach);
	set_up();
	assert_ok(bpf_prog_attach(first, cgroup, HOOK, 0));
	assert_int_equal(attached(), 1);
	/* Without a flag the second program replaces the first. */
	assert_ok(bpf_prog_attach(second, cgroup, HOOK, 0));
	assert_int_equal(attached(), 1);
	assert_ok(bpf_prog_detach(cgroup, HOOK));
	assert_int_equal(attached(), 0);
	assert_fails(ENOENT, bpf_prog_detach(cgroup, HOOK));
	tear_down();
}

TEST(detach_removes_the_given_program)
{
	COVERS(bpf_prog_attach, bpf_prog_detach, bpf_prog_detach2);
	set_up();
	assert_ok(bpf_prog_attach(first, cgroup, HOOK, BPF_F_ALLOW_MULTI));
	assert_ok(bpf_prog_attach(second, cgroup, HOOK, BPF_F_ALLOW_MULTI));
	assert_fails(EINVAL, bpf_prog_attach(second, cgroup, HOOK, BPF_F_ALLOW_MULTI));
	/* The program to detach must be specified. */
	assert_fails(EINVAL, bpf_prog_detach(cgroup, HOOK));
	assert_ok(bpf_prog_detach2(first, cgroup, HOOK));
	assert_fails(ENOENT, bpf_prog_detach2(first, cgroup, HOOK));
	assert_int_equal(attached(), 1);
	assert_ok(bpf_prog_detach2(second, cgroup, HOOK));
	tear_down();
}

TEST(one_of_several_programs_is_replaced)
{
	COVERS(bpf_prog_attach_opts, bpf_prog_detach_opts);
	set_up();
	LIBBPF_OPTS(bpf_prog_attach_opts, multi, .flags = BPF_F_ALLOW_MULTI);
	LIBBPF_OPTS(bpf_prog_attach_opts, replace, .flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE, .replace_prog_fd = first);
	LIBBPF_OPTS(bpf_prog_detach_opts, detach);
	__u32 ids[4], count = 4;

	assert_fails(ENOENT, bpf_prog_attach_opts(second, cgroup, HOOK, &replace));
	assert_ok(bpf_prog_attach_opts(first, cgroup, HOOK, &multi));
	assert_ok(bpf_prog_attach_opts(second, cgroup, HOOK, &replace));
	assert_ok(bpf_prog_query(cgroup, HOOK, 0, NULL, ids, &count));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], prog_id(second));
	assert_fails(ENOENT, bpf_prog_detach_opts(first, cgroup, HOOK, &detach));
	assert_ok(bpf_prog_detach_opts(second, cgroup, HOOK, NULL));
	tear_down();
}

TEST(programs_are_ordered_by_descriptor_or_id)
{
	COVERS(bpf_prog_attach_opts, bpf_prog_detach_opts);
	set_up();
	LIBBPF_OPTS(bpf_prog_attach_opts, both, .flags = BPF_F_ALLOW_MULTI | BPF_F_BEFORE, .relative_fd = first, .relative_id = 1);
	LIBBPF_OPTS(bpf_prog_detach_opts, both_off, .relative_fd = first, .relative_id = 1);

	assert_fails(EINVAL, bpf_prog_attach_opts(second, cgroup, HOOK, &both));
	assert_fails(EINVAL, bpf_prog_detach_opts(second, cgroup, HOOK, &both_off));

	LIBBPF_OPTS(bpf_prog_attach_opts, multi, .flags = BPF_F_ALLOW_MULTI);
	LIBBPF_OPTS(bpf_prog_attach_opts, before, .flags = BPF_F_ALLOW_MULTI | BPF_F_BEFORE, .relative_id = prog_id(first));
	__u32 ids[4], count = 4;

	assert_ok(bpf_prog_attach_opts(first, cgroup, HOOK, &multi));
	int ret = bpf_prog_attach_opts(second, cgroup, HOOK, &before);

	/* The order in a cgroup can be set since 6.17. Earlier kernels do not know the flags, those before 6.6 not the member. */
	if (ret) {
		assert_true(ret == -EINVAL && errno == EINVAL);
		tear_down();
		skip_test("this kernel cannot order the programs of a cgroup (EINVAL, as expected)");
	}
	assert_ok(bpf_prog_query(cgroup, HOOK, 0, NULL, ids, &count));
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], prog_id(second));
	assert_ok(bpf_prog_detach_opts(second, cgroup, HOOK, NULL));
	before.relative_id = 0;
	before.relative_fd = first;
	assert_ok(bpf_prog_attach_opts(second, cgroup, HOOK, &before));
	tear_down();
}

TEST(a_query_lists_programs_and_flags)
{
	COVERS(bpf_prog_query, bpf_prog_query_opts);
	set_up();
	__u32 ids[4] = {}, count = 4, flags = 77;
	LIBBPF_OPTS(bpf_prog_query_opts, opts, .prog_ids = ids, .prog_cnt = 4, .attach_flags = 77);

	assert_ok(bpf_prog_query(cgroup, HOOK, 0, &flags, ids, &count));
	assert_int_equal(count, 0);
	assert_ok(bpf_prog_attach(first, cgroup, HOOK, BPF_F_ALLOW_MULTI));
	assert_ok(bpf_prog_attach(second, cgroup, HOOK, BPF_F_ALLOW_MULTI));
	assert_ok(bpf_prog_query_opts(cgroup, HOOK, &opts));
	assert_int_equal(opts.prog_cnt, 2);
	assert_int_equal(opts.attach_flags, BPF_F_ALLOW_MULTI);
	assert_int_equal(ids[0], prog_id(first));
	assert_int_equal(ids[1], prog_id(second));

	count = 4;
	assert_ok(bpf_prog_query(cgroup, HOOK, 0, &flags, ids, &count));
	assert_int_equal(count, 2);
	assert_int_equal(flags, BPF_F_ALLOW_MULTI);
	count = 4;
	assert_ok(bpf_prog_query(cgroup, HOOK, BPF_F_QUERY_EFFECTIVE, &flags, ids, &count));
	assert_true(count >= 2);
	/* The array is too small: it is filled, the call fails with ENOSPC, and the count is that of all programs. */
	count = 1;
	ids[0] = ids[1] = 0;
	assert_fails(ENOSPC, bpf_prog_query(cgroup, HOOK, 0, &flags, ids, &count));
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], prog_id(first));
	assert_int_equal(ids[1], 0);
	opts.prog_cnt = 1;
	assert_fails(ENOSPC, bpf_prog_query_opts(cgroup, HOOK, &opts));
	assert_int_equal(opts.prog_cnt, 2);
	/* Only the count. */
	count = 0;
	assert_ok(bpf_prog_query(cgroup, HOOK, 0, NULL, NULL, &count));
	assert_int_equal(count, 2);
	tear_down();
}

TEST(invalid_arguments_are_rejected)
{
	COVERS(bpf_prog_attach, bpf_prog_attach_opts, bpf_prog_detach, bpf_prog_detach2, bpf_prog_detach_opts, bpf_prog_query, bpf_prog_query_opts);
	set_up();
	const int wild[] = { -1, 9999, wild_fd() };
	__u32 count = 0;
	LIBBPF_OPTS(bpf_prog_query_opts, query);
	LIBBPF_OPTS(bpf_prog_query_opts, flags, .query_flags = 1U << 31);

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_prog_attach(wild[i], cgroup, HOOK, 0));
		assert_fails(EBADF, bpf_prog_attach(first, wild[i], HOOK, 0));
		assert_fails(EBADF, bpf_prog_attach_opts(first, wild[i], HOOK, NULL));
		assert_fails(EBADF, bpf_prog_detach(wild[i], HOOK));
		assert_fails(EBADF, bpf_prog_detach2(first, wild[i], HOOK));
		assert_fails(EBADF, bpf_prog_detach_opts(first, wild[i], HOOK, NULL));
		assert_fails(EBADF, bpf_prog_query(wild[i], HOOK, 0, NULL, NULL, &count));
		assert_fails(EBADF, bpf_prog_query_opts(wild[i], HOOK, &query));
	}
	assert_fails(EINVAL, bpf_prog_attach(first, cgroup, 9999, 0));
	assert_fails(EINVAL, bpf_prog_attach(first, cgroup, UINT32_MAX, 0));
	assert_fails(EINVAL, bpf_prog_attach(first, cgroup, HOOK, UINT32_MAX));
	assert_fails(EINVAL, bpf_prog_detach(cgroup, 9999));
	assert_fails(EINVAL, bpf_prog_query(cgroup, 9999, 0, NULL, NULL, &count));
	assert_fails(EINVAL, bpf_prog_query_opts(cgroup, HOOK, &flags));
	assert_fails(EINVAL, bpf_prog_query(cgroup, HOOK, 0, NULL, NULL, NULL));
	/* A program of the wrong type. */
	int filter = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);

	assert_fails(EINVAL, bpf_prog_attach(filter, cgroup, HOOK, 0));
	close(filter);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_program_is_attached_and_detached),
		T(detach_removes_the_given_program),
		T(one_of_several_programs_is_replaced),
		T(programs_are_ordered_by_descriptor_or_id),
		T(a_query_lists_programs_and_flags),
		T(invalid_arguments_are_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
