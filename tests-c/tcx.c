/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Programs at the traffic control hook of a network device (TCX): order, revisions, with and without links. */
#include "support.h"

#include <net/if.h>

static int lo, first, second;

static void set_up(void)
{
	own_netns();
	lo = if_nametoindex("lo");
	first = load_return(BPF_PROG_TYPE_SCHED_CLS, 0, -1);
	second = load_return(BPF_PROG_TYPE_SCHED_CLS, 0, -1);
	if (!kernel_knows("BPF_TCX_INGRESS")) {
		assert_fails(EINVAL, bpf_prog_attach_opts(first, lo, BPF_TCX_INGRESS, NULL));
		assert_fails(EINVAL, bpf_link_create(first, lo, BPF_TCX_INGRESS, NULL));
		close(second);
		close(first);
		skip_test("this kernel has no BPF_TCX_INGRESS (EINVAL, as expected)");
	}
}

static void tear_down(void)
{
	close(second);
	close(first);
}

TEST(programs_are_placed_before_and_after_each_other)
{
	COVERS(bpf_prog_attach_opts, bpf_prog_detach_opts, bpf_prog_query_opts);
	set_up();
	__u32 ids[4] = {}, links[4] = {}, prog_flags[4] = {}, link_flags[4] = {};
	LIBBPF_OPTS(bpf_prog_attach_opts, before, .flags = BPF_F_BEFORE, .relative_fd = first);
	LIBBPF_OPTS(bpf_prog_attach_opts, after, .flags = BPF_F_AFTER, .relative_id = prog_id(first));
	LIBBPF_OPTS(bpf_prog_detach_opts, detach, .flags = BPF_F_BEFORE, .relative_id = prog_id(first));
	LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .count = 4, .prog_attach_flags = prog_flags,
		    .link_ids = links, .link_attach_flags = link_flags);

	assert_ok(bpf_prog_attach_opts(first, lo, BPF_TCX_INGRESS, NULL));
	assert_ok(bpf_prog_attach_opts(second, lo, BPF_TCX_INGRESS, &before));
	assert_ok(bpf_prog_query_opts(lo, BPF_TCX_INGRESS, &query));
	assert_int_equal(query.count, 2);
	assert_int_equal(ids[0], prog_id(second));
	assert_int_equal(ids[1], prog_id(first));
	assert_int_equal(links[0], 0);
	assert_true(query.revision == 3);
	assert_fails(EEXIST, bpf_prog_attach_opts(second, lo, BPF_TCX_INGRESS, &after));
	assert_ok(bpf_prog_detach_opts(second, lo, BPF_TCX_INGRESS, &detach));
	assert_ok(bpf_prog_attach_opts(second, lo, BPF_TCX_INGRESS, &after));
	query.count = 4;
	assert_ok(bpf_prog_query_opts(lo, BPF_TCX_INGRESS, &query));
	assert_int_equal(ids[1], prog_id(second));
	assert_ok(bpf_prog_detach_opts(second, lo, BPF_TCX_INGRESS, NULL));
	assert_ok(bpf_prog_detach_opts(first, lo, BPF_TCX_INGRESS, NULL));
	assert_fails(ENOENT, bpf_prog_detach_opts(first, lo, BPF_TCX_INGRESS, NULL));
	tear_down();
}

TEST(a_stale_revision_is_rejected)
{
	COVERS(bpf_prog_attach_opts, bpf_prog_detach_opts);
	set_up();
	LIBBPF_OPTS(bpf_prog_query_opts, query);
	LIBBPF_OPTS(bpf_prog_attach_opts, attach);
	LIBBPF_OPTS(bpf_prog_detach_opts, detach);

	assert_ok(bpf_prog_attach_opts(first, lo, BPF_TCX_EGRESS, NULL));
	assert_ok(bpf_prog_query_opts(lo, BPF_TCX_EGRESS, &query));
	attach.expected_revision = query.revision + 1;
	assert_fails(ESTALE, bpf_prog_attach_opts(second, lo, BPF_TCX_EGRESS, &attach));
	attach.expected_revision = query.revision;
	assert_ok(bpf_prog_attach_opts(second, lo, BPF_TCX_EGRESS, &attach));
	detach.expected_revision = query.revision;
	assert_fails(ESTALE, bpf_prog_detach_opts(second, lo, BPF_TCX_EGRESS, &detach));
	detach.expected_revision = query.revision + 1;
	assert_ok(bpf_prog_detach_opts(second, lo, BPF_TCX_EGRESS, &detach));
	assert_ok(bpf_prog_detach_opts(first, lo, BPF_TCX_EGRESS, NULL));
	tear_down();
}

TEST(links_are_ordered_too)
{
	COVERS(bpf_link_create, bpf_prog_query_opts);
	set_up();
	__u32 ids[4] = {}, links[4] = {};
	LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .count = 4, .link_ids = links);
	int link = assert_fd(bpf_link_create(first, lo, BPF_TCX_INGRESS, NULL));
	LIBBPF_OPTS(bpf_link_create_opts, before, .flags = BPF_F_BEFORE | BPF_F_LINK, .tcx.relative_id = link_id(link));
	LIBBPF_OPTS(bpf_link_create_opts, stale, .tcx.expected_revision = 99);
	LIBBPF_OPTS(bpf_link_create_opts, both, .tcx.relative_id = 1, .tcx.relative_fd = link);
	int other = assert_fd(bpf_link_create(second, lo, BPF_TCX_INGRESS, &before));

	assert_ok(bpf_prog_query_opts(lo, BPF_TCX_INGRESS, &query));
	assert_int_equal(query.count, 2);
	assert_int_equal(links[0], link_id(other));
	assert_int_equal(links[1], link_id(link));
	close(other);
	assert_fails(ESTALE, bpf_link_create(second, lo, BPF_TCX_INGRESS, &stale));
	assert_fails(EINVAL, bpf_link_create(second, lo, BPF_TCX_INGRESS, &both));
	close(link);
	tear_down();
}

TEST(a_nonexistent_device_is_rejected)
{
	COVERS(bpf_prog_attach_opts, bpf_link_create, bpf_prog_query_opts);
	set_up();
	LIBBPF_OPTS(bpf_prog_query_opts, query);

	assert_fails(ENODEV, bpf_prog_attach_opts(first, 9999, BPF_TCX_INGRESS, NULL));
	assert_fails(ENODEV, bpf_link_create(first, 9999, BPF_TCX_INGRESS, NULL));
	assert_fails(ENODEV, bpf_prog_query_opts(9999, BPF_TCX_INGRESS, &query));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(programs_are_placed_before_and_after_each_other),
		T(a_stale_revision_is_rejected),
		T(links_are_ordered_too),
		T(a_nonexistent_device_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
