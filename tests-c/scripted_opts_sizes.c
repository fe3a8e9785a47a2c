/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The sz protocol of every opts struct, at every size from 0 to 16 bytes past its end: members within sz are used,
 * members that end after it are not, nothing past it is read or written, and a nonzero tail is rejected with a warning.
 */
#include "script.h"

enum { FIELDS_MAX = 24, PAST = 16, OPTS_MAX = 160 };

/* An input: its offsets in the options and in the attribute (NOWHERE: not sent). An output has an offset in the options only. */
struct field { __u16 offset, width; int attr; };
#define NOWHERE (-1)

struct subject {
	const char *name;	/* of the struct */
	size_t size, known;	/* sizeof, and the end of the last member */
	int (*call)(void *opts);
	bool common;		/* inputs go to the common attributes */
	struct field in[FIELDS_MAX], out[5];
	/* If sz ends within this member, its first bytes must be zero, as must all options of other attach types. */
	size_t cut_rejected;
};

#define IN(type, field, attr) { offsetof(struct type, field), sizeof(((struct type *)0)->field), attr }
#define OUT(type, field) { offsetof(struct type, field), sizeof(((struct type *)0)->field), 0 }
#define KNOWN(type) (offsetof(struct type, type##__last_field) + sizeof(((struct type *)0)->type##__last_field))
#define SUBJECT(type) .name = #type, .size = sizeof(struct type), .known = KNOWN(type)

static const struct bpf_insn insns[2];
static __u32 one;

static int map_create(void *o) { return bpf_map_create(1, NULL, 4, 4, 1, o); }
static int map_log(void *o)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .log_opts = o);

	return bpf_map_create(1, NULL, 4, 4, 1, &opts);
}
static int prog_load(void *o) { return bpf_prog_load(1, NULL, "GPL", insns, 2, o); }
static int btf_load(void *o) { return bpf_btf_load("", 1, o); }
static int lookup_batch(void *o) { return one = 1, bpf_map_lookup_batch(5, NULL, NULL, NULL, NULL, &one, o); }
static int lookup_and_delete_batch(void *o) { return one = 1, bpf_map_lookup_and_delete_batch(5, NULL, NULL, NULL, NULL, &one, o); }
static int update_batch(void *o) { return one = 1, bpf_map_update_batch(5, NULL, NULL, &one, o); }
static int delete_batch(void *o) { return one = 1, bpf_map_delete_batch(5, NULL, &one, o); }
static int obj_pin(void *o) { return bpf_obj_pin_opts(5, "x", o); }
static int obj_get(void *o) { return bpf_obj_get_opts("x", o); }
static int attach(void *o) { return bpf_prog_attach_opts(5, 6, 7, o); }
static int detach(void *o) { return bpf_prog_detach_opts(5, 6, 7, o); }
static int link_xdp(void *o) { return bpf_link_create(5, 6, BPF_XDP, o); }
static int link_iter(void *o) { return bpf_link_create(5, 6, BPF_TRACE_ITER, o); }
static int link_perf(void *o) { return bpf_link_create(5, 6, BPF_PERF_EVENT, o); }
static int link_kprobe(void *o) { return bpf_link_create(5, 6, BPF_TRACE_KPROBE_MULTI, o); }
static int link_uprobe(void *o) { return bpf_link_create(5, 6, BPF_TRACE_UPROBE_MULTI, o); }
static int link_fentry(void *o) { return bpf_link_create(5, 6, BPF_TRACE_FENTRY, o); }
static int link_netfilter(void *o) { return bpf_link_create(5, 6, BPF_NETFILTER, o); }
static int link_tcx(void *o) { return bpf_link_create(5, 6, BPF_TCX_INGRESS, o); }
static int link_multi(void *o) { return bpf_link_create(5, 6, BPF_TRACE_FENTRY_MULTI, o); }
static int update(void *o) { return bpf_link_update(5, 6, o); }
static int map_by_id(void *o) { return bpf_map_get_fd_by_id_opts(5, o); }
static int prog_by_id(void *o) { return bpf_prog_get_fd_by_id_opts(5, o); }
static int link_by_id(void *o) { return bpf_link_get_fd_by_id_opts(5, o); }
static int btf_by_id(void *o) { return bpf_btf_get_fd_by_id_opts(5, o); }
static int query(void *o) { return bpf_prog_query_opts(5, 6, o); }
static int raw_tp(void *o) { return bpf_raw_tracepoint_open_opts(5, o); }
static int bind(void *o) { return bpf_prog_bind_map(5, 6, o); }
static int test_run(void *o) { return bpf_prog_test_run_opts(5, o); }
static int token(void *o) { return bpf_token_create(5, o); }
static int stream(void *o) { return bpf_prog_stream_read(5, 6, NULL, 0, o); }
static int assoc(void *o) { return bpf_prog_assoc_struct_ops(5, 6, o); }

