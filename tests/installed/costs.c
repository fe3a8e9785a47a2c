/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * No function may allocate memory, or write to memory that threads share: test_costs.py runs this.
 * Calls every function of the library. syscall() and the allocation functions are defined here, so that
 * no call reaches the kernel and allocations are counted. The second pass makes the library's writable
 * data read-only first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf_legacy.h>

/* ---- allocations ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void __libc_free(void *at);

static int allocations, frees;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	allocations++;
	return __libc_realloc(at, size);
}

void free(void *at)
{
	frees += !!at;
	__libc_free(at);
}

/* ---- the kernel's part ---- */

#define KNOWN_RECORD 8

static bool refuse; /* every call fails, with EPERM */
static int kernel_calls;

long syscall(long nr, ...)
{
	union bpf_attr *attr;
	va_list args;
	int cmd;

	va_start(args, nr);
	cmd = va_arg(args, int);
	attr = va_arg(args, union bpf_attr *);
	va_end(args);
	if (nr != SYS_bpf)
		abort();
	kernel_calls++;
	errno = refuse ? EPERM : E2BIG;
	if (refuse)
		return -1;
	/* Rejects longer function and line records, as a kernel that knows only their first bytes does. */
	if (cmd == BPF_PROG_LOAD && attr->func_info_cnt && attr->func_info_rec_size > KNOWN_RECORD &&
	    ((char *)(uintptr_t)attr->func_info)[KNOWN_RECORD]) {
		attr->func_info_rec_size = KNOWN_RECORD;
		return -1;
	}
	if (cmd == BPF_PROG_LOAD && attr->line_info_cnt && attr->line_info_rec_size > KNOWN_RECORD &&
	    ((char *)(uintptr_t)attr->line_info)[KNOWN_RECORD]) {
		attr->line_info_rec_size = KNOWN_RECORD;
		return -1;
	}
	return 100; /* nothing uses the descriptor */
}

/* ---- the library's writable data ---- */

/* Makes it read-only; sets *found if there is any. */
static int protect(struct dl_phdr_info *info, size_t size, void *found)
{
	long page = sysconf(_SC_PAGESIZE);

	(void)size;
	if (!strstr(info->dlpi_name, "libsysbpf.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		ElfW(Addr) start = (info->dlpi_addr + header->p_vaddr) / page * page;
		ElfW(Addr) end = info->dlpi_addr + header->p_vaddr + header->p_memsz;

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_W))
			continue;
		if (mprotect((void *)start, end - start, PROT_READ)) {
			perror("mprotect");
			exit(2);
		}
		*(bool *)found = true;
	}
	return 1;
}

/* ---- the calls ---- */

static const char *calling = "nothing yet";
static int failures, functions;

static void wrote(int signal)
{
	(void)signal;
	printf("FAIL %s: writes to memory that threads share\n", calling);
	fflush(stdout);
	_exit(1);
}

static void called(const char *call, int before)
{
	functions++;
	if (allocations != before) {
		failures++;
		printf("FAIL %s: allocates %d times\n", call, allocations - before);
	}
}

/* Two statements, because C does not define the order in which arguments are evaluated. */
#define CALL(...) do { \
	int before_ = allocations; \
	calling = #__VA_ARGS__; \
	(void)(__VA_ARGS__); \
	called(calling, before_); \
} while (0)

