/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Each function issues one bpf(2) call: the command, every byte that libbpf 1.7.0 sends with it, and nothing but zeros beyond. */
#include "script.h"

/* Distinct addresses, which the scripted kernel does not access. */
#define P(n) ((void *)(uintptr_t)(0x1000 + (n)))

/* The expected attribute: offset, width and value of each member. All other bytes must be zero. */
struct field { __u16 offset, width; __u64 value; };

static void check_attr(const char *name, unsigned int cmd, unsigned int size, const struct field *fields, size_t n)
{
	unsigned char want[ATTR_MAX] = {};
	struct bpf_call *call = last_call();

	for (size_t i = 0; i < n; i++) {
		__u32 small = fields[i].value;

		if (fields[i].width == 4)
			memcpy(want + fields[i].offset, &small, 4);
		else
			memcpy(want + fields[i].offset, &fields[i].value, 8);
	}
	/* Members that libbpf 1.7.0 does not have follow those that it has, and are not given. */
	if (recorded->count != 1 || call->cmd != cmd || call->size < size)
		fail_msg("%s: %d calls; the last was command %u with %u bytes; wanted command %u with at least %u bytes", name,
			 recorded->count, call->cmd, call->size, cmd, size);
	for (size_t i = 0; i < call->size; i++)
		if (call->attr[i] != want[i])
			fail_msg("%s: byte %zu of the attribute is %02x, wanted %02x", name, i, call->attr[i], want[i]);
}

/* Makes a call that the kernel answers with the given value, and checks the attribute. */
#define SENDS(answer, call, cmd, size, ...) do { \
	const struct field fields_[] = { __VA_ARGS__ }; \
	script_value(answer); \
	assert_true((call) >= 0); \
	check_attr(#call, cmd, size, fields_, ARRAY_SIZE(fields_)); \
} while (0)

#define U32(offset, value) { offset, 4, (__u32)(value) }
#define U64(offset, value) { offset, 8, (__u64)(value) }
#define PTR(offset, pointer) { offset, 8, (uintptr_t)(pointer) }

TEST(element_calls)
{
	COVERS(bpf_map_lookup_elem, bpf_map_lookup_elem_flags, bpf_map_lookup_and_delete_elem, bpf_map_lookup_and_delete_elem_flags,
	       bpf_map_update_elem, bpf_map_delete_elem, bpf_map_delete_elem_flags, bpf_map_get_next_key, bpf_map_freeze);
	const __u64 flags = 0x8877665544332211;

	SENDS(0, bpf_map_lookup_elem(5, P(1), P(2)), BPF_MAP_LOOKUP_ELEM, 32, U32(0, 5), PTR(8, P(1)), PTR(16, P(2)));
	SENDS(0, bpf_map_lookup_elem_flags(5, P(1), P(2), flags), BPF_MAP_LOOKUP_ELEM, 32,
	      U32(0, 5), PTR(8, P(1)), PTR(16, P(2)), U64(24, flags));
	SENDS(0, bpf_map_lookup_and_delete_elem(5, P(1), P(2)), BPF_MAP_LOOKUP_AND_DELETE_ELEM, 32,
	      U32(0, 5), PTR(8, P(1)), PTR(16, P(2)));
	SENDS(0, bpf_map_lookup_and_delete_elem_flags(5, P(1), P(2), flags), BPF_MAP_LOOKUP_AND_DELETE_ELEM, 32,
	      U32(0, 5), PTR(8, P(1)), PTR(16, P(2)), U64(24, flags));
	SENDS(0, bpf_map_update_elem(5, P(1), P(2), flags), BPF_MAP_UPDATE_ELEM, 32,
	      U32(0, 5), PTR(8, P(1)), PTR(16, P(2)), U64(24, flags));
	SENDS(0, bpf_map_delete_elem(5, P(1)), BPF_MAP_DELETE_ELEM, 32, U32(0, 5), PTR(8, P(1)));
	SENDS(0, bpf_map_delete_elem_flags(5, P(1), flags), BPF_MAP_DELETE_ELEM, 32, U32(0, 5), PTR(8, P(1)), U64(24, flags));
	SENDS(0, bpf_map_get_next_key(5, P(1), P(2)), BPF_MAP_GET_NEXT_KEY, 24, U32(0, 5), PTR(8, P(1)), PTR(16, P(2)));
	SENDS(0, bpf_map_freeze(-1), BPF_MAP_FREEZE, 4, U32(0, -1));
}

