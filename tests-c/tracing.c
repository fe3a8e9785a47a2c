/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tracing: raw tracepoints by name, BTF-typed programs and links, iterators, and bpf_task_fd_query. */
#include "support.h"

static int load_tracing(enum bpf_attach_type attach_type, const char *target, int value)
{
	__u32 id = kernel_btf_id(target, attach_type == BPF_TRACE_RAW_TP ? BTF_KIND_TYPEDEF : BTF_KIND_FUNC);
	struct bpf_insn insns[] = { MOV_IMM(0, value), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type, .attach_btf_id = id);

	if (!id)
		skip_test("this kernel's type information has no %s", target);
	return bpf_prog_load(BPF_PROG_TYPE_TRACING, "traces", "GPL", insns, ARRAY_SIZE(insns), &opts);
}

/* A program that counts its runs in a map, and that count. */
static int counting_prog(int map)
{
	return load_counter(BPF_PROG_TYPE_RAW_TRACEPOINT, map);
}

static __u64 counted(int map)
{
	__u32 key = 0;
	__u64 value = 0;

	assert_ok(bpf_map_lookup_elem(map, &key, &value));
	return value;
}

TEST(a_raw_tracepoint_is_opened_by_name)
{
	COVERS(bpf_raw_tracepoint_open);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), prog = counting_prog(map);
	int fd = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));

	(void)getppid();
	assert_true(counted(map) > 0);
	close(fd);
	assert_fails(ENOENT, bpf_raw_tracepoint_open("no_such_tracepoint", prog));
	assert_fails(EBADF, bpf_raw_tracepoint_open("sys_enter", -1));
	assert_fails(EBADF, bpf_raw_tracepoint_open("sys_enter", 9999));
	assert_fails(EINVAL, bpf_raw_tracepoint_open("sys_enter", map));
	close(prog);
	close(map);
}

TEST(a_raw_tracepoint_takes_a_cookie)
{
	COVERS(bpf_raw_tracepoint_open_opts);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), prog = counting_prog(map);
	LIBBPF_OPTS(bpf_raw_tp_opts, opts, .tp_name = "sys_enter");
	int fd = assert_fd(bpf_raw_tracepoint_open_opts(prog, &opts));

	(void)getppid();
	assert_true(counted(map) > 0);
	close(fd);
	opts.tp_name = "no_such_tracepoint";
	assert_fails(ENOENT, bpf_raw_tracepoint_open_opts(prog, &opts));
	assert_fails_either(EFAULT, EINVAL, bpf_raw_tracepoint_open_opts(prog, NULL));

	/* The program writes its cookie to the map. */
	struct bpf_insn insns[] = {
		CALL(BPF_FUNC_get_attach_cookie),
		STORE(BPF_DW, 10, 0, -16),
		STORE_IMM(BPF_W, 10, -4, 0),
		MAP_FD(1, map), MOV_REG(2, 10), ADD_IMM(2, -4), MOV_REG(3, 10), ADD_IMM(3, -16), MOV_IMM(4, 0),
		CALL(BPF_FUNC_map_update_elem),
		MOV_IMM(0, 0),
		EXIT(),
	};
	int reader = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "cookie", "GPL", insns, ARRAY_SIZE(insns), NULL);

	opts.tp_name = "sys_enter";
	opts.cookie = 0x123456789abcdef0;
	if (reader < 0) {
		/* Raw tracepoints have cookies since 6.10. Older kernels have neither the helper nor the member. */
		assert_fails_either(EINVAL, E2BIG, bpf_raw_tracepoint_open_opts(prog, &opts));
		close(prog);
		close(map);
		skip_test("this kernel has no cookies for raw tracepoints (the option is rejected, as expected)");
	}
	fd = assert_fd(bpf_raw_tracepoint_open_opts(reader, &opts));
	(void)getppid();
	assert_true(counted(map) == 0x123456789abcdef0);
	close(fd);
	close(reader);
	close(prog);
	close(map);
}