static const struct subject subjects[] = {
	{ SUBJECT(bpf_map_create_opts), map_create, false, {
		IN(bpf_map_create_opts, btf_fd, 48), IN(bpf_map_create_opts, btf_key_type_id, 52), IN(bpf_map_create_opts, btf_value_type_id, 56),
		IN(bpf_map_create_opts, btf_vmlinux_value_type_id, 60), IN(bpf_map_create_opts, inner_map_fd, 20),
		IN(bpf_map_create_opts, map_flags, 16), IN(bpf_map_create_opts, map_extra, 64), IN(bpf_map_create_opts, numa_node, 24),
		IN(bpf_map_create_opts, map_ifindex, 44), IN(bpf_map_create_opts, value_type_btf_obj_fd, 72), IN(bpf_map_create_opts, token_fd, 76),
		IN(bpf_map_create_opts, excl_prog_hash, 80), IN(bpf_map_create_opts, excl_prog_hash_size, 88) }, {}, 0 },
	{ SUBJECT(bpf_log_opts), map_log, true, {
		IN(bpf_log_opts, buf, 0), IN(bpf_log_opts, size, 8), IN(bpf_log_opts, level, 12) }, { OUT(bpf_log_opts, true_size) }, 0 },
	{ SUBJECT(bpf_prog_load_opts), prog_load, false, {
		IN(bpf_prog_load_opts, attempts, NOWHERE), IN(bpf_prog_load_opts, expected_attach_type, 68), IN(bpf_prog_load_opts, prog_btf_fd, 72),
		IN(bpf_prog_load_opts, prog_flags, 44), IN(bpf_prog_load_opts, prog_ifindex, 64), IN(bpf_prog_load_opts, kern_version, 40),
		IN(bpf_prog_load_opts, attach_btf_id, 108), IN(bpf_prog_load_opts, attach_prog_fd, 112), IN(bpf_prog_load_opts, fd_array, 120),
		IN(bpf_prog_load_opts, func_info, 80), IN(bpf_prog_load_opts, func_info_cnt, 88), IN(bpf_prog_load_opts, func_info_rec_size, 76),
		IN(bpf_prog_load_opts, line_info, 96), IN(bpf_prog_load_opts, line_info_cnt, 104), IN(bpf_prog_load_opts, line_info_rec_size, 92),
		IN(bpf_prog_load_opts, token_fd, 144), IN(bpf_prog_load_opts, fd_array_cnt, 148) }, { OUT(bpf_prog_load_opts, log_true_size) }, 0 },
	{ SUBJECT(bpf_btf_load_opts), btf_load, false, { IN(bpf_btf_load_opts, btf_flags, 32), IN(bpf_btf_load_opts, token_fd, 36) },
		{ OUT(bpf_btf_load_opts, log_true_size) }, 0 },
#define BATCH(fn) { SUBJECT(bpf_map_batch_opts), fn, false, { IN(bpf_map_batch_opts, elem_flags, 40), IN(bpf_map_batch_opts, flags, 48) }, {}, 0 }
	BATCH(lookup_batch), BATCH(lookup_and_delete_batch), BATCH(update_batch), BATCH(delete_batch),
	{ SUBJECT(bpf_obj_pin_opts), obj_pin, false, { IN(bpf_obj_pin_opts, file_flags, 12), IN(bpf_obj_pin_opts, path_fd, 16) }, {}, 0 },
	{ SUBJECT(bpf_obj_get_opts), obj_get, false, { IN(bpf_obj_get_opts, file_flags, 12), IN(bpf_obj_get_opts, path_fd, 16) }, {}, 0 },
	{ SUBJECT(bpf_prog_attach_opts), attach, false, { IN(bpf_prog_attach_opts, flags, 12), IN(bpf_prog_attach_opts, replace_fd, 16),
		IN(bpf_prog_attach_opts, relative_fd, 20), IN(bpf_prog_attach_opts, expected_revision, 24) }, {}, 0 },
	{ SUBJECT(bpf_prog_detach_opts), detach, false, { IN(bpf_prog_detach_opts, flags, 12), IN(bpf_prog_detach_opts, relative_fd, 20),
		IN(bpf_prog_detach_opts, expected_revision, 24) }, {}, 0 },
#define LINK(fn, ...) { SUBJECT(bpf_link_create_opts), fn, false, { IN(bpf_link_create_opts, flags, 12), ## __VA_ARGS__ }, {}, 0 }
#define L(field, attr) IN(bpf_link_create_opts, field, attr)
	LINK(link_xdp),
	LINK(link_iter, L(iter_info, 16), L(iter_info_len, 24)),
	{ SUBJECT(bpf_link_create_opts), link_xdp, false, { L(flags, 12), L(target_btf_id, 16) }, {},
	  offsetof(struct bpf_link_create_opts, target_btf_id) },
	LINK(link_perf, L(perf_event.bpf_cookie, 16)),
	LINK(link_kprobe, L(kprobe_multi.flags, 16), L(kprobe_multi.cnt, 20), L(kprobe_multi.syms, 24), L(kprobe_multi.addrs, 32),
	     L(kprobe_multi.cookies, 40)),
	LINK(link_uprobe, L(uprobe_multi.flags, 52), L(uprobe_multi.cnt, 48), L(uprobe_multi.path, 16), L(uprobe_multi.offsets, 24),
	     L(uprobe_multi.ref_ctr_offsets, 32), L(uprobe_multi.cookies, 40), L(uprobe_multi.pid, 56), L(uprobe_multi.path_fd, 60)),
	LINK(link_fentry, L(tracing.cookie, 24)),
	LINK(link_netfilter, L(netfilter.pf, 16), L(netfilter.hooknum, 20), L(netfilter.priority, 24), L(netfilter.flags, 28)),
	LINK(link_tcx, L(tcx.relative_fd, 16), L(tcx.expected_revision, 24)),
	LINK(link_multi, L(tracing_multi.ids, 16), L(tracing_multi.cookies, 24), L(tracing_multi.cnt, 32)),
	{ SUBJECT(bpf_link_update_opts), update, false, { IN(bpf_link_update_opts, flags, 8), IN(bpf_link_update_opts, old_prog_fd, 12) }, {}, 0 },
	{ SUBJECT(bpf_link_update_opts), update, false, { IN(bpf_link_update_opts, flags, 8), IN(bpf_link_update_opts, old_map_fd, 12) }, {}, 0 },
#define BY_ID(fn, token) { SUBJECT(bpf_get_fd_by_id_opts), fn, false, { IN(bpf_get_fd_by_id_opts, open_flags, 8), \
		IN(bpf_get_fd_by_id_opts, token_fd, token) }, {}, 0 }
	BY_ID(map_by_id, NOWHERE), BY_ID(prog_by_id, NOWHERE), BY_ID(link_by_id, NOWHERE), BY_ID(btf_by_id, 12),
	{ SUBJECT(bpf_prog_query_opts), query, false, { IN(bpf_prog_query_opts, query_flags, 8), IN(bpf_prog_query_opts, prog_ids, 16),
		IN(bpf_prog_query_opts, count, 24), IN(bpf_prog_query_opts, prog_attach_flags, 32), IN(bpf_prog_query_opts, link_ids, 40),
		IN(bpf_prog_query_opts, link_attach_flags, 48) },
		{ OUT(bpf_prog_query_opts, attach_flags), OUT(bpf_prog_query_opts, count), OUT(bpf_prog_query_opts, revision) }, 0 },
	{ SUBJECT(bpf_raw_tp_opts), raw_tp, false, { IN(bpf_raw_tp_opts, tp_name, 0), IN(bpf_raw_tp_opts, cookie, 16) }, {}, 0 },
	{ SUBJECT(bpf_prog_bind_opts), bind, false, { IN(bpf_prog_bind_opts, flags, 8) }, {}, 0 },
	{ SUBJECT(bpf_test_run_opts), test_run, false, { IN(bpf_test_run_opts, data_in, 16), IN(bpf_test_run_opts, data_out, 24),
		IN(bpf_test_run_opts, data_size_in, 8), IN(bpf_test_run_opts, data_size_out, 12), IN(bpf_test_run_opts, ctx_in, 48),
		IN(bpf_test_run_opts, ctx_out, 56), IN(bpf_test_run_opts, ctx_size_in, 40), IN(bpf_test_run_opts, ctx_size_out, 44),
		IN(bpf_test_run_opts, repeat, 32), IN(bpf_test_run_opts, flags, 64), IN(bpf_test_run_opts, cpu, 68), IN(bpf_test_run_opts, batch_size, 72) },
		{ OUT(bpf_test_run_opts, data_size_out), OUT(bpf_test_run_opts, ctx_size_out), OUT(bpf_test_run_opts, retval), OUT(bpf_test_run_opts, duration) }, 0 },
	{ SUBJECT(bpf_token_create_opts), token, false, { IN(bpf_token_create_opts, flags, 0) }, {}, 0 },
	{ SUBJECT(bpf_prog_stream_read_opts), stream, false, {}, {}, 0 },
	{ SUBJECT(bpf_prog_assoc_struct_ops_opts), assoc, false, { IN(bpf_prog_assoc_struct_ops_opts, flags, 8) }, {}, 0 },
};

