/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program whose calls are counted or timed. The benchmark and tests/installed/test_costs.py build
 * it with each library. With -DBARE it makes system calls without a library; with -DBARE -DASKING it calls
 * libc's uname(), and creates a map with libc's syscall().
 *
 *   calls                        does nothing
 *   calls make OPERATION N SIZE  makes N calls; bare calls prepare what they need
 *   calls first OPERATION        prints the duration of the first call in nanoseconds
 *   calls warm OPERATION         the same, after bare calls that warm up the kernel
 *   calls memory N               creates N maps; prints the growth of the heap and of the
 *                                resident private memory, in bytes
 *
 * Operations: create (a map), load (a program of SIZE instructions), btf, lookup, update,
 * delete, next, batch (a lookup of SIZE elements).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>

#ifndef BARE
#include <bpf/bpf.h>
#endif

#define ENTRIES 10001

static inline long bare(int cmd, void *attr, unsigned int size)
{
#if defined(__x86_64__)
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "0"(__NR_bpf), "D"(cmd), "S"(attr), "d"(size) : "rcx", "r11", "memory");
	return ret;
#else
	return syscall(__NR_bpf, cmd, attr, size);
#endif
}

static const struct __attribute__((packed)) {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len;
	uint32_t name_off, info, size, encoding;
	char strings[5];
} btf = { 0xeb9f, 1, 0, 24, 0, 16, 16, 5, 1, 1 << 24, 4, 32, "\0int" };

static struct bpf_insn *insns;
static int fd;
static uint32_t key, next_key;
static uint64_t value;
static uint32_t *keys;
static uint64_t *values;

struct new_map { uint32_t type, key_size, value_size, max_entries, unused[14]; };