TEST(typed_programs_are_attached_by_links)
{
	COVERS(bpf_link_create);
	int prog = load_tracing(BPF_TRACE_FENTRY, "bpf_fentry_test1", 0);

	if (prog < 0)
		skip_test("this kernel cannot trace function entries: %s", strerror(-prog));
	LIBBPF_OPTS(bpf_link_create_opts, opts, .tracing.cookie = 0x77);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int link = bpf_link_create(prog, 0, BPF_TRACE_FENTRY, &opts);

	if (link < 0 && (link == -ENOTSUP || link == -524)) {
		close(prog);
		skip_test("this architecture cannot attach to function entries (%s)", strerrorname(-link));
	}
	if (link < 0) {
		/* Cookies exist since 5.19; the fallback to a raw tracepoint cannot have one. */
		assert_int_equal(link, -EINVAL);
		assert_false(kernel_knows("BPF_LINK_TYPE_KPROBE_MULTI"));
		close(assert_fd_at_last(bpf_link_create(prog, 0, BPF_TRACE_FENTRY, NULL)));
		close(prog);
		skip_test("this kernel accepts no cookie for a traced function (EINVAL, as expected)");
	}
	assert_ok(bpf_link_get_info_by_fd(link, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_TRACING);
	assert_int_equal(info.tracing.attach_type, BPF_TRACE_FENTRY);
	close(link);
	/* Without options: a link if the kernel supports it, else a raw tracepoint. */
	link = assert_fd_at_last(bpf_link_create(prog, 0, BPF_TRACE_FENTRY, NULL));
	close(link);
	close(prog);
}

TEST(a_typed_raw_tracepoint_is_attached_without_a_name)
{
	COVERS(bpf_link_create, bpf_raw_tracepoint_open);
	int prog = load_tracing(BPF_TRACE_RAW_TP, "btf_trace_sys_enter", 0);

	if (prog < 0)
		fail_msg("a typed raw tracepoint program is rejected: %s", strerror(-prog));
	close(assert_fd(bpf_raw_tracepoint_open(NULL, prog)));
	/* Before 5.19 it falls back to a raw tracepoint. */
	close(assert_fd_at_last(bpf_link_create(prog, 0, BPF_TRACE_RAW_TP, NULL)));
	close(prog);
}

TEST(an_iterator_lists_every_object)
{
	COVERS(bpf_iter_create, bpf_link_create);
	/* bpf_seq_write(ctx->meta->seq, "x", 1) for every task. */
	__u32 id = kernel_btf_id("bpf_iter_task", BTF_KIND_FUNC);
	struct bpf_insn insns[] = {
		LOAD(BPF_DW, 1, 1, 0),
		LOAD(BPF_DW, 1, 1, 0),
		STORE_IMM(BPF_B, 10, -8, 'x'),
		MOV_REG(2, 10),
		ADD_IMM(2, -8),
		MOV_IMM(3, 1),
		CALL(BPF_FUNC_seq_write),
		MOV_IMM(0, 0),
		EXIT(),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_TRACE_ITER, .attach_btf_id = id);
	char text[4096];

	if (!id)
		skip_test("this kernel has no task iterator");
	int prog = assert_fd(bpf_prog_load(BPF_PROG_TYPE_TRACING, "tasks", "GPL", insns, ARRAY_SIZE(insns), &load));
	int link = assert_fd(bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL));
	int iter = assert_fd(bpf_iter_create(link));
	ssize_t got = read(iter, text, sizeof(text));

	assert_true(got > 0);
	for (ssize_t i = 0; i < got; i++)
		assert_int_equal(text[i], 'x');
	close(iter);
	assert_fails(EINVAL, bpf_iter_create(prog));
	assert_fails(EBADF, bpf_iter_create(-1));
	assert_fails(EBADF, bpf_iter_create(9999));
	close(link);
	close(prog);
}

