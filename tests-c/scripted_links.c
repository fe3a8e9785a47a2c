/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_link_create: which options each attach type accepts, and the fallback to raw tracepoints. */
#include "script.h"

#define P(n) ((void *)(uintptr_t)(0x1000 + (n)))

enum member { NONE, ITER, PERF, KPROBE, UPROBE, TRACING, NETFILTER, PLACE, MULTI };

static enum member member_of(int type)
{
	switch (type) {
	case BPF_TRACE_ITER: return ITER;
	case BPF_PERF_EVENT: return PERF;
	case BPF_TRACE_KPROBE_MULTI: case BPF_TRACE_KPROBE_SESSION: return KPROBE;
	case BPF_TRACE_UPROBE_MULTI: case BPF_TRACE_UPROBE_SESSION: return UPROBE;
	case BPF_TRACE_RAW_TP: case BPF_TRACE_FENTRY: case BPF_TRACE_FEXIT: case BPF_MODIFY_RETURN: case BPF_TRACE_FSESSION:
	case BPF_LSM_MAC: return TRACING;
	case BPF_TRACE_FENTRY_MULTI: case BPF_TRACE_FEXIT_MULTI: case BPF_TRACE_FSESSION_MULTI: return MULTI;
	case BPF_NETFILTER: return NETFILTER;
	case BPF_TCX_INGRESS: case BPF_TCX_EGRESS: case BPF_NETKIT_PRIMARY: case BPF_NETKIT_PEER: return PLACE;
	case BPF_CGROUP_INET_INGRESS: case BPF_CGROUP_INET_EGRESS: case BPF_CGROUP_INET_SOCK_CREATE: case BPF_CGROUP_INET_SOCK_RELEASE:
	case BPF_CGROUP_INET4_BIND: case BPF_CGROUP_INET6_BIND: case BPF_CGROUP_INET4_CONNECT: case BPF_CGROUP_INET6_CONNECT:
	case BPF_CGROUP_UNIX_CONNECT: case BPF_CGROUP_INET4_POST_BIND: case BPF_CGROUP_INET6_POST_BIND:
	case BPF_CGROUP_INET4_GETPEERNAME: case BPF_CGROUP_INET6_GETPEERNAME: case BPF_CGROUP_UNIX_GETPEERNAME:
	case BPF_CGROUP_INET4_GETSOCKNAME: case BPF_CGROUP_INET6_GETSOCKNAME: case BPF_CGROUP_UNIX_GETSOCKNAME:
	case BPF_CGROUP_UDP4_SENDMSG: case BPF_CGROUP_UDP6_SENDMSG: case BPF_CGROUP_UNIX_SENDMSG:
	case BPF_CGROUP_UDP4_RECVMSG: case BPF_CGROUP_UDP6_RECVMSG: case BPF_CGROUP_UNIX_RECVMSG:
	case BPF_CGROUP_SOCK_OPS: case BPF_CGROUP_DEVICE: case BPF_CGROUP_SYSCTL: case BPF_CGROUP_GETSOCKOPT:
	case BPF_CGROUP_SETSOCKOPT: case BPF_LSM_CGROUP: return PLACE;
	default: return NONE;
	}
}

/* The end of the options that belong to each member. */
static size_t end_of(enum member member)
{
#define END(field) (offsetof(struct bpf_link_create_opts, field) + sizeof(((struct bpf_link_create_opts *)0)->field))
	switch (member) {
	case ITER: return END(uprobe_multi.path_fd); /* nothing after it is checked */
	case PERF: return END(perf_event.bpf_cookie);
	case KPROBE: return END(kprobe_multi.cookies);
	case UPROBE: return END(uprobe_multi.path_fd);
	case TRACING: return END(tracing.cookie);
	case NETFILTER: return END(netfilter.flags);
	case PLACE: return END(tcx.expected_revision);
	case MULTI: return END(tracing_multi);
	default: return END(flags);
	}
}

#define LAST_TYPE 70

