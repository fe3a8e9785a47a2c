/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_map_create: types of maps, names of any length, every option, errors of the kernel. */
#include "support.h"

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	assert_ok(bpf_map_get_info_by_fd(fd, &info, &len));
	return info;
}

TEST(a_map_has_the_requested_type_and_sizes)
{
	COVERS(bpf_map_create);
	int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_HASH, "shape", 12, 40, 5, NULL));
	struct bpf_map_info info = info_of(fd);

	assert_int_equal(info.type, BPF_MAP_TYPE_HASH);
	assert_int_equal(info.key_size, 12);
	assert_int_equal(info.value_size, 40);
	assert_int_equal(info.max_entries, 5);
	assert_string_equal(info.name, "shape");
	close(fd);
}

TEST(names_of_any_length_are_cut_at_15)
{
	COVERS(bpf_map_create);
	const size_t lengths[] = { 0, 1, 14, 15, 16, 100 };
	char name[101];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(name, 'n', sizeof(name));
		name[lengths[i]] = '\0';
		int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, 4, 1, NULL));
		struct bpf_map_info info = info_of(fd);

		assert_int_equal(strlen(info.name), lengths[i] < 15 ? lengths[i] : 15);
		assert_memory_equal(info.name, name, strlen(info.name));
		close(fd);
	}
	int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL));

	assert_string_equal(info_of(fd).name, "");
	close(fd);
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, "a-b", 4, 4, 1, NULL));
}

TEST(a_name_is_not_read_past_its_end)
{
	COVERS(bpf_map_create);
	char *name = before_guard(3);

	strcpy(name, "ab");
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, 4, 1, NULL)));
	/* Only the first 15 bytes of a longer name must be readable. */
	name = before_guard(16);
	memset(name, 'x', 15);
	name[15] = '\0';
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, 4, 1, NULL)));
}

TEST(options_reach_the_kernel)
{
	COVERS(bpf_map_create);
	LIBBPF_OPTS(bpf_map_create_opts, flags, .map_flags = BPF_F_RDONLY | BPF_F_NO_PREALLOC);
	int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_HASH, "opts", 4, 4, 1, &flags));
	__u32 key = 0, value = 0;

	assert_int_equal(info_of(fd).map_flags & BPF_F_NO_PREALLOC, BPF_F_NO_PREALLOC);
	assert_fails(EPERM, bpf_map_update_elem(fd, &key, &value, 0));
	close(fd);

	LIBBPF_OPTS(bpf_map_create_opts, bad, .map_flags = 1U << 31);
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, &bad));
	LIBBPF_OPTS(bpf_map_create_opts, numa, .map_flags = BPF_F_NUMA_NODE, .numa_node = 1U << 30);
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, &numa));
	numa.numa_node = 0;
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, &numa)));
	/* This map cannot be offloaded to a network device. */
	LIBBPF_OPTS(bpf_map_create_opts, device, .map_ifindex = 1);
	assert_fails_either(EINVAL, EOPNOTSUPP, bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 4, 1, &device));
	LIBBPF_OPTS(bpf_map_create_opts, wild, .inner_map_fd = 9999);
	assert_fails(EBADF, bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, 4, 4, 1, &wild));
}

TEST(maps_hold_maps)
{
	COVERS(bpf_map_create);
	int inner = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);
	int outer = assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 2, &opts));
	__u32 key = 0, id;

	assert_ok(bpf_map_update_elem(outer, &key, &inner, 0));
	assert_ok(bpf_map_lookup_elem(outer, &key, &id));
	assert_int_equal(id, map_id(inner));
	close(outer);
	close(inner);
}

TEST(key_and_value_types_come_from_btf)
{
	COVERS(bpf_map_create);
	char blob[512];
	int btf = assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), NULL));
	LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = btf, .btf_key_type_id = BTF_INT, .btf_value_type_id = BTF_STRUCT);
	int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "typed", 4, 4, 1, &opts));

	assert_int_equal(info_of(fd).btf_key_type_id, BTF_INT);
	assert_int_equal(info_of(fd).btf_value_type_id, BTF_STRUCT);
	close(fd);
	opts.btf_value_type_id = 99;
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts));
	opts.btf_fd = 9999;
	assert_fails(EBADF, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts));
	close(btf);
}

