/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Single elements: update, look up, delete, iterate, freeze. */
#include "support.h"

TEST(elements_are_stored_read_and_deleted)
{
	COVERS(bpf_map_update_elem, bpf_map_lookup_elem, bpf_map_delete_elem);
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 8, 2);
	__u32 key = 7;
	__u64 value = 0x1122334455667788, got = 0;

	assert_fails(ENOENT, bpf_map_lookup_elem(fd, &key, &got));
	assert_ok(bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	assert_ok(bpf_map_lookup_elem(fd, &key, &got));
	assert_true(got == value);
	assert_fails(EEXIST, bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST));
	assert_ok(bpf_map_delete_elem(fd, &key));
	assert_fails(ENOENT, bpf_map_delete_elem(fd, &key));
	assert_fails(ENOENT, bpf_map_update_elem(fd, &key, &value, BPF_EXIST));
	for (key = 0; key < 2; key++)
		assert_ok(bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST));
	assert_fails(E2BIG, bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	close(fd);
}

TEST(all_bits_of_update_flags_reach_the_kernel)
{
	COVERS(bpf_map_update_elem);
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 8, 2);
	__u32 key = 7;
	__u64 value = 1;

	assert_fails(EINVAL, bpf_map_update_elem(fd, &key, &value, 3));
	assert_fails(EINVAL, bpf_map_update_elem(fd, &key, &value, 1ULL << 63));
	close(fd);
}

TEST(lookup_and_delete_flags_reach_the_kernel)
{
	COVERS(bpf_map_lookup_elem_flags, bpf_map_delete_elem_flags, bpf_map_lookup_and_delete_elem_flags, bpf_map_lookup_and_delete_elem);
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 8, 2);
	int queue = make_map(BPF_MAP_TYPE_QUEUE, 0, 8, 2);
	__u32 key = 7;
	__u64 value = 99, got = 0;

	assert_ok(bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	assert_ok(bpf_map_lookup_elem_flags(fd, &key, &got, 0));
	assert_true(got == 99);
	/* The lock flag is invalid for a hash without a spin lock. */
	assert_fails(EINVAL, bpf_map_lookup_elem_flags(fd, &key, &got, BPF_F_LOCK));
	assert_fails(EINVAL, bpf_map_lookup_elem_flags(fd, &key, &got, 1ULL << 63));
	assert_ok(bpf_map_delete_elem_flags(fd, &key, 0));
	assert_fails(ENOENT, bpf_map_delete_elem_flags(fd, &key, 0));
	assert_fails(EINVAL, bpf_map_delete_elem_flags(fd, &key, 1));

	/* Every kernel with this command (4.20) supports it for queues. */
	value = 5;
	assert_ok(bpf_map_update_elem(queue, NULL, &value, 0));
	value = 6;
	assert_ok(bpf_map_update_elem(queue, NULL, &value, 0));
	assert_ok(bpf_map_lookup_and_delete_elem(queue, NULL, &got));
	assert_true(got == 5);
	assert_ok(bpf_map_lookup_and_delete_elem_flags(queue, NULL, &got, 0));
	assert_true(got == 6);
	assert_fails(ENOENT, bpf_map_lookup_and_delete_elem(queue, NULL, &got));
	assert_fails(EINVAL, bpf_map_lookup_and_delete_elem_flags(queue, NULL, &got, 1ULL << 63));
	close(queue);
	close(fd);
}

TEST(get_next_key_returns_every_key)
{
	COVERS(bpf_map_get_next_key);
	int fd = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 3);
	__u32 key, next = 77;

	assert_ok(bpf_map_get_next_key(fd, NULL, &next));
	assert_int_equal(next, 0);
	for (__u32 want = 1; want < 3; want++) {
		key = next;
		assert_ok(bpf_map_get_next_key(fd, &key, &next));
		assert_int_equal(next, want);
	}
	key = next;
	next = 77;
	assert_fails(ENOENT, bpf_map_get_next_key(fd, &key, &next));
	assert_int_equal(next, 77);
	close(fd);
}