TEST(bytes_after_the_types_own_member_must_be_zero)
{
	COVERS(bpf_link_create);
	const size_t known = END(uprobe_multi.path_fd);

	for (int type = 0; type <= LAST_TYPE; type++) {
		size_t end = end_of(member_of(type));

		script_value(9);
		for (size_t at = end; at < known; at++) {
			/* These two are covered by other tests. */
			if (at >= offsetof(struct bpf_link_create_opts, iter_info_len) && at < offsetof(struct bpf_link_create_opts, perf_event))
				continue;
			/* Padding after flags must be zero too. */
			struct bpf_link_create_opts opts;

			memset(&opts, 0, sizeof(opts));
			opts.sz = sizeof(opts);
			((unsigned char *)&opts)[at] = 1;
			errno = ERRNO_MARK;
			int ret = bpf_link_create(5, 6, type, &opts);

			if (ret != -EINVAL || errno != EINVAL || recorded->count != 0)
				fail_msg("attach type %d, byte %zu: returned %d, errno %d, %d calls", type, at, ret, errno, recorded->count);
		}
		/* With its own member zero there is one call, whose attribute is zero after the first four words. */
		struct bpf_link_create_opts opts;

		memset(&opts, 0, sizeof(opts));
		opts.sz = sizeof(opts);
		opts.flags = 3;
		script_value(9);
		assert_returns(9, bpf_link_create(5, 6, type, &opts));
		assert_int_equal(recorded->count, 1);
		assert_int_equal(last_call()->cmd, BPF_LINK_CREATE);
		assert_int_equal(last_call()->size, 64);
		assert_int_equal(u32_at(last_call()->attr, 8), type);
		assert_int_equal(u32_at(last_call()->attr, 12), 3);
		for (size_t i = 16; i < 64; i++)
			assert_int_equal(last_call()->attr[i], 0);
	}
}

struct word { size_t offset, width; __u64 value; };

static void expect(int type, const struct bpf_link_create_opts *opts, __u32 flags, const struct word *words, size_t n)
{
	unsigned char want[64] = {};

	script_value(9);
	if (bpf_link_create(5, 6, type, opts) != 9)
		fail_msg("attach type %d was rejected: errno %d", type, errno);
	memcpy(want, (__u32[]){ 5, 6, type, flags }, 16);
	for (size_t i = 0; i < n; i++) {
		__u32 small = words[i].value;

		memcpy(want + words[i].offset, words[i].width == 4 ? (void *)&small : (void *)&words[i].value, words[i].width);
	}
	for (size_t i = 0; i < sizeof(want); i++)
		if (last_call()->attr[i] != want[i])
			fail_msg("attach type %d: byte %zu is %02x, wanted %02x", type, i, last_call()->attr[i], want[i]);
}

#define EXPECT(type, opts, flags, ...) do { \
	const struct word words_[] = { __VA_ARGS__ }; \
	expect(type, opts, flags, words_, ARRAY_SIZE(words_)); \
} while (0)

TEST(each_type_sends_its_member)
{
	COVERS(bpf_link_create);
	const __u64 big = 0x1122334455667788;
	LIBBPF_OPTS(bpf_link_create_opts, iter, .flags = 1, .iter_info = P(1), .iter_info_len = 2);
	LIBBPF_OPTS(bpf_link_create_opts, perf, .flags = 1, .perf_event.bpf_cookie = big);
	LIBBPF_OPTS(bpf_link_create_opts, kprobe, .flags = 1,
		    .kprobe_multi = { .flags = 2, .cnt = 3, .syms = P(4), .addrs = P(5), .cookies = P(6) });
	LIBBPF_OPTS(bpf_link_create_opts, uprobe, .flags = 1,
		    .uprobe_multi = { .flags = 2, .cnt = 3, .path = P(4), .offsets = P(5), .ref_ctr_offsets = P(6), .cookies = P(7), .pid = 8, .path_fd = 9 });
	LIBBPF_OPTS(bpf_link_create_opts, tracing, .flags = 1, .tracing.cookie = big);
	LIBBPF_OPTS(bpf_link_create_opts, netfilter, .flags = 1, .netfilter = { .pf = 2, .hooknum = 3, .priority = -4, .flags = 5 });
	LIBBPF_OPTS(bpf_link_create_opts, place, .flags = 1, .tcx = { .relative_fd = 2, .expected_revision = big });
	LIBBPF_OPTS(bpf_link_create_opts, by_id, .flags = 1, .tcx = { .relative_id = 3, .expected_revision = big });
	LIBBPF_OPTS(bpf_link_create_opts, both, .flags = 1, .tcx = { .relative_fd = 2, .relative_id = 3 });
	LIBBPF_OPTS(bpf_link_create_opts, multi, .flags = 1, .tracing_multi = { .ids = P(2), .cookies = P(3), .cnt = 4 });

	for (int type = 0; type <= LAST_TYPE; type++) {
		switch (member_of(type)) {
		case ITER:
			EXPECT(type, &iter, 1, { 16, 8, (uintptr_t)P(1) }, { 24, 4, 2 });
			break;
		case PERF:
			EXPECT(type, &perf, 1, { 16, 8, big });
			break;
		case KPROBE:
			EXPECT(type, &kprobe, 1, { 16, 4, 2 }, { 20, 4, 3 }, { 24, 8, (uintptr_t)P(4) }, { 32, 8, (uintptr_t)P(5) }, { 40, 8, (uintptr_t)P(6) });
			break;
		case UPROBE:
			EXPECT(type, &uprobe, 1, { 16, 8, (uintptr_t)P(4) }, { 24, 8, (uintptr_t)P(5) }, { 32, 8, (uintptr_t)P(6) },
			       { 40, 8, (uintptr_t)P(7) }, { 48, 4, 3 }, { 52, 4, 2 }, { 56, 4, 8 }, { 60, 4, 9 });
			break;
		case TRACING:
			EXPECT(type, &tracing, 1, { 24, 8, big });
			break;
		case NETFILTER:
			EXPECT(type, &netfilter, 1, { 16, 4, 2 }, { 20, 4, 3 }, { 24, 4, (__u32)-4 }, { 28, 4, 5 });
			break;
		case PLACE:
			EXPECT(type, &place, 1, { 16, 4, 2 }, { 24, 8, big });
			EXPECT(type, &by_id, 1 | BPF_F_ID, { 16, 4, 3 }, { 24, 8, big });
			script_value(9);
			assert_fails(EINVAL, bpf_link_create(5, 6, type, &both));
			assert_int_equal(recorded->count, 0);
			break;
		case MULTI:
			EXPECT(type, &multi, 1, { 16, 8, (uintptr_t)P(2) }, { 24, 8, (uintptr_t)P(3) }, { 32, 4, 4 });
			break;
		default:
			break;
		}
	}
}

