// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Uses BPF through <bpf/bpf.h>, step by step, and prints the result of each step: creates a
 * map, loads a program that counts packets in it, runs the program on three packets, reads the
 * counters, pins and reopens the map, and prints the verifier log of a rejected program.
 *
 * Nothing here depends on which library provides bpf.h. Build it with
 *
 *     cc demo.c -o demo $(pkg-config --cflags --libs libbpf)
 *
 * Exit status: 0 if every step went as expected, 1 if one did not, 77 if privileges are missing.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PACKETS, BYTES, COUNTERS };
enum { PACKET_SIZE = 64, REPEAT = 3 };
enum { NOT_ALLOWED = 77 };

/* The capabilities that are needed (bit numbers of linux/capability.h). */
static const struct {
	int bit;
	const char *name, *what_for;
} needed[] = {
	{ 39, "CAP_BPF", "to create maps and load programs" },
	{ 12, "CAP_NET_ADMIN", "to load a program that sees network packets" },
	{ 21, "CAP_SYS_ADMIN", "to mount the bpf file system for pinning" },
};

/* A number from /proc/self/status, or -1. */
static unsigned long long status_field(const char *name, const char *format)
{
	unsigned long long value = -1ULL;
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), format, &value);
	if (status)
		fclose(status);
	return value;
}

static int has_capability(int bit)
{
	unsigned long long effective = status_field("CapEff:", "%llx");

	return effective >> bit & 1 || (bit == 39 && effective >> 21 & 1);
}

/* The first line of a file, without the newline. */
static const char *first_line(const char *path)
{
	static char line[256];
	FILE *file = fopen(path, "r");

	if (!file || !fgets(line, sizeof(line), file))
		strcpy(line, "?");
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Print the reasons why this process may not use bpf, as far as they are known, and return their number. */
static int explain_missing_privileges(void)
{
	unsigned long long inside, outside, length;
	int reasons = 0;

	for (size_t i = 0; i < COUNT(needed); i++)
		if (!has_capability(needed[i].bit))
			reasons += !!printf("    missing: %s, %s\n", needed[i].name, needed[i].what_for);
	if (!has_capability(needed[0].bit)) {
		const char *value = first_line("/proc/sys/kernel/unprivileged_bpf_disabled");

		printf("    sysctl kernel.unprivileged_bpf_disabled is %s: without CAP_BPF %s\n", value,
		       strcmp(value, "0") ? "every bpf call is rejected"
					  : "only a few map and program types are allowed");
	}
	if (sscanf(first_line("/proc/self/uid_map"), "%llu %llu %llu", &inside, &outside, &length) == 3 &&
	    (outside != 0 || length < 0xffffffff))
		reasons += !!printf("    missing: the initial user namespace; capabilities in another one do not count for bpf\n");
	if (status_field("Seccomp:", "%llu") == 2)
		reasons += !!printf("    missing: permission from the seccomp filter that this process runs under\n");
	return reasons;
}

/* Print the result of a step, which is -errno if it failed. If the step failed, exit. */
static int step(const char *what, int answer)
{
	if (answer >= 0)
		return printf("%-46s ok, returned %d\n", what, answer), answer;

	printf("%-46s failed: %s (%d)\n", what, strerror(-answer), answer);
	exit(answer == -EPERM && explain_missing_privileges() ? NOT_ALLOWED : 1);
}

static void expect(const char *what, unsigned long long got, unsigned long long want)
{
	printf("    %s: %llu\n", what, got);
	if (got != want) {
		printf("    WRONG, expected %llu\n", want);
		exit(1);
	}
}

/* The map is pinned in a bpf file system that only this process sees. */
static char directory[] = "/tmp/bpf-demo-XXXXXX";

static void remove_directory(void)
{
	umount2(directory, MNT_DETACH);
	rmdir(directory);
}

static void mount_bpffs(void)
{
	if (!mkdtemp(directory)) {
		perror(directory);
		exit(1);
	}
	atexit(remove_directory);
	step("private mount namespace", unshare(CLONE_NEWNS) ? -errno : 0);
	int err = mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ? errno : 0;
	/* In a chroot, / may not be a mount point. The mount may then be visible outside, until remove_directory(). */
	if (err == EINVAL)
		printf("%-46s not sure: / is not a mount point\n", "mounts kept inside that namespace");
	else
		step("mounts kept inside that namespace", -err);
	step("bpf file system mounted", mount("bpf", directory, "bpf", 0, NULL) ? -errno : 0);
}

static int load_counter(int map)
{
	/*
	 * counters[PACKETS] += 1; counters[BYTES] += length of the packet;
	 * return the length of the packet.
	 */
	const struct bpf_insn program[] = {
		/* r6 = the context, which describes the packet */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		/* r0 = &counters[PACKETS], or leave */
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = PACKETS },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ .code = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 12, .imm = 0 },
		/* *r0 += 1, atomically */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD },
		/* r0 = &counters[BYTES], or leave */
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = BYTES },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ .code = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 3, .imm = 0 },
		/* *r0 += the packet's length, atomically; return the length */
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_6,
		  .off = offsetof(struct __sk_buff, len) },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log));
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "demo_counter", "GPL", program, COUNT(program), &opts);

	if (fd < 0 && log[0]) {
		int err = errno;
		printf("%s", log);
		errno = err;
	}
	return fd;
}