TEST(batch_calls)
{
	COVERS(bpf_map_lookup_batch, bpf_map_lookup_and_delete_batch, bpf_map_update_batch, bpf_map_delete_batch);
	__u32 count = UINT32_MAX;
	LIBBPF_OPTS(bpf_map_batch_opts, o, .elem_flags = 0x1122334455667788, .flags = 0x99aabbccddeeff00);

	SENDS(0, bpf_map_lookup_batch(5, P(1), P(2), P(3), P(4), &count, &o), BPF_MAP_LOOKUP_BATCH, 56,
	      PTR(0, P(1)), PTR(8, P(2)), PTR(16, P(3)), PTR(24, P(4)), U32(32, UINT32_MAX), U32(36, 5), U64(40, o.elem_flags), U64(48, o.flags));
	SENDS(0, bpf_map_lookup_and_delete_batch(5, P(1), P(2), P(3), P(4), &count, &o), BPF_MAP_LOOKUP_AND_DELETE_BATCH, 56,
	      PTR(0, P(1)), PTR(8, P(2)), PTR(16, P(3)), PTR(24, P(4)), U32(32, UINT32_MAX), U32(36, 5), U64(40, o.elem_flags), U64(48, o.flags));
	SENDS(0, bpf_map_update_batch(5, P(3), P(4), &count, &o), BPF_MAP_UPDATE_BATCH, 56,
	      PTR(16, P(3)), PTR(24, P(4)), U32(32, UINT32_MAX), U32(36, 5), U64(40, o.elem_flags), U64(48, o.flags));
	SENDS(0, bpf_map_delete_batch(5, P(3), &count, NULL), BPF_MAP_DELETE_BATCH, 56, PTR(16, P(3)), U32(32, UINT32_MAX), U32(36, 5));
}

TEST(map_create)
{
	COVERS(bpf_map_create);
	LIBBPF_OPTS(bpf_map_create_opts, o, .btf_fd = 11, .btf_key_type_id = 12, .btf_value_type_id = 13, .btf_vmlinux_value_type_id = 14,
		    .inner_map_fd = 15, .map_flags = 16, .map_extra = 0x1122334455667788, .numa_node = 18, .map_ifindex = 19,
		    .value_type_btf_obj_fd = -20, .token_fd = 21, .excl_prog_hash = P(22), .excl_prog_hash_size = 23);
	__u64 name[2] = {};

	memcpy(name, "fifteen letters", 15);
	SENDS(9, bpf_map_create(1, "fifteen letters and more", 2, 3, 4, &o), BPF_MAP_CREATE, 92,
	      U32(0, 1), U32(4, 2), U32(8, 3), U32(12, 4), U32(16, 16), U32(20, 15), U32(24, 18), U64(28, name[0]), U64(36, name[1]),
	      U32(44, 19), U32(48, 11), U32(52, 12), U32(56, 13), U32(60, 14), U64(64, o.map_extra), U32(72, -20), U32(76, 21),
	      PTR(80, P(22)), U32(88, 23));
	SENDS(9, bpf_map_create(1, NULL, 2, 3, 4, NULL), BPF_MAP_CREATE, 92, U32(0, 1), U32(4, 2), U32(8, 3), U32(12, 4));
}

