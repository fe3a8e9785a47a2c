/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Outputs reach the caller, also on failure where documented; NULL outputs are rejected. */
#include "script.h"

static long answer_value;

/* Overwrites the whole attribute, then answers. */
static long scribbling(struct bpf_call *call, int number)
{
	(void)number;
	memset(call->live, 0x5a, call->size);
	return answer_value;
}

#define SCRIBBLED 0x5a5a5a5a
#define SCRIBBLED64 0x5a5a5a5a5a5a5a5aULL

/* Runs the body twice: the kernel's call succeeds, then fails. */
#define FOR_BOTH(fails) for (int fails = 0; answer_value = fails ? -EDOM : 0, script(scribbling), fails < 2; fails++)
#define EXPECT(fails, call) do { if (fails) assert_fails(EDOM, call); else assert_ok(call); } while (0)

TEST(batch_counts_are_returned_on_failure_too)
{
	COVERS(bpf_map_lookup_batch, bpf_map_lookup_and_delete_batch, bpf_map_update_batch, bpf_map_delete_batch);
	char buf[8];

	FOR_BOTH(fails) {
		__u32 count[4] = { 1, 1, 1, 1 };

		EXPECT(fails, bpf_map_lookup_batch(5, NULL, buf, buf, buf, &count[0], NULL));
		EXPECT(fails, bpf_map_lookup_and_delete_batch(5, NULL, buf, buf, buf, &count[1], NULL));
		EXPECT(fails, bpf_map_update_batch(5, buf, buf, &count[2], NULL));
		EXPECT(fails, bpf_map_delete_batch(5, buf, &count[3], NULL));
		for (int i = 0; i < 4; i++)
			assert_int_equal(count[i], SCRIBBLED);
	}
}

TEST(query_outputs_are_returned_on_failure_too)
{
	COVERS(bpf_prog_query, bpf_prog_query_opts, bpf_task_fd_query);
	FOR_BOTH(fails) {
		__u32 flags = 1, count = 1, len = 1, id = 1, type = 1;
		__u64 offset = 1, addr = 1;
		LIBBPF_OPTS(bpf_prog_query_opts, opts);

		EXPECT(fails, bpf_prog_query(5, 6, 7, &flags, NULL, &count));
		assert_int_equal(flags, SCRIBBLED);
		assert_int_equal(count, SCRIBBLED);
		count = 1;
		EXPECT(fails, bpf_prog_query(5, 6, 7, NULL, NULL, &count));
		assert_int_equal(count, SCRIBBLED);
		EXPECT(fails, bpf_prog_query_opts(5, 6, &opts));
		assert_int_equal(opts.attach_flags, SCRIBBLED);
		assert_int_equal(opts.count, SCRIBBLED);
		assert_true(opts.revision == SCRIBBLED64);
		assert_int_equal(opts.query_flags, 0);
		EXPECT(fails, bpf_task_fd_query(5, 6, 7, NULL, &len, &id, &type, &offset, &addr));
		assert_int_equal(len, SCRIBBLED);
		assert_int_equal(id, SCRIBBLED);
		assert_int_equal(type, SCRIBBLED);
		assert_true(offset == SCRIBBLED64 && addr == SCRIBBLED64);
	}
}

TEST(test_run_outputs_are_returned_on_failure_too)
{
	COVERS(bpf_prog_test_run_opts);
	FOR_BOTH(fails) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .repeat = 3, .cpu = 4);

		EXPECT(fails, bpf_prog_test_run_opts(5, &opts));
		assert_int_equal(opts.data_size_out, SCRIBBLED);
		assert_int_equal(opts.ctx_size_out, SCRIBBLED);
		assert_int_equal(opts.retval, SCRIBBLED);
		assert_int_equal(opts.duration, SCRIBBLED);
		assert_int_equal(opts.repeat, 3);
		assert_int_equal(opts.cpu, 4);
		assert_int_equal(opts.data_size_in, 0);
	}
}

TEST(ids_and_lengths_are_returned_only_on_success)
{
	COVERS(bpf_map_get_next_id, bpf_prog_get_next_id, bpf_btf_get_next_id, bpf_link_get_next_id, bpf_obj_get_info_by_fd,
	       bpf_map_get_info_by_fd, bpf_prog_get_info_by_fd, bpf_btf_get_info_by_fd, bpf_link_get_info_by_fd);
	char info[8];

	FOR_BOTH(fails) {
		__u32 value[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };

		EXPECT(fails, bpf_map_get_next_id(5, &value[0]));
		EXPECT(fails, bpf_prog_get_next_id(5, &value[1]));
		EXPECT(fails, bpf_btf_get_next_id(5, &value[2]));
		EXPECT(fails, bpf_link_get_next_id(5, &value[3]));
		EXPECT(fails, bpf_obj_get_info_by_fd(5, info, &value[4]));
		EXPECT(fails, bpf_map_get_info_by_fd(5, (void *)info, &value[5]));
		EXPECT(fails, bpf_prog_get_info_by_fd(5, (void *)info, &value[6]));
		EXPECT(fails, bpf_btf_get_info_by_fd(5, (void *)info, &value[7]));
		EXPECT(fails, bpf_link_get_info_by_fd(5, (void *)info, &value[8]));
		for (int i = 0; i < 9; i++)
			assert_int_equal(value[i], fails ? 1 : SCRIBBLED);
	}
}