#define COVERS_ALL() COVERS(bpf_map_create, bpf_prog_load, bpf_btf_load, bpf_map_lookup_batch, bpf_map_lookup_and_delete_batch, \
	bpf_map_update_batch, bpf_map_delete_batch, bpf_obj_pin_opts, bpf_obj_get_opts, bpf_prog_attach_opts, bpf_prog_detach_opts, \
	bpf_link_create, bpf_link_update, bpf_map_get_fd_by_id_opts, bpf_prog_get_fd_by_id_opts, bpf_link_get_fd_by_id_opts, \
	bpf_btf_get_fd_by_id_opts, bpf_prog_query_opts, bpf_raw_tracepoint_open_opts, bpf_prog_bind_map, bpf_prog_test_run_opts, \
	bpf_token_create, bpf_prog_stream_read, bpf_prog_assoc_struct_ops)

/* Supports common attributes, overwrites the whole attribute, and returns a value that is valid for every function. */
static long scribbling(struct bpf_call *call, int number)
{
	(void)number;
	if (call->cmd & BPF_COMMON_ATTRS) {
		if (!call->common)
			return -EFAULT;
		memset((void *)(uintptr_t)call->common, 0x5a, call->common_size);
	}
	memset(call->live, 0x5a, call->size);
	return 9;
}