TEST(prog_load)
{
	COVERS(bpf_prog_load);
	char log[8];
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = 11, .prog_btf_fd = 12, .prog_flags = 13, .prog_ifindex = 14,
		    .kern_version = 15, .attach_btf_id = 16, .attach_prog_fd = 17, .fd_array = P(18), .func_info = P(19), .func_info_cnt = 20,
		    .func_info_rec_size = 21, .line_info = P(22), .line_info_cnt = 23, .line_info_rec_size = 24, .log_level = 25,
		    .log_size = sizeof(log), .log_buf = log, .token_fd = 26, .fd_array_cnt = 27);
	__u64 name[2] = {};

	memcpy(name, "name", 4);
	SENDS(9, bpf_prog_load(1, "name", P(2), P(3), 4, &o), BPF_PROG_LOAD, 168,
	      U32(0, 1), U32(4, 4), PTR(8, P(3)), PTR(16, P(2)), U32(24, 25), U32(28, sizeof(log)), PTR(32, log), U32(40, 15), U32(44, 13),
	      U64(48, name[0]), U32(64, 14), U32(68, 11), U32(72, 12), U32(76, 21), PTR(80, P(19)), U32(88, 20), U32(92, 24),
	      PTR(96, P(22)), U32(104, 23), U32(108, 16), U32(112, 17), PTR(120, P(18)), U32(144, 26), U32(148, 27));
	/* attach_btf_obj_fd is sent in place of attach_prog_fd, and a log buffer with level 0 is not sent. */
	LIBBPF_OPTS(bpf_prog_load_opts, o2, .attach_btf_obj_fd = 17, .log_size = sizeof(log), .log_buf = log);

	SENDS(9, bpf_prog_load(1, NULL, P(2), P(3), UINT32_MAX, &o2), BPF_PROG_LOAD, 168,
	      U32(0, 1), U32(4, UINT32_MAX), PTR(8, P(3)), PTR(16, P(2)), U32(112, 17));
}

TEST(btf_load)
{
	COVERS(bpf_btf_load);
	char log[8];
	LIBBPF_OPTS(bpf_btf_load_opts, o, .log_buf = log, .log_level = 11, .log_size = sizeof(log), .btf_flags = 12, .token_fd = 13);

	SENDS(9, bpf_btf_load(P(1), 77, &o), BPF_BTF_LOAD, 40,
	      PTR(0, P(1)), PTR(8, log), U32(16, 77), U32(20, sizeof(log)), U32(24, 11), U32(32, 12), U32(36, 13));
	SENDS(9, bpf_btf_load(P(1), 77, NULL), BPF_BTF_LOAD, 40, PTR(0, P(1)), U32(16, 77));
}

TEST(pinning)
{
	COVERS(bpf_obj_pin, bpf_obj_pin_opts, bpf_obj_get, bpf_obj_get_opts);
	LIBBPF_OPTS(bpf_obj_pin_opts, pin, .file_flags = 11, .path_fd = -12);
	LIBBPF_OPTS(bpf_obj_get_opts, get, .file_flags = 11, .path_fd = -12);

	SENDS(0, bpf_obj_pin(5, P(1)), BPF_OBJ_PIN, 20, PTR(0, P(1)), U32(8, 5));
	SENDS(0, bpf_obj_pin_opts(5, P(1), &pin), BPF_OBJ_PIN, 20, PTR(0, P(1)), U32(8, 5), U32(12, 11), U32(16, -12));
	SENDS(9, bpf_obj_get(P(1)), BPF_OBJ_GET, 20, PTR(0, P(1)));
	SENDS(9, bpf_obj_get_opts(P(1), &get), BPF_OBJ_GET, 20, PTR(0, P(1)), U32(12, 11), U32(16, -12));
}