TEST(map_extra_sets_the_hashes_of_a_bloom_filter)
{
	COVERS(bpf_map_create);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_extra = 3);

	need_kernel("BPF_MAP_TYPE_BLOOM_FILTER", EINVAL, bpf_map_create(BPF_MAP_TYPE_BLOOM_FILTER, "bloom", 0, 4, 8, &opts));
	int fd = assert_fd(bpf_map_create(BPF_MAP_TYPE_BLOOM_FILTER, "bloom", 0, 4, 8, &opts));

	assert_true(info_of(fd).map_extra == 3);
	close(fd);
	opts.map_extra = 1ULL << 32;
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_BLOOM_FILTER, NULL, 0, 4, 8, &opts));
}

TEST(an_invalid_token_is_rejected)
{
	COVERS(bpf_map_create);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_TOKEN_FD, .token_fd = fd);

	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts));
	close(fd);
	opts.token_fd = 9999;
	/* Kernels without tokens reject the flag. */
	assert_fails(kernel_knows("BPF_F_TOKEN_FD") ? EBADF : EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts));
}

TEST(an_exclusive_map_requires_a_program_hash_of_32_bytes)
{
	COVERS(bpf_map_create);
	char hash[32] = "any program but ours";
	LIBBPF_OPTS(bpf_map_create_opts, opts, .excl_prog_hash = hash, .excl_prog_hash_size = sizeof(hash));

	need_kernel("excl_prog_hash", EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, "excl", 4, 4, 1, &opts));
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "excl", 4, 4, 1, &opts)));
	opts.excl_prog_hash_size = 31;
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, "excl", 4, 4, 1, &opts));
	opts.excl_prog_hash_size = 32;
	opts.excl_prog_hash = before_guard(31);
	assert_fails(EFAULT, bpf_map_create(BPF_MAP_TYPE_ARRAY, "excl", 4, 4, 1, &opts));
}

TEST(a_rejected_map_is_logged_if_supported)
{
	COVERS(bpf_map_create);
	char log[256];
	LIBBPF_OPTS(bpf_log_opts, log_opts, .buf = log, .size = sizeof(log), .level = 1, .true_size = 77);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .log_opts = &log_opts, .map_extra = 1);

	memset(log, 0, sizeof(log));
	/* An array accepts no map_extra. */
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts));
	opts.map_extra = 0;
	if (!kernel_knows("bpf_common_attr")) {
		/* There is no log on this kernel, which is not an error. */
		assert_string_equal(log, "");
		assert_int_equal(log_opts.true_size, 0);
		log_opts.true_size = 77;
		close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts)));
		assert_int_equal(log_opts.true_size, 0);
		skip_test("this kernel accepts no log for a map (the map is created without one, true_size is 0, as expected)");
	}
	assert_true(strlen(log) > 0);
	assert_int_equal(log_opts.true_size, strlen(log) + 1);
	close(assert_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, &opts)));
}

TEST(invalid_maps_are_rejected_by_the_kernel)
{
	COVERS(bpf_map_create);
	assert_fails(EINVAL, bpf_map_create(9999, NULL, 4, 4, 1, NULL));
	assert_fails(EINVAL, bpf_map_create(UINT32_MAX, NULL, 4, 4, 1, NULL));
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 0, NULL));
	assert_fails(EINVAL, bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 0, 4, 1, NULL));
	assert_fails_either(E2BIG, EINVAL, bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, UINT32_MAX, 1, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_map_has_the_requested_type_and_sizes),
		T(names_of_any_length_are_cut_at_15),
		T(a_name_is_not_read_past_its_end),
		T(options_reach_the_kernel),
		T(maps_hold_maps),
		T(key_and_value_types_come_from_btf),
		T(map_extra_sets_the_hashes_of_a_bloom_filter),
		T(an_invalid_token_is_rejected),
		T(an_exclusive_map_requires_a_program_hash_of_32_bytes),
		T(a_rejected_map_is_logged_if_supported),
		T(invalid_maps_are_rejected_by_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
