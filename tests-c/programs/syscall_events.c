// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Watches the system calls of its own process at a raw tracepoint. It receives those
 * that are marked in a map through a ring buffer, which it maps and reads itself.
 *
 *     cc syscall_events.c $(pkg-config --cflags --libs libbpf)
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RING_SIZE = 1 << 16 };

struct event {
	__u64 number, argument;
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int load_watcher(int watched, int ring)
{
	struct stat ns;

	/* The kernel counts processes from outside; ask it for this namespace's number. */
	if (stat("/proc/self/ns/pid", &ns))
		die("/proc/self/ns/pid");

	const struct bpf_insn watcher[] = {
		/* r6 = the tracepoint's arguments: registers, system call number */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		/* our own process? {pid, tgid} goes to the stack */
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .imm = (int)ns.st_dev },
		{ .imm = (int)((__u64)ns.st_dev >> 32) },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_2, .imm = (int)ns.st_ino },
		{ .imm = (int)((__u64)ns.st_ino >> 32) },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_3, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = 8 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_ns_current_pid_tgid },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_0, .imm = 0, .off = 22 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10, .off = -4 },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_1, .imm = getpid(), .off = 20 },
		/* watched[number]? r8 = what is marked there */
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_6, .off = 8 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_7, .off = -8 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = watched },
		{ .code = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -8 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .imm = 0, .off = 12 },
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_8, .src_reg = BPF_REG_0 },
		/* r0 = room for an event in the ring */
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = ring },
		{ .code = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = sizeof(struct event) },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_reserve },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .imm = 0, .off = 5 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_7,
		  .off = offsetof(struct event, number) },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_8,
		  .off = offsetof(struct event, argument) },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_submit },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static char log[1 << 16];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log));
	int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "watcher", "GPL", watcher, sizeof(watcher) / sizeof(watcher[0]),
			       &opts);

	if (fd < 0) {
		fprintf(stderr, "%s", log);
		die("loading the watcher");
	}
	return fd;
}

/* Reads what has been written since the last time; the ring is mapped twice in a row, so no record is ever split. */
static int read_ring(unsigned long *consumed, const unsigned long *produced, const char *data)
{
	unsigned long position = *consumed, end = __atomic_load_n(produced, __ATOMIC_ACQUIRE);
	int events = 0;

	while (position < end) {
		const __u32 *header = (const void *)(data + position % RING_SIZE);
		__u32 length = __atomic_load_n(header, __ATOMIC_ACQUIRE);

		if (length & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			const struct event *event = (const void *)(data + position % RING_SIZE + BPF_RINGBUF_HDR_SZ);

			printf("event: %s, marked %llu\n", event->number == SYS_getppid ? "getppid"
				: event->number == SYS_getpgid ? "getpgid" : "another", event->argument);
			events++;
		}
		length &= ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		position += (length + BPF_RINGBUF_HDR_SZ + 7) & ~7UL;
		__atomic_store_n(consumed, position, __ATOMIC_RELEASE);
	}
	return events;
}

int main(void)
{
	long page = sysconf(_SC_PAGESIZE);
	int watched = bpf_map_create(BPF_MAP_TYPE_HASH, "watched", sizeof(__u64), sizeof(__u64), 16, NULL);
	int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "events", 0, 0, RING_SIZE, NULL);

	if (watched < 0 || ring < 0)
		die("creating the maps");

	unsigned long *consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	char *produced = mmap(NULL, page + 2 * RING_SIZE, PROT_READ, MAP_SHARED, ring, page);

	if (consumed == MAP_FAILED || produced == MAP_FAILED)
		die("mapping the ring");

	int watcher = load_watcher(watched, ring);
	int link = bpf_raw_tracepoint_open("sys_enter", watcher);

	if (link < 0)
		die("attaching to the tracepoint");

	const __u64 numbers[] = { SYS_getppid, SYS_getpgid }, marks[] = { 100, 200 };
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	__u32 count = 2;

	if (bpf_map_update_batch(watched, numbers, marks, &count, &opts))
		die("marking system calls");

	syscall(SYS_getppid);
	syscall(SYS_getpgid, 0);
	syscall(SYS_getuid);
	syscall(SYS_getppid);

	struct pollfd wait = { .fd = ring, .events = POLLIN };

	printf("poll: %d\n", poll(&wait, 1, 1000));
	printf("%d events\n", read_ring(consumed, (unsigned long *)produced, produced + page));

	if (bpf_map_delete_elem(watched, &numbers[0]))
		die("unmarking a system call");
	syscall(SYS_getppid);
	syscall(SYS_getpgid, 0);
	printf("%d events after one is unmarked\n", read_ring(consumed, (unsigned long *)produced, produced + page));

	close(link);
	syscall(SYS_getpgid, 0);
	printf("%d events after the link is closed\n", read_ring(consumed, (unsigned long *)produced, produced + page));
	printf("no such tracepoint: %s\n", bpf_raw_tracepoint_open("no_such_tracepoint", watcher) < 0 ? strerror(errno) : "found");
	return 0;
}