TEST(a_frozen_map_cannot_be_written_from_user_space)
{
	COVERS(bpf_map_freeze, bpf_map_delete_elem, bpf_map_lookup_and_delete_elem);
	int fd = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	__u32 key = 0, value = 1;

	assert_ok(bpf_map_update_elem(fd, &key, &value, 0));
	assert_ok(bpf_map_freeze(fd));
	assert_fails(EPERM, bpf_map_update_elem(fd, &key, &value, 0));
	assert_fails(EPERM, bpf_map_delete_elem(fd, &key));
	assert_fails(EPERM, bpf_map_lookup_and_delete_elem(fd, &key, &value));
	assert_ok(bpf_map_lookup_elem(fd, &key, &value));
	/* A frozen map cannot be frozen again: EBUSY, or EPERM on kernels that treat it as read-only. */
	assert_fails_either(EBUSY, EPERM, bpf_map_freeze(fd));
	close(fd);
}

TEST(invalid_descriptors_are_rejected_by_every_element_function)
{
	COVERS(bpf_map_lookup_elem, bpf_map_lookup_elem_flags, bpf_map_lookup_and_delete_elem, bpf_map_lookup_and_delete_elem_flags,
	       bpf_map_update_elem, bpf_map_delete_elem, bpf_map_delete_elem_flags, bpf_map_get_next_key, bpf_map_freeze);
	const int wild[] = { -1, 9999, INT_MAX, INT_MIN, wild_fd() };
	__u32 key = 0, value = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails(EBADF, bpf_map_lookup_elem(wild[i], &key, &value));
		assert_fails(EBADF, bpf_map_lookup_elem_flags(wild[i], &key, &value, 0));
		assert_fails(EBADF, bpf_map_lookup_and_delete_elem(wild[i], &key, &value));
		assert_fails(EBADF, bpf_map_lookup_and_delete_elem_flags(wild[i], &key, &value, 0));
		assert_fails(EBADF, bpf_map_update_elem(wild[i], &key, &value, 0));
		assert_fails(EBADF, bpf_map_delete_elem(wild[i], &key));
		assert_fails(EBADF, bpf_map_delete_elem_flags(wild[i], &key, 0));
		assert_fails(EBADF, bpf_map_get_next_key(wild[i], &key, &value));
		assert_fails(EBADF, bpf_map_freeze(wild[i]));
	}
}

TEST(a_descriptor_that_is_not_a_map_is_rejected)
{
	COVERS(bpf_map_lookup_elem, bpf_map_freeze);
	__u32 key = 0, value = 0;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_fails(EINVAL, bpf_map_lookup_elem(fd, &key, &value));
	assert_fails(EINVAL, bpf_map_freeze(fd));
	close(fd);
}

TEST(unmapped_keys_and_values_return_efault)
{
	COVERS(bpf_map_lookup_elem, bpf_map_update_elem, bpf_map_delete_elem, bpf_map_get_next_key);
	int fd = make_map(BPF_MAP_TYPE_HASH, 4, 4, 1);
	__u32 key = 0, value = 0;

	assert_ok(bpf_map_update_elem(fd, &key, &value, 0));
	assert_fails(EFAULT, bpf_map_lookup_elem(fd, NULL, &value));
	assert_fails(EFAULT, bpf_map_lookup_elem(fd, &key, NULL));
	assert_fails(EFAULT, bpf_map_update_elem(fd, &key, NULL, 0));
	assert_fails(EFAULT, bpf_map_delete_elem(fd, before_guard(0)));
	assert_fails(EFAULT, bpf_map_get_next_key(fd, NULL, NULL));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(elements_are_stored_read_and_deleted),
		T(all_bits_of_update_flags_reach_the_kernel),
		T(lookup_and_delete_flags_reach_the_kernel),
		T(get_next_key_returns_every_key),
		T(a_frozen_map_cannot_be_written_from_user_space),
		T(invalid_descriptors_are_rejected_by_every_element_function),
		T(a_descriptor_that_is_not_a_map_is_rejected),
		T(unmapped_keys_and_values_return_efault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