TEST(attaching)
{
	COVERS(bpf_prog_attach, bpf_prog_attach_opts, bpf_prog_detach, bpf_prog_detach2, bpf_prog_detach_opts);
	LIBBPF_OPTS(bpf_prog_attach_opts, by_fd, .flags = 11, .replace_fd = 12, .relative_fd = 13, .expected_revision = 0x1122334455667788);
	LIBBPF_OPTS(bpf_prog_attach_opts, by_id, .flags = 1, .relative_id = 14);
	LIBBPF_OPTS(bpf_prog_detach_opts, off_fd, .flags = 11, .relative_fd = 13, .expected_revision = 0x1122334455667788);
	LIBBPF_OPTS(bpf_prog_detach_opts, off_id, .flags = 1, .relative_id = 14);

	SENDS(0, bpf_prog_attach(5, 6, 7, 8), BPF_PROG_ATTACH, 32, U32(0, 6), U32(4, 5), U32(8, 7), U32(12, 8));
	SENDS(0, bpf_prog_attach_opts(5, 6, 7, &by_fd), BPF_PROG_ATTACH, 32,
	      U32(0, 6), U32(4, 5), U32(8, 7), U32(12, 11), U32(16, 12), U32(20, 13), U64(24, by_fd.expected_revision));
	SENDS(0, bpf_prog_attach_opts(5, 6, 7, &by_id), BPF_PROG_ATTACH, 32,
	      U32(0, 6), U32(4, 5), U32(8, 7), U32(12, 1 | BPF_F_ID), U32(20, 14));
	SENDS(0, bpf_prog_detach(6, 7), BPF_PROG_DETACH, 32, U32(0, 6), U32(8, 7));
	SENDS(0, bpf_prog_detach2(5, 6, 7), BPF_PROG_DETACH, 32, U32(0, 6), U32(4, 5), U32(8, 7));
	SENDS(0, bpf_prog_detach_opts(5, 6, 7, &off_fd), BPF_PROG_DETACH, 32,
	      U32(0, 6), U32(4, 5), U32(8, 7), U32(12, 11), U32(20, 13), U64(24, off_fd.expected_revision));
	SENDS(0, bpf_prog_detach_opts(5, 6, 7, &off_id), BPF_PROG_DETACH, 32,
	      U32(0, 6), U32(4, 5), U32(8, 7), U32(12, 1 | BPF_F_ID), U32(20, 14));
}

TEST(ids)
{
	COVERS(bpf_map_get_next_id, bpf_prog_get_next_id, bpf_btf_get_next_id, bpf_link_get_next_id, bpf_map_get_fd_by_id, bpf_prog_get_fd_by_id,
	       bpf_link_get_fd_by_id, bpf_btf_get_fd_by_id, bpf_map_get_fd_by_id_opts, bpf_prog_get_fd_by_id_opts, bpf_link_get_fd_by_id_opts,
	       bpf_btf_get_fd_by_id_opts);
	__u32 next;
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, o, .open_flags = 11, .token_fd = 12);

	SENDS(0, bpf_map_get_next_id(5, &next), BPF_MAP_GET_NEXT_ID, 12, U32(0, 5));
	SENDS(0, bpf_prog_get_next_id(5, &next), BPF_PROG_GET_NEXT_ID, 12, U32(0, 5));
	SENDS(0, bpf_btf_get_next_id(5, &next), BPF_BTF_GET_NEXT_ID, 12, U32(0, 5));
	SENDS(0, bpf_link_get_next_id(5, &next), BPF_LINK_GET_NEXT_ID, 12, U32(0, 5));
	SENDS(9, bpf_map_get_fd_by_id(5), BPF_MAP_GET_FD_BY_ID, 12, U32(0, 5));
	SENDS(9, bpf_prog_get_fd_by_id(5), BPF_PROG_GET_FD_BY_ID, 12, U32(0, 5));
	SENDS(9, bpf_link_get_fd_by_id(5), BPF_LINK_GET_FD_BY_ID, 12, U32(0, 5));
	SENDS(9, bpf_btf_get_fd_by_id(5), BPF_BTF_GET_FD_BY_ID, 16, U32(0, 5));
	SENDS(9, bpf_map_get_fd_by_id_opts(5, &o), BPF_MAP_GET_FD_BY_ID, 12, U32(0, 5), U32(8, 11));
	SENDS(9, bpf_prog_get_fd_by_id_opts(5, &o), BPF_PROG_GET_FD_BY_ID, 12, U32(0, 5), U32(8, 11));
	SENDS(9, bpf_link_get_fd_by_id_opts(5, &o), BPF_LINK_GET_FD_BY_ID, 12, U32(0, 5), U32(8, 11));
	SENDS(9, bpf_btf_get_fd_by_id_opts(5, &o), BPF_BTF_GET_FD_BY_ID, 16, U32(0, 5), U32(8, 11), U32(12, 12));
}

