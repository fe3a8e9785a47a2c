/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The two newest commands: reading a program's output stream, and associating a program with a struct_ops map. */
#include "support.h"

TEST(reading_an_empty_stream_returns_0)
{
	COVERS(bpf_prog_stream_read);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);
	char text[64];
	LIBBPF_OPTS(bpf_prog_stream_read_opts, opts);

	if (!kernel_knows("BPF_PROG_STREAM_READ_BY_FD")) {
		assert_fails(EINVAL, bpf_prog_stream_read(prog, BPF_STREAM_STDOUT, text, sizeof(text), &opts));
		close(prog);
		skip_test("this kernel has no BPF_PROG_STREAM_READ_BY_FD (EINVAL, as expected)");
	}
	assert_ok(bpf_prog_stream_read(prog, BPF_STREAM_STDOUT, text, sizeof(text), &opts));
	assert_ok(bpf_prog_stream_read(prog, BPF_STREAM_STDERR, text, sizeof(text), NULL));
	assert_ok(bpf_prog_stream_read(prog, BPF_STREAM_STDERR, text, 0, NULL));
	assert_fails_either(ENOENT, EINVAL, bpf_prog_stream_read(prog, 77, text, sizeof(text), NULL));
	assert_fails_either(ENOENT, EINVAL, bpf_prog_stream_read(prog, UINT32_MAX, text, sizeof(text), NULL));
	close(prog);
}

TEST(the_output_of_a_program_is_read)
{
	COVERS(bpf_prog_stream_read);
	/* 6.18 has it with a suffix, older and newer kernels without. */
	__u32 printk = kernel_btf_id("bpf_stream_vprintk", BTF_KIND_FUNC);

	if (!printk)
		printk = kernel_btf_id("bpf_stream_vprintk_impl", BTF_KIND_FUNC);
	if (!printk || !kernel_knows("BPF_PROG_STREAM_READ_BY_FD")) {
		assert_fails_either(EINVAL, EBADF, bpf_prog_stream_read(-1, BPF_STREAM_STDOUT, NULL, 0, NULL));
		skip_test("this kernel has no program streams");
	}
	/* The program prints a text from a frozen, read-only map to its stdout. */
	static const char format[8] = "hello\n";
	__u32 key = 0;
	LIBBPF_OPTS(bpf_map_create_opts, read_only, .map_flags = BPF_F_RDONLY_PROG);
	int map = assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "text", 4, sizeof(format), 1, &read_only));

	assert_ok(bpf_map_update_elem(map, &key, format, 0));
	assert_ok(bpf_map_freeze(map));
	struct bpf_insn insns[] = {
		MOV_IMM(1, BPF_STREAM_STDOUT),
		INSN(BPF_LD | BPF_DW | BPF_IMM, 2, BPF_PSEUDO_MAP_VALUE, 0, map), INSN(0, 0, 0, 0, 0),
		/* One argument, which the text does not use. */
		STORE_IMM(BPF_DW, 10, -8, 0),
		MOV_REG(3, 10),
		ADD_IMM(3, -8),
		MOV_IMM(4, 8),
		MOV_IMM(5, 0),
		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, printk),
		EXIT(),
	};
	char log[8192] = "", text[64];
	LIBBPF_OPTS(bpf_prog_load_opts, load, .prog_flags = BPF_F_SLEEPABLE, .log_buf = log, .log_size = sizeof(log));
	int prog = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "prints", "GPL", insns, ARRAY_SIZE(insns), &load);

	if (prog < 0)
		fail_msg("the printing program is rejected: %s\n%s", strerror(-prog), log);
	LIBBPF_OPTS(bpf_test_run_opts, run);

	assert_ok(bpf_prog_test_run_opts(prog, &run));
	if ((int)run.retval == -ENOMEM) {
		/* The memory is allocated without locks, which is not possible on every processor. */
		assert_ok(bpf_prog_stream_read(prog, BPF_STREAM_STDOUT, text, sizeof(text), NULL));
		close(prog);
		close(map);
		skip_test("this kernel has no memory for the output of a program (printing fails with ENOMEM)");
	}
	assert_int_equal(run.retval, 0);
	memset(text, 'c', sizeof(text));
	assert_returns(4, bpf_prog_stream_read(prog, BPF_STREAM_STDOUT, text, 4, NULL));
	assert_memory_equal(text, "hellc", 5);
	assert_returns(2, bpf_prog_stream_read(prog, BPF_STREAM_STDOUT, text, sizeof(text), NULL));
	assert_memory_equal(text, "o\nllc", 5);
	close(prog);
	close(map);
}

