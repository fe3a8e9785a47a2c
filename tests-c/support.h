/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Shared by all test programs: includes, assertions about the return value and
 * errno of a function, set-up of maps and small programs, and private mounts,
 * cgroups and network namespaces.
 *
 * A test starts with COVERS(functions that it tests). It fails if it does not
 * call each of them, and if it leaves a descriptor open.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf_legacy.h>
#include <linux/btf.h>

#include "kernel_btf.h"
#include "newer.h"
#include "noted.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- tests ---- */

#define TEST(name) static void name(void **state __attribute__((unused)))
#define T(name) cmocka_unit_test_prestate_setup_teardown(name, test_begin, test_end, (void *)#name)

int test_begin(void **state);
int test_end(void **state);

#define COVERS(...) covers(#__VA_ARGS__)
void covers(const char *functions);
void note_call(const char *function);

/* Ends the running test as skipped, with the reason printed. */
#define skip_test(...) do { skip_reason(__VA_ARGS__); skip(); } while (0)
void skip_reason(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* True in programs that script the kernel. */
extern bool kernel_is_scripted;

/* ---- assertions ---- */

#define ERRNO_MARK 4242

/* Evaluates a call; fails unless it returned 0 and left errno alone. */
#define assert_ok(call) do { \
	errno = ERRNO_MARK; \
	long ret_ = (call); \
	check_ok(ret_, errno, #call, __FILE__, __LINE__); \
} while (0)

/* The same for a call that returns another value than 0. */
#define assert_returns(value, call) do { \
	errno = ERRNO_MARK; \
	long ret_ = (call); \
	check_value((value), ret_, errno, #call, __FILE__, __LINE__); \
} while (0)

/* Evaluates a call; fails unless it returned -err and set errno to err. */
#define assert_fails(err, call) do { \
	errno = ERRNO_MARK; \
	long ret_ = (call); \
	check_fails((err), ret_, errno, #call, __FILE__, __LINE__); \
} while (0)

/* The same for a call for which kernels return one of two errors. */
#define assert_fails_either(err1, err2, call) do { \
	errno = ERRNO_MARK; \
	long ret_ = (call); \
	check_fails(ret_ == -(err2) ? (err2) : (err1), ret_, errno, #call, __FILE__, __LINE__); \
} while (0)

/* Evaluates a call that returns a descriptor: at least 3, close-on-exec, errno untouched. Its value is the descriptor. */
#define assert_fd(call) ({ \
	errno = ERRNO_MARK; \
	int fd_ = (call); \
	check_fd(fd_, errno, #call, __FILE__, __LINE__); \
	fd_; \
})

/* The same for a function that may make more than one system call, after which errno is unspecified. */
#define assert_fd_at_last(call) ({ \
	int fd_ = (call); \
	check_fd(fd_, ERRNO_MARK, #call, __FILE__, __LINE__); \
	fd_; \
})

void check_ok(long ret, int err, const char *call, const char *file, int line);
void check_value(long want, long ret, int err, const char *call, const char *file, int line);
void check_fails(int want, long ret, int err, const char *call, const char *file, int line);
void check_fd(int fd, int err, const char *call, const char *file, int line);

/* Capture what is written to stderr between the two calls. The text is valid until the next capture. */
void capture_stderr(void);
const char *captured_stderr(void);
/* Fails unless text is exactly one line that starts with "libbpf: ". */
void assert_one_warning(const char *text);

/* ---- features of the kernel ---- */

/* Skips the test unless the kernel knows the name, after checking that the call fails with err. */
#define need_kernel(name, err, call) do { \
	if (!kernel_knows(name)) { \
		assert_fails(err, call); \
		skip_test("this kernel has no %s (%s, as expected)", name, strerrorname(err)); \
	} \
} while (0)
const char *strerrorname(int err);

/* ---- descriptors and memory ---- */

int count_fds(void);
/* The lowest free descriptor number that is at least 3. */
int wild_fd(void);
/* Close descriptors 0, 1 and 2, and restore them. Nothing may be printed or asserted in between. */
void close_low_fds(void);
void restore_low_fds(void);
/* Lower the limit so that no descriptor from 3 on is free, and restore it. */
void exhaust_fds(void);
void release_fds(void);
/* size bytes that end at an unmapped page. */
void *before_guard(size_t size);

/* ---- programs ---- */

#define INSN(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV_IMM(d, v) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, v)
#define MOV_REG(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, v) INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, v)
#define LOAD(size, d, s, o) INSN(BPF_LDX | (size) | BPF_MEM, d, s, o, 0)
#define STORE(size, d, s, o) INSN(BPF_STX | (size) | BPF_MEM, d, s, o, 0)
#define STORE_IMM(size, d, o, v) INSN(BPF_ST | (size) | BPF_MEM, d, 0, o, v)
#define CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define JUMP_NE(d, v, o) INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, v)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Two slots: the address of a map. */
#define MAP_FD(d, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)

/* A program that only returns value. The test fails if it cannot be loaded. */
int load_return(enum bpf_prog_type type, enum bpf_attach_type attach_type, int value);
/* A program that returns the counter in slot 0 of an array map after adding 1 to it. */
int load_counter(enum bpf_prog_type type, int array_fd);
int make_map(enum bpf_map_type type, __u32 key_size, __u32 value_size, __u32 max_entries);
__u32 prog_id(int fd);
__u32 map_id(int fd);
__u32 link_id(int fd);

/* BTF data: int, the prototype int (int), two functions of it, and a struct { int a; }. */
enum { BTF_INT = 1, BTF_PROTO, BTF_FUNC_MAIN, BTF_FUNC_SUB, BTF_STRUCT };
size_t small_btf(void *blob, size_t room);

/* ---- private mounts, network namespaces and cgroups ---- */

/* Moves the program to a private mount namespace, if it is not yet in one. */
void own_mounts(void);
void own_netns(void);
/* A new temporary directory with a file system of that type mounted on it; NULL if it cannot be mounted. */
char *mount_own(const char *fstype, const char *options);
void unmount_own(char *dir);
/* Creates a cgroup (v2) and returns its descriptor, or skips the test. */
int make_cgroup(void);
void remove_cgroup(int fd);

#endif
