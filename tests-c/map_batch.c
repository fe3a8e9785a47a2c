/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Batches of elements. *count is an input and an output, also if the call fails. */
#include "support.h"

enum { N = 8 };

static int filled_map(void)
{
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 4, N);
	__u32 keys[N], values[N], count = N;

	for (__u32 i = 0; i < N; i++) {
		keys[i] = i;
		values[i] = 100 + i;
	}
	assert_ok(bpf_map_update_batch(fd, keys, values, &count, NULL));
	assert_int_equal(count, N);
	return fd;
}

TEST(a_batch_is_written_and_read_back)
{
	COVERS(bpf_map_update_batch, bpf_map_lookup_batch);
	int fd = filled_map();
	__u32 keys[2 * N], values[2 * N], cursor = 0, count = 2 * N, seen = 0;

	/* More elements are requested than exist: all are returned, with ENOENT for the end. */
	assert_fails(ENOENT, bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &count, NULL));
	assert_int_equal(count, N);
	for (__u32 i = 0; i < count; i++) {
		assert_int_equal(values[i], 100 + keys[i]);
		seen |= 1u << keys[i];
	}
	assert_int_equal(seen, (1u << N) - 1);
	close(fd);
}

TEST(a_map_is_read_in_several_batches)
{
	COVERS(bpf_map_lookup_batch);
	int fd = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, N);
	__u32 keys[N], values[N], cursor = 0, count = 3;
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	assert_ok(bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &count, &opts));
	assert_int_equal(count, 3);
	assert_ok(bpf_map_lookup_batch(fd, &cursor, &cursor, keys, values, &count, &opts));
	assert_int_equal(count, 3);
	assert_int_equal(keys[0], 3);
	assert_fails(ENOENT, bpf_map_lookup_batch(fd, &cursor, &cursor, keys, values, &count, &opts));
	assert_int_equal(count, N - 6);
	close(fd);
}

TEST(a_batch_is_deleted)
{
	COVERS(bpf_map_delete_batch);
	int fd = filled_map();
	__u32 keys[] = { 0, 1, 77, 2 }, count = 2, value;

	assert_ok(bpf_map_delete_batch(fd, keys, &count, NULL));
	assert_int_equal(count, 2);
	assert_fails(ENOENT, bpf_map_lookup_elem(fd, &keys[0], &value));
	/* Fails at the first missing key, and returns the number of elements deleted. */
	count = 2;
	assert_fails(ENOENT, bpf_map_delete_batch(fd, keys, &count, NULL));
	assert_int_equal(count, 0);
	keys[0] = 3;
	keys[1] = 4;
	count = 4;
	assert_fails(ENOENT, bpf_map_delete_batch(fd, keys, &count, NULL));
	assert_int_equal(count, 2);
	close(fd);
}

TEST(a_batch_is_read_and_deleted)
{
	COVERS(bpf_map_lookup_and_delete_batch);
	int fd = filled_map();
	__u32 keys[2 * N], values[2 * N], cursor = 0, count = 2 * N, key;

	assert_fails(ENOENT, bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, values, &count, NULL));
	assert_int_equal(count, N);
	assert_fails(ENOENT, bpf_map_get_next_key(fd, NULL, &key));
	close(fd);
}

TEST(a_count_of_zero_does_nothing)
{
	COVERS(bpf_map_update_batch, bpf_map_lookup_batch, bpf_map_delete_batch, bpf_map_lookup_and_delete_batch);
	int fd = filled_map();
	__u32 keys[N], values[N], cursor = 0, count = 0;

	assert_ok(bpf_map_update_batch(fd, keys, values, &count, NULL));
	assert_ok(bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &count, NULL));
	assert_ok(bpf_map_delete_batch(fd, keys, &count, NULL));
	assert_ok(bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, values, &count, NULL));
	assert_int_equal(count, 0);
	close(fd);
}

TEST(the_largest_count_reaches_the_kernel)
{
	COVERS(bpf_map_lookup_batch, bpf_map_update_batch, bpf_map_delete_batch, bpf_map_lookup_and_delete_batch);
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 4, 4);
	__u32 cursor = 0, count = UINT32_MAX, keys[1] = { 9 };

	/* An empty map has nothing to read. With keys at an unmapped address nothing is written or deleted. */
	assert_fails(ENOENT, bpf_map_lookup_batch(fd, NULL, &cursor, keys, keys, &count, NULL));
	assert_int_equal(count, 0);
	count = UINT32_MAX;
	assert_fails(ENOENT, bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, keys, &count, NULL));
	assert_int_equal(count, 0);
	count = UINT32_MAX;
	assert_fails(EFAULT, bpf_map_update_batch(fd, before_guard(0), keys, &count, NULL));
	count = UINT32_MAX;
	assert_fails(EFAULT, bpf_map_delete_batch(fd, before_guard(0), &count, NULL));
	close(fd);
}

TEST(flags_reach_the_kernel_and_a_null_count_is_rejected)
{
	COVERS(bpf_map_update_batch, bpf_map_lookup_batch, bpf_map_delete_batch, bpf_map_lookup_and_delete_batch);
	int fd = filled_map();
	__u32 keys[N] = {}, values[N], cursor = 0, count = 1;
	LIBBPF_OPTS(bpf_map_batch_opts, elem, .elem_flags = BPF_F_LOCK);
	LIBBPF_OPTS(bpf_map_batch_opts, flags, .flags = 1);
	const struct bpf_map_batch_opts *both[] = { &elem, &flags };

	/* The lock flag requires a map with a lock. No flags of the batch are valid (updates ignore them). */
	for (size_t i = 0; i < 2; i++) {
		count = 1;
		assert_fails(EINVAL, bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &count, both[i]));
		count = 1;
		assert_fails(EINVAL, bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, values, &count, both[i]));
	}
	count = 1;
	assert_fails(EINVAL, bpf_map_update_batch(fd, keys, values, &count, &elem));
	count = 1;
	assert_fails(EINVAL, bpf_map_delete_batch(fd, keys, &count, &elem));
	assert_fails(EINVAL, bpf_map_update_batch(fd, keys, values, NULL, NULL));
	assert_fails(EINVAL, bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, NULL, NULL));
	assert_fails(EINVAL, bpf_map_delete_batch(fd, keys, NULL, NULL));
	assert_fails(EINVAL, bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, values, NULL, NULL));
	close(fd);
}

TEST(invalid_descriptors_are_rejected_by_every_batch_function)
{
	COVERS(bpf_map_update_batch, bpf_map_lookup_batch, bpf_map_delete_batch, bpf_map_lookup_and_delete_batch);
	const int wild[] = { -1, 9999, wild_fd() };
	__u32 keys[1] = {}, values[1], cursor = 0, count = 1;

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_map_update_batch(wild[i], keys, values, &count, NULL));
		assert_fails(EBADF, bpf_map_lookup_batch(wild[i], NULL, &cursor, keys, values, &count, NULL));
		assert_fails(EBADF, bpf_map_delete_batch(wild[i], keys, &count, NULL));
		assert_fails(EBADF, bpf_map_lookup_and_delete_batch(wild[i], NULL, &cursor, keys, values, &count, NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_batch_is_written_and_read_back),
		T(a_map_is_read_in_several_batches),
		T(a_batch_is_deleted),
		T(a_batch_is_read_and_deleted),
		T(a_count_of_zero_does_nothing),
		T(the_largest_count_reaches_the_kernel),
		T(flags_reach_the_kernel_and_a_null_count_is_rejected),
		T(invalid_descriptors_are_rejected_by_every_batch_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