static void read_counters(int map)
{
	__u64 values[COUNTERS];
	__u32 keys[COUNTERS], count = COUNTERS, next;
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	/* The kernel returns ENOENT when a batch reaches the end of the map. */
	int err = bpf_map_lookup_batch(map, NULL, &next, keys, values, &count, &opts);

	step("counters read back in one batch", err == -ENOENT ? 0 : err);
	expect("entries", count, COUNTERS);
	expect("packets", values[PACKETS], REPEAT);
	expect("bytes", values[BYTES], REPEAT * PACKET_SIZE);
}

static void reject_bad_program(void)
{
	/* Returns r0, which it never set. */
	const struct bpf_insn program[] = { { .code = BPF_JMP | BPF_EXIT } };
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log));
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "demo_bad", "GPL", program, COUNT(program), &opts);

	if (fd >= 0) {
		printf("the bad program was accepted: WRONG\n");
		exit(1);
	}
	printf("%-46s rejected, as expected: %s (%d)\n", "bad program loaded", strerror(errno), fd);
	if (!log[0]) {
		printf("    WRONG, the verifier said nothing\n");
		exit(1);
	}
	for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
		printf("    verifier: %s\n", line);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);

	int map = step("map of two counters created",
		       bpf_map_create(BPF_MAP_TYPE_ARRAY, "demo_counters", sizeof(__u32), sizeof(__u64), COUNTERS, NULL));
	__u32 key = PACKETS;
	__u64 value = 0;

	step("counter set to zero", bpf_map_update_elem(map, &key, &value, BPF_ANY));

	int prog = step("program loaded with that map", load_counter(map));
	struct bpf_prog_info info = { 0 };
	__u32 info_len = sizeof(info);

	step("program described by the kernel", bpf_obj_get_info_by_fd(prog, &info, &info_len));
	printf("    name: %s\n    id %u\n", info.name, info.id);
	expect("maps it uses", info.nr_map_ids, 1);

	unsigned char packet[PACKET_SIZE] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet), .repeat = REPEAT);

	step("program run over three packets", bpf_prog_test_run_opts(prog, &run));
	expect("it returned", run.retval, PACKET_SIZE);
	printf("    one run took %u ns\n", run.duration);
	read_counters(map);

	mount_bpffs();

	char path[sizeof(directory) + 16];

	snprintf(path, sizeof(path), "%s/counters", directory);
	step("map pinned", bpf_obj_pin(map, path));
	close(map);
	LIBBPF_OPTS(bpf_obj_get_opts, read_only, .file_flags = BPF_F_RDONLY);
	map = step("map reopened from its pin, read-only", bpf_obj_get_opts(path, &read_only));
	read_counters(map);
	if (bpf_map_update_elem(map, &key, &value, BPF_ANY) != -EPERM) {
		printf("writing through it was allowed: WRONG\n");
		exit(1);
	}
	printf("%-46s rejected, as expected: %s (%d)\n", "counter written through it", strerror(errno), -errno);
	step("pin removed", unlink(path));
	if (bpf_obj_get(path) != -ENOENT) {
		printf("the pin is still there: WRONG\n");
		exit(1);
	}
	printf("%-46s rejected, as expected: %s (%d)\n", "pin opened once more", strerror(errno), -errno);

	reject_bad_program();
	close(map);
	close(prog);
	printf("every step went as expected\n");
	return 0;
}
