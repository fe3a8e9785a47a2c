/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Links to a cgroup, a network namespace and a network device: created, updated, detached. */
#include "support.h"

#include <linux/perf_event.h>
#include <net/if.h>
#include <sys/syscall.h>

#define HOOK BPF_CGROUP_INET_EGRESS

TEST(a_cgroup_link_is_created_updated_and_detached)
{
	COVERS(bpf_link_create, bpf_link_update, bpf_link_detach);
	int cgroup = make_cgroup();
	int first = load_return(BPF_PROG_TYPE_CGROUP_SKB, HOOK, 1), second = load_return(BPF_PROG_TYPE_CGROUP_SKB, HOOK, 1);
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	LIBBPF_OPTS(bpf_link_update_opts, replace, .flags = BPF_F_REPLACE, .old_prog_fd = first);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int link = assert_fd(bpf_link_create(first, cgroup, HOOK, &opts));

	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_CGROUP);
	assert_int_equal(info.prog_id, prog_id(first));

	assert_ok(bpf_link_update(link, second, NULL));
	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.prog_id, prog_id(second));
	/* The old program specified is no longer the current one. */
	assert_fails(EPERM, bpf_link_update(link, first, &replace));
	replace.old_prog_fd = second;
	assert_ok(bpf_link_update(link, first, &replace));
	/* The old program may be specified only with the flag. */
	replace.flags = 0;
	assert_fails(EINVAL, bpf_link_update(link, first, &replace));

	if (kernel_knows("BPF_LINK_DETACH")) {
		assert_ok(bpf_link_detach(link));
		__u32 count = 0;

		assert_ok(bpf_prog_query(cgroup, HOOK, 0, NULL, NULL, &count));
		assert_int_equal(count, 0);
		assert_fails(ENOLINK, bpf_link_update(link, first, NULL));
	}
	close(link);
	close(first);
	close(second);
	remove_cgroup(cgroup);
}

TEST(update_and_detach_check_their_arguments)
{
	COVERS(bpf_link_update, bpf_link_detach);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int link = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));
	const int wild[] = { -1, 9999, wild_fd() };
	LIBBPF_OPTS(bpf_link_update_opts, both, .flags = BPF_F_REPLACE, .old_prog_fd = prog, .old_map_fd = prog);
	LIBBPF_OPTS(bpf_link_update_opts, flags, .flags = 1U << 31);
	LIBBPF_OPTS(bpf_link_update_opts, map, .flags = BPF_F_REPLACE, .old_map_fd = 9999);

	assert_fails(EINVAL, bpf_link_update(link, prog, &both));
	assert_fails(EINVAL, bpf_link_update(link, prog, &flags));
	/* old_map_fd is sent in place of old_prog_fd. This type of link takes it for a program, or rejects the update. */
	assert_fails_either(EBADF, EINVAL, bpf_link_update(link, prog, &map));
	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_link_update(wild[i], prog, NULL));
		assert_fails(EBADF, bpf_link_detach(wild[i]));
	}
	/* Not a link, and a link that cannot be detached. */
	assert_fails(EINVAL, bpf_link_detach(prog));
	assert_fails(EOPNOTSUPP, bpf_link_detach(link));
	close(link);
	close(prog);
}

TEST(create_checks_its_arguments)
{
	COVERS(bpf_link_create);
	int cgroup = make_cgroup();
	int prog = load_return(BPF_PROG_TYPE_CGROUP_SKB, HOOK, 1);
	const int wild[] = { -1, 9999, wild_fd() };
	LIBBPF_OPTS(bpf_link_create_opts, flags, .flags = 1U << 31);
	LIBBPF_OPTS(bpf_link_create_opts, two_targets, .iter_info_len = 4, .target_btf_id = 1);
	LIBBPF_OPTS(bpf_link_create_opts, target_and_more, .target_btf_id = 1, .tracing.cookie = 1);
	LIBBPF_OPTS(bpf_link_create_opts, both, .cgroup.relative_fd = prog, .cgroup.relative_id = 1);
	LIBBPF_OPTS(bpf_link_create_opts, cookie, .perf_event.bpf_cookie = 1);

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_link_create(wild[i], cgroup, HOOK, NULL));
		assert_fails(EBADF, bpf_link_create(prog, wild[i], HOOK, NULL));
	}
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, 9999, NULL));
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, UINT32_MAX, NULL));
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, HOOK, &flags));
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, HOOK, &two_targets));
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, HOOK, &target_and_more));
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, HOOK, &both));
	/* This attach type does not accept a cookie. */
	assert_fails(EINVAL, bpf_link_create(prog, cgroup, BPF_SK_LOOKUP, &cookie));
	close(prog);
	remove_cgroup(cgroup);
}

TEST(a_network_namespace_link_looks_up_sockets)
{
	COVERS(bpf_link_create, bpf_link_update, bpf_link_detach);
	own_netns();
	int prog = load_return(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 1), other = load_return(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 1);
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info), ids[2], count = 2;
	LIBBPF_OPTS(bpf_link_create_opts, flags, .flags = 1);
	int link = assert_fd(bpf_link_create(prog, netns, BPF_SK_LOOKUP, NULL));

	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_NETNS);
	assert_int_equal(info.netns.attach_type, BPF_SK_LOOKUP);
	assert_ok(bpf_link_update(link, other, NULL));
	assert_ok(bpf_prog_query(netns, BPF_SK_LOOKUP, 0, NULL, ids, &count));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], prog_id(other));
	assert_fails(EINVAL, bpf_link_create(prog, netns, BPF_SK_LOOKUP, &flags));
	assert_ok(bpf_link_detach(link));
	count = 2;
	assert_ok(bpf_prog_query(netns, BPF_SK_LOOKUP, 0, NULL, ids, &count));
	assert_int_equal(count, 0);
	close(link);
	close(netns);
	close(other);
	close(prog);
}