TEST(information)
{
	COVERS(bpf_obj_get_info_by_fd, bpf_map_get_info_by_fd, bpf_prog_get_info_by_fd, bpf_btf_get_info_by_fd, bpf_link_get_info_by_fd);
	__u32 len = 88;

	SENDS(0, bpf_obj_get_info_by_fd(5, P(1), &len), BPF_OBJ_GET_INFO_BY_FD, 16, U32(0, 5), U32(4, 88), PTR(8, P(1)));
	SENDS(0, bpf_map_get_info_by_fd(5, P(1), &len), BPF_OBJ_GET_INFO_BY_FD, 16, U32(0, 5), U32(4, 88), PTR(8, P(1)));
	SENDS(0, bpf_prog_get_info_by_fd(5, P(1), &len), BPF_OBJ_GET_INFO_BY_FD, 16, U32(0, 5), U32(4, 88), PTR(8, P(1)));
	SENDS(0, bpf_btf_get_info_by_fd(5, P(1), &len), BPF_OBJ_GET_INFO_BY_FD, 16, U32(0, 5), U32(4, 88), PTR(8, P(1)));
	SENDS(0, bpf_link_get_info_by_fd(5, P(1), &len), BPF_OBJ_GET_INFO_BY_FD, 16, U32(0, 5), U32(4, 88), PTR(8, P(1)));
}

TEST(queries)
{
	COVERS(bpf_prog_query, bpf_prog_query_opts, bpf_task_fd_query);
	__u32 count = 8, len = 9, id, type, flags = 99;
	__u64 offset, addr;
	LIBBPF_OPTS(bpf_prog_query_opts, o, .query_flags = 11, .attach_flags = 12, .prog_ids = P(1), .count = 13, .prog_attach_flags = P(2),
		    .link_ids = P(3), .link_attach_flags = P(4), .revision = 14);

	SENDS(0, bpf_prog_query(5, 6, 7, &flags, P(1), &count), BPF_PROG_QUERY, 64, U32(0, 5), U32(4, 6), U32(8, 7), PTR(16, P(1)), U32(24, 8));
	SENDS(0, bpf_prog_query_opts(5, 6, &o), BPF_PROG_QUERY, 64, U32(0, 5), U32(4, 6), U32(8, 11), PTR(16, P(1)), U32(24, 13),
	      PTR(32, P(2)), PTR(40, P(3)), PTR(48, P(4)));
	SENDS(0, bpf_task_fd_query(5, 6, 7, P(1), &len, &id, &type, &offset, &addr), BPF_TASK_FD_QUERY, 48,
	      U32(0, 5), U32(4, 6), U32(8, 7), U32(12, 9), PTR(16, P(1)));
}

TEST(test_runs)
{
	COVERS(bpf_prog_test_run_opts);
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = P(1), .data_out = P(2), .data_size_in = 11, .data_size_out = 12, .ctx_in = P(3), .ctx_out = P(4),
		    .ctx_size_in = 13, .ctx_size_out = 14, .retval = 15, .repeat = 16, .duration = 17, .flags = 18, .cpu = 19, .batch_size = 20);

	SENDS(0, bpf_prog_test_run_opts(5, &o), BPF_PROG_TEST_RUN, 80, U32(0, 5), U32(8, 11), U32(12, 12), PTR(16, P(1)), PTR(24, P(2)),
	      U32(32, 16), U32(36, 17), U32(40, 13), U32(44, 14), PTR(48, P(3)), PTR(56, P(4)), U32(64, 18), U32(68, 19), U32(72, 20));
}

