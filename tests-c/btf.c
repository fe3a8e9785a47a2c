/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_btf_load, its log, and information about the loaded BTF object. */
#include "support.h"

static char blob[512];

TEST(btf_is_loaded_and_described)
{
	COVERS(bpf_btf_load, bpf_btf_get_info_by_fd);
	size_t size = small_btf(blob, sizeof(blob));
	char copy[512] = "";
	struct bpf_btf_info info = { .btf = (uintptr_t)copy, .btf_size = sizeof(copy) };
	__u32 len = sizeof(info);
	int fd = assert_fd(bpf_btf_load(blob, size, NULL));

	assert_ok(bpf_btf_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.btf_size, size);
	assert_memory_equal(copy, blob, size);
	assert_true(info.id > 0);
	close(fd);
}

TEST(rejected_btf_is_logged_even_at_level_0)
{
	COVERS(bpf_btf_load);
	size_t size = small_btf(blob, sizeof(blob));
	char log[1024] = "";
	LIBBPF_OPTS(bpf_btf_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_true_size = 77);

	close(assert_fd(bpf_btf_load(blob, size, &opts)));
	assert_string_equal(log, "");
	assert_int_equal(opts.log_true_size, 0);

	((struct btf_header *)blob)->magic = 0x1234;
	assert_fails(EINVAL, bpf_btf_load(blob, size, &opts));
	assert_non_null(strstr(log, "magic"));
	if (kernel_knows("btf_log_true_size"))
		assert_int_equal(opts.log_true_size, strlen(log) + 1);
	assert_fails(EINVAL, bpf_btf_load(blob, size, NULL));
}

TEST(valid_btf_is_logged_on_request)
{
	COVERS(bpf_btf_load);
	size_t size = small_btf(blob, sizeof(blob));
	char log[4096] = "";
	LIBBPF_OPTS(bpf_btf_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_level = 1);

	close(assert_fd(bpf_btf_load(blob, size, &opts)));
	assert_non_null(strstr(log, "pair"));
	opts.log_size = 128;
	assert_fails(ENOSPC, bpf_btf_load(blob, size, &opts));
	if (kernel_knows("btf_log_true_size"))
		assert_true(opts.log_true_size > 128);
}

TEST(arguments_are_checked)
{
	COVERS(bpf_btf_load);
	size_t size = small_btf(blob, sizeof(blob));
	int token = open("/dev/null", O_RDONLY | O_CLOEXEC);
	LIBBPF_OPTS(bpf_btf_load_opts, no_buf, .log_size = 128);
	LIBBPF_OPTS(bpf_btf_load_opts, flags, .btf_flags = 1U << 31);
	LIBBPF_OPTS(bpf_btf_load_opts, with_token, .btf_flags = BPF_F_TOKEN_FD, .token_fd = token);

	assert_fails(EINVAL, bpf_btf_load(blob, size, &no_buf));
	assert_fails_either(EINVAL, E2BIG, bpf_btf_load(blob, size, &flags));
	assert_fails_either(EINVAL, E2BIG, bpf_btf_load(blob, size, &with_token));
	close(token);
	assert_fails(EINVAL, bpf_btf_load(blob, 0, NULL));
	assert_fails(EINVAL, bpf_btf_load(blob, 5, NULL));
	assert_fails(EFAULT, bpf_btf_load(before_guard(0), size, NULL));
	assert_fails(E2BIG, bpf_btf_load(blob, UINT32_MAX, NULL));
#if SIZE_MAX > UINT32_MAX
	/* The low 32 bits would be a valid size. */
	assert_fails(E2BIG, bpf_btf_load(blob, ((size_t)1 << 32) + size, NULL));
	assert_fails(E2BIG, bpf_btf_load(blob, SIZE_MAX, NULL));
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(btf_is_loaded_and_described),
		T(rejected_btf_is_logged_even_at_level_0),
		T(valid_btf_is_logged_on_request),
		T(arguments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