TEST(a_flow_dissector_is_attached_to_a_network_namespace)
{
	COVERS(bpf_prog_attach, bpf_prog_detach2, bpf_prog_query);
	own_netns();
	int prog = load_return(BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR, 0);
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	__u32 ids[2], count = 2;

	/* Attached to the caller's namespace, and to no other; only the query takes a descriptor. */
	assert_fails(EINVAL, bpf_prog_attach(prog, netns, BPF_FLOW_DISSECTOR, 0));
	assert_ok(bpf_prog_attach(prog, 0, BPF_FLOW_DISSECTOR, 0));
	assert_ok(bpf_prog_query(netns, BPF_FLOW_DISSECTOR, 0, NULL, ids, &count));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], prog_id(prog));
	assert_fails(EINVAL, bpf_prog_detach2(prog, netns, BPF_FLOW_DISSECTOR));
	assert_ok(bpf_prog_detach2(prog, 0, BPF_FLOW_DISSECTOR));
	assert_fails(ENOENT, bpf_prog_detach2(prog, 0, BPF_FLOW_DISSECTOR));
	close(netns);
	close(prog);
}

TEST(an_xdp_link_is_created_on_a_device)
{
	COVERS(bpf_link_create, bpf_link_update, bpf_link_detach);
	own_netns();
	int prog = load_return(BPF_PROG_TYPE_XDP, 0, 2 /* XDP_PASS */), other = load_return(BPF_PROG_TYPE_XDP, 0, 2);
	int lo = if_nametoindex("lo");
	LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = 1U << 1 /* XDP_FLAGS_SKB_MODE */);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int link = assert_fd(bpf_link_create(prog, lo, BPF_XDP, &generic));

	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_XDP);
	assert_int_equal(info.xdp.ifindex, lo);
	assert_fails(EBUSY, bpf_link_create(prog, lo, BPF_XDP, &generic));
	assert_ok(bpf_link_update(link, other, NULL));
	assert_ok(bpf_link_detach(link));
	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.xdp.ifindex, 0);
	close(link);
	assert_fails_either(ENODEV, EINVAL, bpf_link_create(prog, 9999, BPF_XDP, &generic));
	close(other);
	close(prog);
}

TEST(a_netfilter_link_takes_its_four_members)
{
	COVERS(bpf_link_create);
	own_netns();
	LIBBPF_OPTS(bpf_link_create_opts, opts, .netfilter = { .pf = 2 /* NFPROTO_IPV4 */, .hooknum = 1, .priority = -77 });

	if (!kernel_knows("BPF_NETFILTER")) {
		assert_fails(EBADF, bpf_link_create(9999, 0, BPF_NETFILTER, &opts));
		skip_test("this kernel has no BPF_NETFILTER");
	}
	struct bpf_insn accept[] = { MOV_IMM(0, 1), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_NETFILTER);
	int prog = bpf_prog_load(BPF_PROG_TYPE_NETFILTER, "nf", "GPL", accept, ARRAY_SIZE(accept), &load);

	if (prog < 0) {
		assert_int_equal(prog, -EINVAL);
		skip_test("this kernel is built without netfilter programs (EINVAL)");
	}
	struct { struct bpf_link_info info; char more[64]; } room = {};
	__u32 len = sizeof(room), nf[4];
	int link = assert_fd(bpf_link_create(prog, 0, BPF_NETFILTER, &opts));

	assert_ok(bpf_link_get_info_by_fd(link, &room.info, &len));
	assert_int_equal(room.info.type, 10 /* BPF_LINK_TYPE_NETFILTER */);
	/* pf, hooknum, priority, flags: at the start of the part that depends on the type. */
	memcpy(nf, (char *)&room + offsetof(struct bpf_link_info, raw_tracepoint), sizeof(nf));
	assert_int_equal(nf[0], 2);
	assert_int_equal(nf[1], 1);
	assert_int_equal((int)nf[2], -77);
	close(link);
	opts.netfilter.hooknum = 99;
	assert_fails_either(EPROTO, EINVAL, bpf_link_create(prog, 0, BPF_NETFILTER, &opts));
	close(prog);
}

TEST(a_perf_event_link_takes_a_cookie)
{
	COVERS(bpf_link_create);
	/* A software clock event of this process. */
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 1000000,
	};
	int event = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = 0x1234);

	if (event < 0)
		skip_test("this kernel cannot open a perf event: %s", strerror(errno));
	int prog = load_return(BPF_PROG_TYPE_PERF_EVENT, 0, 0);

	if (!kernel_knows("BPF_LINK_TYPE_PERF_EVENT")) {
		assert_fails(EINVAL, bpf_link_create(prog, event, BPF_PERF_EVENT, &opts));
		close(prog);
		close(event);
		skip_test("this kernel has no BPF_LINK_TYPE_PERF_EVENT (EINVAL, as expected)");
	}
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int link = assert_fd(bpf_link_create(prog, event, BPF_PERF_EVENT, &opts));

	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_PERF_EVENT);
	assert_fails_either(EEXIST, EBUSY, bpf_link_create(prog, event, BPF_PERF_EVENT, &opts));
	close(link);
	close(prog);
	close(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_cgroup_link_is_created_updated_and_detached),
		T(update_and_detach_check_their_arguments),
		T(create_checks_its_arguments),
		T(a_network_namespace_link_looks_up_sockets),
		T(a_flow_dissector_is_attached_to_a_network_namespace),
		T(an_xdp_link_is_created_on_a_device),
		T(a_netfilter_link_takes_its_four_members),
		T(a_perf_event_link_takes_a_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