/* Every input set to distinct bytes, the rest zero. */
static void fill(const struct subject *s, unsigned char *opts, size_t sz)
{
	memset(opts, 0, OPTS_MAX);
	memcpy(opts, &sz, sizeof(sz));
	for (int i = 0; i < FIELDS_MAX && s->in[i].width; i++)
		memset(opts + s->in[i].offset, 0x11 + i, s->in[i].width);
}

/* The expected attribute: that without options, plus each input within sz. */
static void check_sent(const struct subject *s, const unsigned char *plain, const unsigned char *opts, size_t sz)
{
	unsigned char want[ATTR_MAX];
	const unsigned char *got = s->common ? last_call()->common_attr : last_call()->attr;
	size_t size = s->common ? 24 : last_call()->size;

	memcpy(want, plain, sizeof(want));
	for (int i = 0; i < FIELDS_MAX && s->in[i].width; i++)
		if (s->in[i].attr != NOWHERE && s->in[i].offset + s->in[i].width <= sz)
			memcpy(want + s->in[i].attr, opts + s->in[i].offset, s->in[i].width);
	for (size_t i = 0; i < size; i++)
		if (got[i] != want[i])
			fail_msg("%s with sz %zu: byte %zu sent is %02x, wanted %02x", s->name, sz, i, got[i], want[i]);
}

/* The expected options after the call: unchanged, except for each output within sz. */
static void check_kept(const struct subject *s, const unsigned char *before, const unsigned char *after, size_t len, size_t sz)
{
	unsigned char want[OPTS_MAX];

	memcpy(want, before, OPTS_MAX);
	for (int i = 0; i < 5 && s->out[i].width; i++)
		if (s->out[i].offset + s->out[i].width <= sz)
			memset(want + s->out[i].offset, 0x5a, s->out[i].width);
	for (size_t i = 0; i < len; i++)
		if (after[i] != want[i])
			fail_msg("%s with sz %zu: byte %zu of the options is %02x afterwards, wanted %02x", s->name, sz, i, after[i], want[i]);
}

/* The attribute without options. Also makes the library probe the kernel, which it does once. */
static void plain_attr(const struct subject *s, unsigned char *plain)
{
	memset(plain, 0, ATTR_MAX);
	script(scribbling);
	if (s->common) {
		LIBBPF_OPTS(bpf_log_opts, none);

		s->call(&none);
		return;
	}
	s->call(NULL);
	memcpy(plain, last_call()->attr, ATTR_MAX);
}