TEST(links_and_iterators)
{
	COVERS(bpf_link_create, bpf_link_update, bpf_link_detach, bpf_iter_create);
	LIBBPF_OPTS(bpf_link_create_opts, o, .flags = 11);
	LIBBPF_OPTS(bpf_link_update_opts, prog, .flags = 11, .old_prog_fd = 12);
	LIBBPF_OPTS(bpf_link_update_opts, map, .flags = 11, .old_map_fd = 13);

	SENDS(9, bpf_link_create(5, 6, BPF_XDP, &o), BPF_LINK_CREATE, 64, U32(0, 5), U32(4, 6), U32(8, BPF_XDP), U32(12, 11));
	SENDS(0, bpf_link_update(5, 6, NULL), BPF_LINK_UPDATE, 16, U32(0, 5), U32(4, 6));
	SENDS(0, bpf_link_update(5, 6, &prog), BPF_LINK_UPDATE, 16, U32(0, 5), U32(4, 6), U32(8, 11), U32(12, 12));
	SENDS(0, bpf_link_update(5, 6, &map), BPF_LINK_UPDATE, 16, U32(0, 5), U32(4, 6), U32(8, 11), U32(12, 13));
	SENDS(0, bpf_link_detach(5), BPF_LINK_DETACH, 4, U32(0, 5));
	SENDS(9, bpf_iter_create(5), BPF_ITER_CREATE, 8, U32(0, 5));
}

TEST(the_rest)
{
	COVERS(bpf_raw_tracepoint_open, bpf_raw_tracepoint_open_opts, bpf_enable_stats, bpf_prog_bind_map, bpf_token_create, bpf_prog_stream_read,
	       bpf_prog_assoc_struct_ops);
	LIBBPF_OPTS(bpf_raw_tp_opts, tp, .tp_name = P(1), .cookie = 0x1122334455667788);
	LIBBPF_OPTS(bpf_prog_bind_opts, bind, .flags = 11);
	LIBBPF_OPTS(bpf_token_create_opts, token, .flags = 11);
	LIBBPF_OPTS(bpf_prog_stream_read_opts, stream);
	LIBBPF_OPTS(bpf_prog_assoc_struct_ops_opts, assoc, .flags = 11);

	SENDS(9, bpf_raw_tracepoint_open(P(1), 5), BPF_RAW_TRACEPOINT_OPEN, 24, PTR(0, P(1)), U32(8, 5));
	SENDS(9, bpf_raw_tracepoint_open_opts(5, &tp), BPF_RAW_TRACEPOINT_OPEN, 24, PTR(0, P(1)), U32(8, 5), U64(16, tp.cookie));
	SENDS(9, bpf_enable_stats(7), BPF_ENABLE_STATS, 4, U32(0, 7));
	SENDS(0, bpf_prog_bind_map(5, 6, &bind), BPF_PROG_BIND_MAP, 12, U32(0, 5), U32(4, 6), U32(8, 11));
	SENDS(9, bpf_token_create(5, &token), BPF_TOKEN_CREATE, 8, U32(0, 11), U32(4, 5));
	SENDS(0, bpf_prog_stream_read(5, 6, P(1), 7, &stream), BPF_PROG_STREAM_READ_BY_FD, 24, PTR(0, P(1)), U32(8, 7), U32(12, 6), U32(16, 5));
	SENDS(0, bpf_prog_assoc_struct_ops(5, 6, &assoc), BPF_PROG_ASSOC_STRUCT_OPS, 12, U32(0, 6), U32(4, 5), U32(8, 11));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(element_calls),
		T(batch_calls),
		T(map_create),
		T(prog_load),
		T(btf_load),
		T(pinning),
		T(attaching),
		T(ids),
		T(information),
		T(queries),
		T(test_runs),
		T(links_and_iterators),
		T(the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