TEST(target_btf_id_excludes_other_members)
{
	COVERS(bpf_link_create);
	LIBBPF_OPTS(bpf_link_create_opts, target, .flags = 1, .target_btf_id = 2);
	LIBBPF_OPTS(bpf_link_create_opts, both, .iter_info_len = 1, .target_btf_id = 2);
	const size_t known = END(uprobe_multi.path_fd);

	for (int type = 0; type <= LAST_TYPE; type++) {
		EXPECT(type, &target, 1, { 16, 4, 2 });
		script_value(9);
		assert_fails(EINVAL, bpf_link_create(5, 6, type, &both));
		for (size_t at = END(target_btf_id); at < known; at++) {
			struct bpf_link_create_opts opts = target;

			((unsigned char *)&opts)[at] = 1;
			assert_fails(EINVAL, bpf_link_create(5, 6, type, &opts));
		}
		assert_int_equal(recorded->count, 0);
	}
}

static int rejection;

static long no_links(struct bpf_call *call, int number)
{
	(void)number;
	return call->cmd == BPF_LINK_CREATE ? -rejection : 9;
}

TEST(typed_tracing_falls_back_to_a_raw_tracepoint)
{
	COVERS(bpf_link_create);
	LIBBPF_OPTS(bpf_link_create_opts, plain);
	LIBBPF_OPTS(bpf_link_create_opts, target, .target_btf_id = 2);
	LIBBPF_OPTS(bpf_link_create_opts, cookie, .tracing.cookie = 2);
	LIBBPF_OPTS(bpf_link_create_opts, flags, .flags = 2);

	for (int type = 0; type <= LAST_TYPE; type++) {
		bool falls = type == BPF_TRACE_RAW_TP || type == BPF_LSM_MAC || type == BPF_TRACE_FENTRY || type == BPF_TRACE_FEXIT ||
			     type == BPF_MODIFY_RETURN;

		rejection = EINVAL;
		script(no_links);
		if (falls) {
			assert_int_equal(bpf_link_create(5, 0, type, &plain), 9);
			assert_int_equal(recorded->count, 2);
			assert_int_equal(last_call()->cmd, BPF_RAW_TRACEPOINT_OPEN);
			assert_int_equal(last_call()->size, 24);
			assert_int_equal(u32_at(last_call()->attr, 8), 5);
			assert_true(u64_at(last_call()->attr, 0) == 0 && u64_at(last_call()->attr, 16) == 0);
			script(no_links);
			assert_int_equal(bpf_link_create(5, 0, type, NULL), 9);
		} else {
			assert_fails(EINVAL, bpf_link_create(5, 0, type, &plain));
			assert_int_equal(recorded->count, 1);
		}
		/* Only for EINVAL, and only if the older command can express the call. */
		script(no_links);
		assert_fails(EINVAL, bpf_link_create(5, 6, type, &plain));
		assert_fails(EINVAL, bpf_link_create(5, 0, type, &target));
		assert_fails(EINVAL, bpf_link_create(5, 0, type, &cookie));
		assert_fails(EINVAL, bpf_link_create(5, 0, type, &flags));
		rejection = EPERM;
		assert_fails(EPERM, bpf_link_create(5, 0, type, &plain));
		assert_int_equal(count_of(BPF_RAW_TRACEPOINT_OPEN), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes_after_the_types_own_member_must_be_zero),
		T(each_type_sends_its_member),
		T(target_btf_id_excludes_other_members),
		T(typed_tracing_falls_back_to_a_raw_tracepoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