static int bare_create(uint32_t type, uint32_t entries)
{
	struct new_map attr = { type, 4, 8, entries, {} };

	return bare(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int bare_element(int cmd, void *of_value)
{
	struct { uint32_t fd, pad; uint64_t key, value, flags; } attr = { fd, 0, (uintptr_t)&key, (uintptr_t)of_value, 0 };

	return bare(cmd, &attr, sizeof(attr));
}

/* The operations, with the library or with the bare system call. */

static int create(void)
{
#if defined(ASKING)
	struct new_map attr = { BPF_MAP_TYPE_ARRAY, 4, 8, 1, {} };
	struct utsname release;

	return uname(&release) ? -errno : syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
#elif defined(BARE)
	return bare_create(BPF_MAP_TYPE_ARRAY, 1);
#else
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 8, 1, NULL);
#endif
}

static int load(uint32_t size)
{
#ifdef BARE
	struct {
		uint32_t type, insn_cnt;
		uint64_t insns, license;
		uint32_t unused[36];
	} attr = { BPF_PROG_TYPE_SOCKET_FILTER, size, (uintptr_t)insns, (uintptr_t)"GPL", {} };

	return bare(BPF_PROG_LOAD, &attr, sizeof(attr));
#else
	return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", insns, size, NULL);
#endif
}

static int load_btf(void)
{
#ifdef BARE
	struct {
		uint64_t btf, log;
		uint32_t btf_size, unused[5];
	} attr = { (uintptr_t)&btf, 0, sizeof(btf), {} };

	return bare(BPF_BTF_LOAD, &attr, sizeof(attr));
#else
	return bpf_btf_load(&btf, sizeof(btf), NULL);
#endif
}

static int lookup(void)
{
#ifdef BARE
	return bare_element(BPF_MAP_LOOKUP_ELEM, &value);
#else
	return bpf_map_lookup_elem(fd, &key, &value);
#endif
}

static int update(void)
{
#ifdef BARE
	return bare_element(BPF_MAP_UPDATE_ELEM, &value);
#else
	return bpf_map_update_elem(fd, &key, &value, 0);
#endif
}

static int delete(void)
{
#ifdef BARE
	return bare_element(BPF_MAP_DELETE_ELEM, NULL);
#else
	return bpf_map_delete_elem(fd, &key);
#endif
}

static int next(void)
{
#ifdef BARE
	struct { uint32_t fd, pad; uint64_t key, next_key; } attr = { fd, 0, 0, (uintptr_t)&next_key };

	return bare(BPF_MAP_GET_NEXT_KEY, &attr, sizeof(attr));
#else
	return bpf_map_get_next_key(fd, NULL, &next_key);
#endif
}

static int batch(uint32_t size)
{
	uint32_t count = size, position;
#ifdef BARE
	struct {
		uint64_t in, out, keys, values;
		uint32_t count, fd;
		uint64_t elem_flags, flags;
	} attr = { 0, (uintptr_t)&position, (uintptr_t)keys, (uintptr_t)values, count, fd, 0, 0 };
	int ret = bare(BPF_MAP_LOOKUP_BATCH, &attr, sizeof(attr));

	count = attr.count;
#else
	int ret = bpf_map_lookup_batch(fd, NULL, &position, keys, values, &count, NULL);
#endif
	return ret == 0 && count != size ? -ENODATA : ret;
}

/* Makes one call, and closes the descriptor that it returns. `operation` is valid. */
static int call(char operation, uint32_t size)
{
	int ret;

	switch (operation) {
	case 'c': ret = create(); break;
	case 'p': ret = load(size); break;
	case 't': ret = load_btf(); break;
	case 'l': return lookup();
	case 'u': return update();
	case 'd': bare_element(BPF_MAP_UPDATE_ELEM, &value); return delete();
	case 'n': return next();
	default: return batch(size);
	}
	if (ret >= 0)
		close(ret);
	return ret;
}

static char parse(const char *name)
{
	static const char *const names[] = { "create", "load", "btf", "lookup", "update", "delete", "next", "batch" };
	static const char letters[] = "cptludnb";

	for (size_t i = 0; i < sizeof(letters) - 1; i++)
		if (!strcmp(name, names[i]))
			return letters[i];
	fprintf(stderr, "calls: no operation %s\n", name);
	exit(2);
}

static void check(const char *what, int ret)
{
	if (ret < 0) {
		fprintf(stderr, "calls: %s: %s\n", what, strerror(-ret));
		exit(1);
	}
}

static void set_up(char operation, uint32_t size)
{
	if (operation == 'b') {
		keys = calloc(size, sizeof(*keys));
		values = calloc(size, sizeof(*values));
		fd = bare_create(BPF_MAP_TYPE_ARRAY, ENTRIES);
	} else if (!strchr("cpt", operation)) {
		fd = bare_create(BPF_MAP_TYPE_HASH, 16);
		bare_element(BPF_MAP_UPDATE_ELEM, &value);
	}
	check("set up", fd);
	insns = calloc(size, sizeof(*insns));
	for (uint32_t i = 0; i < size; i++)
		insns[i].code = BPF_ALU64 | BPF_MOV | BPF_K;
	insns[size - 1].code = BPF_JMP | BPF_EXIT;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* The bare system call of an operation. */
static int bare_first(char operation)
{
	struct { uint32_t type, insn_cnt; uint64_t insns, license; uint32_t unused[36]; } program = {
		BPF_PROG_TYPE_SOCKET_FILTER, 2, (uintptr_t)insns, (uintptr_t)"GPL", {} };
	struct { uint64_t btf, log; uint32_t btf_size, unused[5]; } types = { (uintptr_t)&btf, 0, sizeof(btf), {} };

	switch (operation) {
	case 'c': return bare_create(BPF_MAP_TYPE_ARRAY, 1);
	case 'p': return bare(BPF_PROG_LOAD, &program, sizeof(program));
	default: return bare(BPF_BTF_LOAD, &types, sizeof(types));
	}
}

static void first(char operation, int warmed)
{
	long before, after;
	int ret;

	for (int i = 0; i < (warmed ? 50 : 0); i++) {
		ret = bare_first(operation);
		check("warming up", ret);
		close(ret);
	}
	now();
	before = now();
	switch (operation) {
	case 'c': ret = create(); break;
	case 'p': ret = load(2); break;
	default: ret = load_btf();
	}
	after = now();
	check("first call", ret);
	printf("%ld\n", after - before);
}

/* The resident private memory. Does not allocate. */
static long resident(void)
{
	char text[4096];
	int status = open("/proc/self/status", O_RDONLY);
	ssize_t len = read(status, text, sizeof(text) - 1);
	char *at;

	close(status);
	text[len < 0 ? 0 : len] = 0;
	at = strstr(text, "RssAnon:");
	return at ? atol(at + 8) * 1024 : -1;
}

static void memory(int n)
{
	long heap_before, resident_before, heap_after, resident_after;

	for (int i = 0; i < 2; i++) /* the first call allocates what it needs */
		close(create());
	resident();
	heap_before = mallinfo2().uordblks;
	resident_before = resident();
	for (int i = 0; i < n; i++)
		check("create", create());
	resident_after = resident();
	heap_after = mallinfo2().uordblks;
	printf("%ld %ld\n", heap_after - heap_before, resident_after - resident_before);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "make")) {
		char operation = parse(argv[2]);
		uint32_t n = atol(argv[3]), size = atol(argv[4]);

		set_up(operation, size);
		for (uint32_t i = 0; i < n; i++)
			check(argv[2], call(operation, size));
	} else if (argc == 3 && (!strcmp(argv[1], "first") || !strcmp(argv[1], "warm"))) {
		char operation = parse(argv[2]);

		if (!strchr("cpt", operation))
			return 2;
		insns = calloc(2, sizeof(*insns));
		insns[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
		insns[1].code = BPF_JMP | BPF_EXIT;
		first(operation, argv[1][0] == 'w');
	} else if (argc == 3 && !strcmp(argv[1], "memory")) {
		memory(atoi(argv[2]));
	} else if (argc != 1) {
		fprintf(stderr, "calls: the usage is at the top of calls.c\n");
		return 2;
	}
	return 0;
}