TEST(a_map_iterator_takes_a_map_fd)
{
	COVERS(bpf_link_create, bpf_iter_create);
	__u32 id = kernel_btf_id("bpf_iter_bpf_map_elem", BTF_KIND_FUNC);
	struct bpf_insn insns[] = { MOV_IMM(0, 0), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_TRACE_ITER, .attach_btf_id = id);
	int map = make_map(BPF_MAP_TYPE_HASH, 4, 4, 4);
	union bpf_iter_link_info info = { .map.map_fd = map };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	char text[16];

	if (!id) {
		close(map);
		skip_test("this kernel has no iterator over the elements of a map");
	}
	int prog = assert_fd(bpf_prog_load(BPF_PROG_TYPE_TRACING, "elems", "GPL", insns, ARRAY_SIZE(insns), &load));
	int link = assert_fd(bpf_link_create(prog, 0, BPF_TRACE_ITER, &opts));
	int iter = assert_fd(bpf_iter_create(link));

	assert_int_equal(read(iter, text, sizeof(text)), 0);
	close(iter);
	close(link);
	/* The map must be specified. */
	assert_fails(EBADF, bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL));
	info.map.map_fd = 9999;
	assert_fails(EBADF, bpf_link_create(prog, 0, BPF_TRACE_ITER, &opts));
	close(prog);
	close(map);
}

TEST(task_fd_query_reports_the_tracepoint)
{
	COVERS(bpf_task_fd_query);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int fd = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));
	char name[64] = "";
	__u32 len = sizeof(name), id = 77, type = 77;
	__u64 offset = 77, addr = 77;

	assert_ok(bpf_task_fd_query(getpid(), fd, 0, name, &len, &id, &type, &offset, &addr));
	assert_string_equal(name, "sys_enter");
	assert_int_equal(len, strlen("sys_enter"));
	assert_int_equal(id, prog_id(prog));
	assert_int_equal(type, BPF_FD_TYPE_RAW_TRACEPOINT);
	assert_true(offset == 0 && addr == 0);

	/* The buffer is too small: the name is truncated, and its full length returned. */
	memset(name, 'c', sizeof(name));
	len = 4;
	assert_fails(ENOSPC, bpf_task_fd_query(getpid(), fd, 0, name, &len, &id, &type, &offset, &addr));
	assert_int_equal(len, strlen("sys_enter"));
	assert_string_equal(name, "sys");
	assert_int_equal(name[4], 'c');
	len = 0;
	assert_ok(bpf_task_fd_query(getpid(), fd, 0, NULL, &len, &id, &type, &offset, &addr));
	assert_int_equal(len, strlen("sys_enter"));

	len = sizeof(name);
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 1, name, &len, &id, &type, &offset, &addr));
	assert_fails_either(EBADF, ENOENT, bpf_task_fd_query(getpid(), 9999, 0, name, &len, &id, &type, &offset, &addr));
	assert_fails(ENOENT, bpf_task_fd_query(INT_MAX, fd, 0, name, &len, &id, &type, &offset, &addr));
	assert_fails_either(524 /* ENOTSUPP */, EINVAL, bpf_task_fd_query(getpid(), prog, 0, name, &len, &id, &type, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 0, name, NULL, &id, &type, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 0, name, &len, NULL, &type, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 0, name, &len, &id, NULL, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 0, name, &len, &id, &type, NULL, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(getpid(), fd, 0, name, &len, &id, &type, &offset, NULL));
	close(fd);
	close(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_raw_tracepoint_is_opened_by_name),
		T(a_raw_tracepoint_takes_a_cookie),
		T(typed_programs_are_attached_by_links),
		T(a_typed_raw_tracepoint_is_attached_without_a_name),
		T(an_iterator_lists_every_object),
		T(a_map_iterator_takes_a_map_fd),
		T(task_fd_query_reports_the_tracepoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
