/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Information about an object: the untyped function, its four typed variants, and the length, an input and an output. */
#include "support.h"

TEST(every_function_describes_its_object)
{
	COVERS(bpf_obj_get_info_by_fd, bpf_map_get_info_by_fd, bpf_prog_get_info_by_fd, bpf_link_get_info_by_fd);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int link = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));
	struct bpf_map_info map_info = {}, untyped = {};
	struct bpf_prog_info prog_info = {};
	char name[64] = "";
	struct bpf_link_info link_info = { .raw_tracepoint = { .tp_name = (uintptr_t)name, .tp_name_len = sizeof(name) } };
	__u32 len = sizeof(map_info), len2 = sizeof(untyped);

	assert_ok(bpf_map_get_info_by_fd(map, &map_info, &len));
	assert_ok(bpf_obj_get_info_by_fd(map, &untyped, &len2));
	assert_int_equal(len, len2);
	assert_memory_equal(&map_info, &untyped, sizeof(untyped));
	assert_int_equal(map_info.type, BPF_MAP_TYPE_ARRAY);

	len = sizeof(prog_info);
	assert_ok(bpf_prog_get_info_by_fd(prog, &prog_info, &len));
	assert_int_equal(prog_info.type, BPF_PROG_TYPE_RAW_TRACEPOINT);

	len = sizeof(link_info);
	assert_ok(bpf_link_get_info_by_fd(link, &link_info, &len));
	assert_int_equal(link_info.type, BPF_LINK_TYPE_RAW_TRACEPOINT);
	assert_int_equal(link_info.prog_id, prog_info.id);
	assert_string_equal(name, "sys_enter");
	close(link);
	close(prog);
	close(map);
}

TEST(a_short_length_truncates_and_a_long_one_is_reduced)
{
	COVERS(bpf_obj_get_info_by_fd);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	struct { struct bpf_map_info info; char more[256]; } room;
	__u32 len = 8;

	memset(&room, 0, sizeof(room));
	assert_ok(bpf_obj_get_info_by_fd(map, &room, &len));
	assert_int_equal(len, 8);
	assert_int_equal(room.info.type, BPF_MAP_TYPE_ARRAY);
	assert_int_equal(room.info.key_size, 0);

	len = sizeof(room);
	assert_ok(bpf_obj_get_info_by_fd(map, &room, &len));
	assert_true(len < sizeof(room));
	assert_int_equal(room.info.key_size, 4);

	/* The bytes after the kernel's struct must be zero. If the call fails, the length is unchanged. */
	room.more[200] = 1;
	len = sizeof(room);
	assert_fails(E2BIG, bpf_obj_get_info_by_fd(map, &room, &len));
	assert_int_equal(len, sizeof(room));

	len = 0;
	assert_ok(bpf_obj_get_info_by_fd(map, &room, &len));
	assert_int_equal(len, 0);
	len = UINT32_MAX;
	assert_fails_either(E2BIG, EFAULT, bpf_obj_get_info_by_fd(map, &room, &len));
	assert_int_equal(len, UINT32_MAX);
	close(map);
}

TEST(invalid_arguments_are_rejected_by_every_function)
{
	COVERS(bpf_obj_get_info_by_fd, bpf_map_get_info_by_fd, bpf_prog_get_info_by_fd, bpf_btf_get_info_by_fd, bpf_link_get_info_by_fd);
	const int wild[] = { -1, 9999, wild_fd() };
	char info[256] = {};
	__u32 len = sizeof(info);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		/* `null` now has the number that was free above; -1 and 9999 are still invalid. */
		int fd = i < 2 ? wild[i] : wild_fd();

		assert_fails_either(EBADF, EBADFD, bpf_obj_get_info_by_fd(fd, info, &len));
		assert_fails_either(EBADF, EBADFD, bpf_map_get_info_by_fd(fd, (void *)info, &len));
		assert_fails_either(EBADF, EBADFD, bpf_prog_get_info_by_fd(fd, (void *)info, &len));
		assert_fails_either(EBADF, EBADFD, bpf_btf_get_info_by_fd(fd, (void *)info, &len));
		assert_fails_either(EBADF, EBADFD, bpf_link_get_info_by_fd(fd, (void *)info, &len));
	}
	assert_int_equal(len, sizeof(info));
	assert_fails(EINVAL, bpf_obj_get_info_by_fd(null, info, &len));
	assert_fails(EINVAL, bpf_obj_get_info_by_fd(map, info, NULL));
	assert_fails(EINVAL, bpf_map_get_info_by_fd(map, (void *)info, NULL));
	assert_fails(EINVAL, bpf_prog_get_info_by_fd(map, (void *)info, NULL));
	assert_fails(EINVAL, bpf_btf_get_info_by_fd(map, (void *)info, NULL));
	assert_fails(EINVAL, bpf_link_get_info_by_fd(map, (void *)info, NULL));
	assert_fails(EFAULT, bpf_obj_get_info_by_fd(map, NULL, &len));
	close(map);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_function_describes_its_object),
		T(a_short_length_truncates_and_a_long_one_is_reduced),
		T(invalid_arguments_are_rejected_by_every_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