static void call_all(bool settings)
{
	LIBBPF_OPTS(bpf_log_opts, log);
	LIBBPF_OPTS(bpf_map_create_opts, map, .log_opts = &log);
	char text[64] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, prog, .log_buf = text, .log_size = sizeof(text));
	LIBBPF_OPTS(bpf_btf_load_opts, btf, .log_buf = text, .log_size = sizeof(text));
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	LIBBPF_OPTS(bpf_link_create_opts, link);
	LIBBPF_OPTS(bpf_link_update_opts, update);
	LIBBPF_OPTS(bpf_prog_attach_opts, attach);
	LIBBPF_OPTS(bpf_prog_detach_opts, detach);
	LIBBPF_OPTS(bpf_prog_query_opts, query);
	LIBBPF_OPTS(bpf_raw_tp_opts, raw);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, by_id);
	LIBBPF_OPTS(bpf_obj_pin_opts, pin);
	LIBBPF_OPTS(bpf_obj_get_opts, get);
	LIBBPF_OPTS(bpf_prog_bind_opts, bind);
	LIBBPF_OPTS(bpf_token_create_opts, token);
	LIBBPF_OPTS(bpf_prog_stream_read_opts, stream);
	LIBBPF_OPTS(bpf_prog_assoc_struct_ops_opts, assoc);
	struct bpf_insn insns[1] = {};
	__u64 a[32] = {}, b[32] = {};
	__u32 n = 1, m = 1, o = 1;

	CALL(bpf_map_create(BPF_MAP_TYPE_HASH, "name", 4, 8, 1, &map));
	CALL(bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 4, 8, 1, NULL));
	CALL(bpf_prog_load(BPF_PROG_TYPE_XDP, "name", "GPL", insns, 1, &prog));
	CALL(bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 1, NULL));
	CALL(bpf_btf_load(a, sizeof(a), &btf));
	CALL(bpf_map_update_elem(3, a, b, 0));
	CALL(bpf_map_lookup_elem(3, a, b));
	CALL(bpf_map_lookup_elem_flags(3, a, b, 0));
	CALL(bpf_map_lookup_and_delete_elem(3, a, b));
	CALL(bpf_map_lookup_and_delete_elem_flags(3, a, b, 0));
	CALL(bpf_map_delete_elem(3, a));
	CALL(bpf_map_delete_elem_flags(3, a, 0));
	CALL(bpf_map_get_next_key(3, a, b));
	CALL(bpf_map_freeze(3));
	CALL(bpf_map_delete_batch(3, a, &n, &batch));
	CALL(bpf_map_lookup_batch(3, NULL, a, a, b, &n, &batch));
	CALL(bpf_map_lookup_and_delete_batch(3, NULL, a, a, b, &n, &batch));
	CALL(bpf_map_update_batch(3, a, b, &n, &batch));
	CALL(bpf_obj_pin(3, "/nowhere"));
	CALL(bpf_obj_pin_opts(3, "/nowhere", &pin));
	CALL(bpf_obj_get("/nowhere"));
	CALL(bpf_obj_get_opts("/nowhere", &get));
	CALL(bpf_prog_attach(3, 4, BPF_CGROUP_DEVICE, 0));
	CALL(bpf_prog_attach_opts(3, 4, BPF_CGROUP_DEVICE, &attach));
	CALL(bpf_prog_detach(4, BPF_CGROUP_DEVICE));
	CALL(bpf_prog_detach2(3, 4, BPF_CGROUP_DEVICE));
	CALL(bpf_prog_detach_opts(3, 4, BPF_CGROUP_DEVICE, &detach));
	CALL(bpf_link_create(3, 4, BPF_TRACE_FENTRY, NULL));
	CALL(bpf_link_create(3, 4, BPF_TRACE_KPROBE_MULTI, &link));
	CALL(bpf_link_update(3, 4, &update));
	CALL(bpf_link_detach(3));
	CALL(bpf_iter_create(3));
	CALL(bpf_prog_get_next_id(0, &n));
	CALL(bpf_map_get_next_id(0, &n));
	CALL(bpf_btf_get_next_id(0, &n));
	CALL(bpf_link_get_next_id(0, &n));
	CALL(bpf_prog_get_fd_by_id(1));
	CALL(bpf_prog_get_fd_by_id_opts(1, &by_id));
	CALL(bpf_map_get_fd_by_id(1));
	CALL(bpf_map_get_fd_by_id_opts(1, &by_id));
	CALL(bpf_btf_get_fd_by_id(1));
	CALL(bpf_btf_get_fd_by_id_opts(1, &by_id));
	CALL(bpf_link_get_fd_by_id(1));
	CALL(bpf_link_get_fd_by_id_opts(1, &by_id));
	CALL(bpf_obj_get_info_by_fd(3, a, &n));
	CALL(bpf_prog_get_info_by_fd(3, (struct bpf_prog_info *)a, &n));
	CALL(bpf_map_get_info_by_fd(3, (struct bpf_map_info *)a, &n));
	CALL(bpf_btf_get_info_by_fd(3, (struct bpf_btf_info *)a, &n));
	CALL(bpf_link_get_info_by_fd(3, (struct bpf_link_info *)a, &n));
	CALL(bpf_prog_query(3, BPF_CGROUP_DEVICE, 0, &n, &m, &o));
	CALL(bpf_prog_query_opts(3, BPF_CGROUP_DEVICE, &query));
	CALL(bpf_raw_tracepoint_open("name", 3));
	CALL(bpf_raw_tracepoint_open_opts(3, &raw));
	CALL(bpf_task_fd_query(1, 3, 0, text, &n, &m, &o, a, b));
	CALL(bpf_prog_test_run_opts(3, &run));
	CALL(bpf_prog_bind_map(3, 4, &bind));
	CALL(bpf_enable_stats(BPF_STATS_RUN_TIME));
	CALL(bpf_token_create(3, &token));
	CALL(bpf_prog_stream_read(3, 1, text, sizeof(text), &stream));
	CALL(bpf_prog_assoc_struct_ops(3, 4, &assoc));
	CALL(libbpf_set_strict_mode(LIBBPF_STRICT_ALL));
	CALL((int)libbpf_get_error(NULL));
	/* This writes the setting, and the dynamic loader allocates when it looks for a real libbpf and
	 * finds none. */
	if (settings)
		libbpf_set_memlock_rlim(1 << 20);
}

/* The only allocation: a copy of records that are longer than those the kernel knows. */
static void copy_records(void)
{
	char records[4][16];
	struct bpf_insn insns[1] = {};
	LIBBPF_OPTS(bpf_prog_load_opts, prog, .func_info = records, .func_info_cnt = 4, .func_info_rec_size = 16,
		    .line_info = records, .line_info_cnt = 4, .line_info_rec_size = 16);
	int allocated = allocations, freed = frees, fd;

	memset(records, 1, sizeof(records));
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", insns, 1, &prog);
	if (fd != 100 || allocations - allocated != 2 || frees - freed != 2) {
		failures++;
		printf("FAIL copies of records: the load gives %d with %d allocations, %d freed; not 100, 2, 2\n", fd,
		       allocations - allocated, frees - freed);
	}
}

int main(void)
{
	static char buffer[BUFSIZ];
	bool found = false;

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	signal(SIGSEGV, wrote);
	for (int i = 0; i < 2; i++) {
		refuse = i;
		call_all(true);
	}
	refuse = false;
	copy_records();
	dl_iterate_phdr(protect, &found);
	if (!found) {
		puts("FAIL the library has no writable data that could be made read-only");
		return 1;
	}
	for (int i = 0; i < 2; i++) {
		refuse = i;
		call_all(false);
	}
	printf("%d calls, %d of them reached the kernel\n", functions, kernel_calls);
	return failures != 0;
}