/* A call that must reach the kernel once and succeed. */
static void must_call(const struct subject *s, void *opts, size_t sz)
{
	int ret;

	script(scribbling);
	capture_stderr();
	errno = ERRNO_MARK;
	ret = s->call(opts);
	int err = errno;
	const char *text = captured_stderr();

	if (ret < 0 || err != ERRNO_MARK || recorded->count != 1 || *text)
		fail_msg("%s with sz %zu: returned %d, errno %d, %d calls, said \"%s\"", s->name, sz, ret, err, recorded->count, text);
}

/* A call that must be rejected with a warning before the system call. */
static void must_reject(const struct subject *s, void *opts, size_t sz)
{
	int ret;

	script(scribbling);
	capture_stderr();
	errno = ERRNO_MARK;
	ret = s->call(opts);
	int err = errno;
	const char *text = captured_stderr();

	if (ret != -EINVAL || err != EINVAL || recorded->count != 0)
		fail_msg("%s with sz %zu: returned %d, errno %d, %d calls; wanted EINVAL and none", s->name, sz, ret, err, recorded->count);
	assert_one_warning(text);
	if (!strstr(text, s->name))
		fail_msg("the warning about %s does not name it: \"%s\"", s->name, text);
}

TEST(a_member_is_used_only_if_sz_covers_all_of_it)
{
	COVERS_ALL();
	unsigned char plain[ATTR_MAX], opts[OPTS_MAX] __attribute__((aligned(8))), before[OPTS_MAX];

	for (const struct subject *s = subjects; s < subjects + ARRAY_SIZE(subjects); s++) {
		assert_true(s->size + PAST <= OPTS_MAX);
		plain_attr(s, plain);
		for (size_t sz = sizeof(size_t); sz <= s->size + PAST; sz++) {
			fill(s, opts, sz);
			/* The bytes after sz are not zero: they must not be read. */
			memset(opts + (sz > s->known ? sz : s->known), 0xee, OPTS_MAX - (sz > s->known ? sz : s->known));
			memcpy(before, opts, sizeof(opts));
			if (s->cut_rejected && sz > s->cut_rejected && sz < s->cut_rejected + 4) {
				script(scribbling);
				assert_fails(EINVAL, s->call(opts));
				assert_int_equal(recorded->count, 0);
				continue;
			}
			must_call(s, opts, sz);
			check_sent(s, plain, before, sz);
			check_kept(s, before, opts, OPTS_MAX, sz);
		}
	}
}

TEST(a_struct_is_not_read_past_its_end)
{
	COVERS_ALL();
	unsigned char plain[ATTR_MAX], opts[OPTS_MAX];

	for (const struct subject *s = subjects; s < subjects + ARRAY_SIZE(subjects); s++) {
		plain_attr(s, plain);
		/* Only sizes at which the struct is properly aligned. */
		for (size_t sz = 8; sz <= s->size + PAST; sz += 8) {
			unsigned char *end = before_guard(sz);

			fill(s, opts, sz);
			memcpy(end, opts, sz);
			must_call(s, end, sz);
			check_sent(s, plain, opts, sz);
			check_kept(s, opts, end, sz, sz);
		}
	}
}

TEST(an_sz_below_a_size_t_is_rejected)
{
	COVERS_ALL();
	unsigned char opts[OPTS_MAX] __attribute__((aligned(8))), before[OPTS_MAX], plain[ATTR_MAX];

	for (const struct subject *s = subjects; s < subjects + ARRAY_SIZE(subjects); s++) {
		plain_attr(s, plain);
		for (size_t sz = 0; sz < sizeof(size_t); sz++) {
			fill(s, opts, sz);
			memcpy(before, opts, sizeof(opts));
			must_reject(s, opts, sz);
			assert_memory_equal(opts, before, sizeof(opts));
		}
	}
}

TEST(a_nonzero_byte_anywhere_in_the_tail_is_rejected)
{
	COVERS_ALL();
	unsigned char opts[OPTS_MAX] __attribute__((aligned(8))), before[OPTS_MAX], plain[ATTR_MAX];

	for (const struct subject *s = subjects; s < subjects + ARRAY_SIZE(subjects); s++) {
		plain_attr(s, plain);
		for (size_t sz = s->known + 1; sz <= s->size + PAST; sz++) {
			for (size_t at = s->known; at < sz; at++) {
				fill(s, opts, sz);
				opts[at] = 0x80;
				memcpy(before, opts, sizeof(opts));
				must_reject(s, opts, sz);
				assert_memory_equal(opts, before, sizeof(opts));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_member_is_used_only_if_sz_covers_all_of_it),
		T(a_struct_is_not_read_past_its_end),
		T(an_sz_below_a_size_t_is_rejected),
		T(a_nonzero_byte_anywhere_in_the_tail_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