static long some_bytes(struct bpf_call *call, int number)
{
	(void)call, (void)number;
	return 7;
}

TEST(a_stream_read_returns_the_number_of_bytes)
{
	COVERS(bpf_prog_stream_read);
	char buf[8];

	script(some_bytes);
	assert_returns(7, bpf_prog_stream_read(5, 1, buf, sizeof(buf), NULL));
	/* A number of bytes below 3 must not be treated as a descriptor. */
	script_value(1);
	assert_returns(1, bpf_prog_stream_read(5, 1, buf, sizeof(buf), NULL));
	script_value(0);
	assert_returns(0, bpf_prog_stream_read(5, 1, buf, sizeof(buf), NULL));
}

TEST(a_null_output_is_einval_without_a_call)
{
	COVERS(bpf_map_lookup_batch, bpf_map_lookup_and_delete_batch, bpf_map_update_batch, bpf_map_delete_batch, bpf_map_get_next_id,
	       bpf_prog_get_next_id, bpf_btf_get_next_id, bpf_link_get_next_id, bpf_obj_get_info_by_fd, bpf_map_get_info_by_fd,
	       bpf_prog_get_info_by_fd, bpf_btf_get_info_by_fd, bpf_link_get_info_by_fd, bpf_prog_query, bpf_task_fd_query);
	char buf[8];
	__u32 len = 1, id = 1, type = 1;
	__u64 offset = 1, addr = 1;

	script_value(0);
	assert_fails(EINVAL, bpf_map_lookup_batch(5, NULL, buf, buf, buf, NULL, NULL));
	assert_fails(EINVAL, bpf_map_lookup_and_delete_batch(5, NULL, buf, buf, buf, NULL, NULL));
	assert_fails(EINVAL, bpf_map_update_batch(5, buf, buf, NULL, NULL));
	assert_fails(EINVAL, bpf_map_delete_batch(5, buf, NULL, NULL));
	assert_fails(EINVAL, bpf_map_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_prog_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_btf_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_link_get_next_id(0, NULL));
	assert_fails(EINVAL, bpf_obj_get_info_by_fd(5, buf, NULL));
	assert_fails(EINVAL, bpf_map_get_info_by_fd(5, (void *)buf, NULL));
	assert_fails(EINVAL, bpf_prog_get_info_by_fd(5, (void *)buf, NULL));
	assert_fails(EINVAL, bpf_btf_get_info_by_fd(5, (void *)buf, NULL));
	assert_fails(EINVAL, bpf_link_get_info_by_fd(5, (void *)buf, NULL));
	assert_fails(EINVAL, bpf_prog_query(5, 6, 7, NULL, NULL, NULL));
	assert_fails(EINVAL, bpf_task_fd_query(5, 6, 7, buf, NULL, &id, &type, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(5, 6, 7, buf, &len, NULL, &type, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(5, 6, 7, buf, &len, &id, NULL, &offset, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(5, 6, 7, buf, &len, &id, &type, NULL, &addr));
	assert_fails(EINVAL, bpf_task_fd_query(5, 6, 7, buf, &len, &id, &type, &offset, NULL));
	assert_int_equal(recorded->count, 0);
	assert_true(len == 1 && id == 1 && type == 1 && offset == 1 && addr == 1);
}

TEST(conflicting_members_are_einval_without_a_call)
{
	COVERS(bpf_prog_attach_opts, bpf_prog_detach_opts, bpf_link_update);
	LIBBPF_OPTS(bpf_prog_attach_opts, attach, .relative_fd = 1, .relative_id = 1);
	LIBBPF_OPTS(bpf_prog_detach_opts, detach, .relative_fd = 1, .relative_id = 1);
	LIBBPF_OPTS(bpf_link_update_opts, update, .old_prog_fd = 1, .old_map_fd = 1);

	script_value(0);
	assert_fails(EINVAL, bpf_prog_attach_opts(5, 6, 7, &attach));
	assert_fails(EINVAL, bpf_prog_detach_opts(5, 6, 7, &detach));
	assert_fails(EINVAL, bpf_link_update(5, 6, &update));
	assert_int_equal(recorded->count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(batch_counts_are_returned_on_failure_too),
		T(query_outputs_are_returned_on_failure_too),
		T(test_run_outputs_are_returned_on_failure_too),
		T(ids_and_lengths_are_returned_only_on_success),
		T(a_stream_read_returns_the_number_of_bytes),
		T(a_null_output_is_einval_without_a_call),
		T(conflicting_members_are_einval_without_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
