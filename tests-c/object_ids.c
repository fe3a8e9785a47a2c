/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Iterating over the ids of maps, programs, BTF objects and links, and opening an object by its id. */
#include "support.h"

static int raw_tp_link(int prog)
{
	return assert_fd(bpf_raw_tracepoint_open("sys_enter", prog));
}

TEST(objects_are_found_by_iterating_over_ids)
{
	COVERS(bpf_map_get_next_id, bpf_prog_get_next_id, bpf_btf_get_next_id);
	char blob[512];
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);
	int btf = assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), NULL));
	struct bpf_btf_info info = {};
	__u32 len = sizeof(info), next;

	assert_ok(bpf_btf_get_info_by_fd(btf, &info, &len));
	/* The next id after the one just below this object's id is this object's id. */
	assert_ok(bpf_map_get_next_id(map_id(map) - 1, &next));
	assert_int_equal(next, map_id(map));
	assert_ok(bpf_prog_get_next_id(prog_id(prog) - 1, &next));
	assert_int_equal(next, prog_id(prog));
	assert_ok(bpf_btf_get_next_id(info.id - 1, &next));
	assert_int_equal(next, info.id);
	close(btf);
	close(prog);
	close(map);
}

TEST(after_the_last_id_the_output_is_unchanged)
{
	COVERS(bpf_map_get_next_id, bpf_prog_get_next_id, bpf_btf_get_next_id, bpf_link_get_next_id);
	__u32 next = 77;

	assert_fails(ENOENT, bpf_map_get_next_id(INT_MAX - 1, &next));
	assert_fails(ENOENT, bpf_prog_get_next_id(INT_MAX - 1, &next));
	assert_fails(ENOENT, bpf_btf_get_next_id(INT_MAX - 1, &next));
	assert_fails(ENOENT, bpf_link_get_next_id(INT_MAX - 1, &next));
	assert_fails(EINVAL, bpf_map_get_next_id(UINT32_MAX, &next));
	assert_fails(EINVAL, bpf_prog_get_next_id(UINT32_MAX, &next));
	assert_fails(EINVAL, bpf_btf_get_next_id(UINT32_MAX, &next));
	assert_fails(EINVAL, bpf_link_get_next_id(UINT32_MAX, &next));
	assert_int_equal(next, 77);
	assert_fails(EINVAL, bpf_map_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_prog_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_btf_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_link_get_next_id(0, NULL));
}

TEST(a_map_is_opened_by_id)
{
	COVERS(bpf_map_get_fd_by_id, bpf_map_get_fd_by_id_opts);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	__u32 id = map_id(map), key = 0, value = 0;
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts, .open_flags = BPF_F_RDONLY);
	int again = assert_fd(bpf_map_get_fd_by_id(id));

	assert_int_equal(map_id(again), id);
	close(again);
	again = assert_fd(bpf_map_get_fd_by_id_opts(id, &opts));
	assert_ok(bpf_map_lookup_elem(again, &key, &value));
	assert_fails(EPERM, bpf_map_update_elem(again, &key, &value, 0));
	close(again);
	again = assert_fd(bpf_map_get_fd_by_id_opts(id, NULL));
	assert_ok(bpf_map_update_elem(again, &key, &value, 0));
	close(again);
	opts.open_flags = 1;
	assert_fails(EINVAL, bpf_map_get_fd_by_id_opts(id, &opts));
	close(map);
	assert_fails(ENOENT, bpf_map_get_fd_by_id(INT_MAX));
	assert_fails(ENOENT, bpf_map_get_fd_by_id(0));
}

TEST(a_program_is_opened_by_id)
{
	COVERS(bpf_prog_get_fd_by_id, bpf_prog_get_fd_by_id_opts);
	int prog = load_return(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts);
	int again = assert_fd(bpf_prog_get_fd_by_id(prog_id(prog)));

	assert_int_equal(prog_id(again), prog_id(prog));
	close(again);
	close(assert_fd(bpf_prog_get_fd_by_id_opts(prog_id(prog), &opts)));
	opts.open_flags = BPF_F_RDONLY;
	assert_fails(EINVAL, bpf_prog_get_fd_by_id_opts(prog_id(prog), &opts));
	close(prog);
	assert_fails(ENOENT, bpf_prog_get_fd_by_id(INT_MAX));
	assert_fails(ENOENT, bpf_prog_get_fd_by_id_opts(UINT32_MAX, NULL));
}

TEST(btf_is_opened_by_id)
{
	COVERS(bpf_btf_get_fd_by_id, bpf_btf_get_fd_by_id_opts);
	char blob[512];
	int btf = assert_fd(bpf_btf_load(blob, small_btf(blob, sizeof(blob)), NULL));
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct bpf_btf_info info = {};
	__u32 len = sizeof(info);
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts);

	assert_ok(bpf_btf_get_info_by_fd(btf, &info, &len));
	close(assert_fd(bpf_btf_get_fd_by_id(info.id)));
	close(assert_fd(bpf_btf_get_fd_by_id_opts(info.id, &opts)));
	/* Only this function sends a token. A kernel without tokens knows neither the flag nor the member. */
	opts.open_flags = BPF_F_TOKEN_FD;
	opts.token_fd = null;
	assert_fails_either(EINVAL, E2BIG, bpf_btf_get_fd_by_id_opts(info.id, &opts));
	close(null);
	close(btf);
	assert_fails(ENOENT, bpf_btf_get_fd_by_id(INT_MAX));
	assert_fails(ENOENT, bpf_btf_get_fd_by_id_opts(INT_MAX, NULL));
}

TEST(a_link_is_found_and_opened_by_id)
{
	COVERS(bpf_link_get_next_id, bpf_link_get_fd_by_id, bpf_link_get_fd_by_id_opts);
	int prog = load_return(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	int link = raw_tp_link(prog);
	__u32 id = link_id(link), next;
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts);

	assert_ok(bpf_link_get_next_id(id - 1, &next));
	assert_int_equal(next, id);
	int again = assert_fd(bpf_link_get_fd_by_id(id));

	assert_int_equal(link_id(again), id);
	close(again);
	close(assert_fd(bpf_link_get_fd_by_id_opts(id, &opts)));
	opts.open_flags = BPF_F_RDONLY;
	assert_fails(EINVAL, bpf_link_get_fd_by_id_opts(id, &opts));
	close(link);
	close(prog);
	assert_fails(ENOENT, bpf_link_get_fd_by_id(INT_MAX));
	assert_fails(ENOENT, bpf_link_get_fd_by_id_opts(INT_MAX, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(objects_are_found_by_iterating_over_ids),
		T(after_the_last_id_the_output_is_unchanged),
		T(a_map_is_opened_by_id),
		T(a_program_is_opened_by_id),
		T(btf_is_opened_by_id),
		T(a_link_is_found_and_opened_by_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
