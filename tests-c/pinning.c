/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pinning an object in a BPF file system, and opening it again. */
#include "support.h"

static char *dir;
static char path[PATH_MAX];

static void mount_bpffs(const char *name)
{
	dir = mount_own("bpf", NULL);
	if (!dir)
		skip_test("cannot mount a bpf file system: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
}

TEST(a_pinned_map_outlives_its_descriptor)
{
	COVERS(bpf_obj_pin, bpf_obj_get);
	mount_bpffs("map");
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	__u32 id = map_id(map);

	assert_ok(bpf_obj_pin(map, path));
	assert_fails(EEXIST, bpf_obj_pin(map, path));
	close(map);
	map = assert_fd(bpf_obj_get(path));
	assert_int_equal(map_id(map), id);
	close(map);
	unlink(path);
	assert_fails(ENOENT, bpf_obj_get(path));
	unmount_own(dir);
}

TEST(programs_and_links_are_pinned_too)
{
	COVERS(bpf_obj_pin, bpf_obj_get);
	mount_bpffs("object");
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int link = assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));

	assert_ok(bpf_obj_pin(prog, path));
	int again = assert_fd(bpf_obj_get(path));

	assert_int_equal(prog_id(again), prog_id(prog));
	close(again);
	unlink(path);
	/* A raw tracepoint is a link since 5.8. */
	assert_ok(bpf_obj_pin(link, path));
	again = assert_fd(bpf_obj_get(path));
	assert_int_equal(link_id(again), link_id(link));
	close(again);
	unlink(path);
	close(link);
	close(prog);
	unmount_own(dir);
}

TEST(file_flags_restrict_what_is_opened)
{
	COVERS(bpf_obj_get_opts, bpf_obj_pin_opts);
	mount_bpffs("map");
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	__u32 key = 0, value = 0;
	LIBBPF_OPTS(bpf_obj_get_opts, get, .file_flags = BPF_F_RDONLY);
	LIBBPF_OPTS(bpf_obj_pin_opts, pin, .file_flags = 1);

	assert_fails(EINVAL, bpf_obj_pin_opts(map, path, &pin));
	pin.file_flags = 0;
	assert_ok(bpf_obj_pin_opts(map, path, &pin));
	close(map);
	map = assert_fd(bpf_obj_get_opts(path, &get));
	assert_ok(bpf_map_lookup_elem(map, &key, &value));
	assert_fails(EPERM, bpf_map_update_elem(map, &key, &value, 0));
	close(map);
	get.file_flags = BPF_F_RDONLY | BPF_F_WRONLY;
	assert_fails(EINVAL, bpf_obj_get_opts(path, &get));
	map = assert_fd(bpf_obj_get_opts(path, NULL));
	close(map);
	unlink(path);
	unmount_own(dir);
}

TEST(a_path_is_relative_to_path_fd)
{
	COVERS(bpf_obj_get_opts, bpf_obj_pin_opts);
	mount_bpffs("map");
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	LIBBPF_OPTS(bpf_obj_pin_opts, pin, .file_flags = BPF_F_PATH_FD, .path_fd = dir_fd);
	LIBBPF_OPTS(bpf_obj_get_opts, get, .file_flags = BPF_F_PATH_FD, .path_fd = dir_fd);

	if (!kernel_knows("BPF_F_PATH_FD")) {
		assert_fails(EINVAL, bpf_obj_pin_opts(map, "map", &pin));
		assert_fails(EINVAL, bpf_obj_get_opts("map", &get));
		close(dir_fd);
		close(map);
		unmount_own(dir);
		skip_test("this kernel has no BPF_F_PATH_FD (EINVAL, as expected)");
	}
	assert_ok(bpf_obj_pin_opts(map, "map", &pin));
	close(map);
	map = assert_fd(bpf_obj_get_opts("map", &get));
	close(map);
	get.file_flags = 0;
	/* Without the flag path_fd must not be set. */
	assert_fails(EINVAL, bpf_obj_get_opts("map", &get));
	get.file_flags = BPF_F_PATH_FD;
	get.path_fd = 9999;
	assert_fails(EBADF, bpf_obj_get_opts("map", &get));
	unlink(path);
	close(dir_fd);
	unmount_own(dir);
}

TEST(invalid_paths_and_descriptors_are_rejected)
{
	COVERS(bpf_obj_pin, bpf_obj_get, bpf_obj_pin_opts, bpf_obj_get_opts);
	mount_bpffs("sub/map");
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);

	assert_fails(ENOENT, bpf_obj_pin(map, path));
	assert_fails(ENOENT, bpf_obj_get(path));
	assert_fails(EFAULT, bpf_obj_pin(map, NULL));
	assert_fails(EFAULT, bpf_obj_get(NULL));
	assert_fails_either(EINVAL, EACCES, bpf_obj_get("/dev/null"));
	snprintf(path, sizeof(path), "%s/map", dir);
	const int wild[] = { -1, 9999, wild_fd() };

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		assert_fails_either(EBADF, EINVAL, bpf_obj_pin(wild[i], path));
		assert_fails_either(EBADF, EINVAL, bpf_obj_pin_opts(wild[i], path, NULL));
	}
	assert_fails(ENOENT, bpf_obj_get_opts(path, NULL));
	/* A name longer than PATH_MAX. */
	char *longest = malloc(2 * PATH_MAX);

	memset(longest, 'x', 2 * PATH_MAX);
	longest[2 * PATH_MAX - 1] = '\0';
	assert_fails(ENAMETOOLONG, bpf_obj_get(longest));
	assert_fails(ENAMETOOLONG, bpf_obj_pin(map, longest));
	free(longest);
	close(map);
	unmount_own(dir);
}

TEST(objects_are_pinned_only_in_bpffs)
{
	COVERS(bpf_obj_pin);
	char *plain = mount_own("tmpfs", NULL);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);

	if (!plain) {
		close(map);
		skip_test("cannot mount a tmpfs: %s", strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/map", plain);
	assert_fails(EPERM, bpf_obj_pin(map, path));
	close(map);
	unmount_own(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_pinned_map_outlives_its_descriptor),
		T(programs_and_links_are_pinned_too),
		T(file_flags_restrict_what_is_opened),
		T(a_path_is_relative_to_path_fd),
		T(invalid_paths_and_descriptors_are_rejected),
		T(objects_are_pinned_only_in_bpffs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