TEST(invalid_descriptors_are_rejected)
{
	COVERS(bpf_prog_stream_read, bpf_prog_assoc_struct_ops);
	const int wild[] = { -1, 9999, wild_fd() };
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0), map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	int stream_err = kernel_knows("BPF_PROG_STREAM_READ_BY_FD") ? EBADF : EINVAL;
	int assoc_err = kernel_knows("BPF_PROG_ASSOC_STRUCT_OPS") ? EBADF : EINVAL;
	char text[8];

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		int fd = i < 2 ? wild[i] : wild_fd();

		assert_fails(stream_err, bpf_prog_stream_read(fd, BPF_STREAM_STDOUT, text, sizeof(text), NULL));
		assert_fails(assoc_err, bpf_prog_assoc_struct_ops(fd, map, NULL));
		assert_fails(assoc_err, bpf_prog_assoc_struct_ops(prog, fd, NULL));
	}
	close(map);
	close(prog);
}

TEST(only_a_struct_ops_map_is_associated)
{
	COVERS(bpf_prog_assoc_struct_ops);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0), map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	LIBBPF_OPTS(bpf_prog_assoc_struct_ops_opts, opts);
	LIBBPF_OPTS(bpf_prog_assoc_struct_ops_opts, flags, .flags = 1);

	assert_fails(EINVAL, bpf_prog_assoc_struct_ops(prog, map, &opts));
	assert_fails(EINVAL, bpf_prog_assoc_struct_ops(prog, map, &flags));
	assert_fails(EINVAL, bpf_prog_assoc_struct_ops(map, prog, NULL));
	close(map);
	close(prog);
}

TEST(a_program_is_associated_with_a_struct_ops_map)
{
	COVERS(bpf_prog_assoc_struct_ops);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);

	if (!kernel_knows("BPF_PROG_ASSOC_STRUCT_OPS")) {
		assert_fails(EINVAL, bpf_prog_assoc_struct_ops(prog, -1, NULL));
		close(prog);
		skip_test("this kernel has no BPF_PROG_ASSOC_STRUCT_OPS (EINVAL, as expected)");
	}
	/* A map for congestion control operations, which remains empty. */
	__u32 ops = kernel_btf_id("bpf_struct_ops_tcp_congestion_ops", BTF_KIND_STRUCT);

	if (!ops) {
		close(prog);
		skip_test("this kernel has no congestion control in struct_ops");
	}
	char log[256] = "", blob[512];
	/* Such a map also requires a BTF object, of any content. */
	int btf = assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), NULL));
	LIBBPF_OPTS(bpf_log_opts, log_opts, .buf = log, .size = sizeof(log), .level = 1);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = btf, .btf_vmlinux_value_type_id = ops, .log_opts = &log_opts);
	int map = bpf_map_create(BPF_MAP_TYPE_STRUCT_OPS, "ops", 4, kernel_btf_size(ops), 1, &opts);

	if (map < 0)
		fail_msg("no struct_ops map of type %u, size %u: %s: %s", ops, kernel_btf_size(ops), strerror(-map), log);

	assert_ok(bpf_prog_assoc_struct_ops(prog, map, NULL));
	/* A program can be associated with one struct_ops map only. */
	assert_ok(bpf_prog_assoc_struct_ops(prog, map, NULL));
	int other = assert_fd(bpf_map_create(BPF_MAP_TYPE_STRUCT_OPS, "ops", 4, kernel_btf_size(ops), 1, &opts));

	assert_fails(EBUSY, bpf_prog_assoc_struct_ops(prog, other, NULL));
	close(other);
	close(map);
	close(btf);
	close(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reading_an_empty_stream_returns_0),
		T(the_output_of_a_program_is_read),
		T(invalid_descriptors_are_rejected),
		T(only_a_struct_ops_map_is_associated),
		T(a_program_is_associated_with_a_struct_ops_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
