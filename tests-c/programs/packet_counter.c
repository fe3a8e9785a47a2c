// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Counts the datagrams that reach a UDP socket by their first letter, in a socket
 * filter that also drops those that begin with 'x'. All on the loopback interface.
 *
 *     cc packet_counter.c $(pkg-config --cflags --libs libbpf)
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

struct traffic {
	__u64 packets, bytes;
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int load_filter(int traffic)
{
	const int letter = -4, fresh = -24; /* on the stack: the key, and a new value of 16 bytes */
	const struct bpf_insn filter[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		/* r7 = first byte after the 8 of the UDP header; an empty datagram is dropped here */
		{ .code = BPF_LD | BPF_ABS | BPF_B, .imm = 8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_0 },
		{ .code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_7, .off = letter },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_8, .src_reg = BPF_REG_6,
		  .off = offsetof(struct __sk_buff, len) },
		{ .code = BPF_ALU64 | BPF_SUB | BPF_K, .dst_reg = BPF_REG_8, .imm = 8 },
		/* r0 = traffic[letter] */
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = traffic },
		{ .code = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = letter },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .imm = 0, .off = 4 },
		/* known letter: add to it */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD,
		  .off = offsetof(struct traffic, packets) },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_8, .imm = BPF_ADD,
		  .off = offsetof(struct traffic, bytes) },
		{ .code = BPF_JMP | BPF_JA, .off = 10 },
		/* new letter: enter it */
		{ .code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = fresh, .imm = 1 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_8, .off = fresh + 8 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = traffic },
		{ .code = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = letter },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_3, .imm = fresh },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = BPF_NOEXIST },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_update_elem },
		/* keep the whole datagram, or nothing of it */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1 },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_7, .imm = 'x', .off = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static char log[1 << 16];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log));
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "by_first_letter", "GPL", filter,
			       sizeof(filter) / sizeof(filter[0]), &opts);

	if (fd < 0) {
		fprintf(stderr, "%s", log);
		die("loading the filter");
	}
	return fd;
}

int main(void)
{
	static const char *const sent[] = { "apple", "x-ray", "banana", "avocado", "xylophone", "x", "cherry", "apricot" };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t address_len = sizeof(address);
	int traffic = bpf_map_create(BPF_MAP_TYPE_HASH, "traffic", sizeof(__u32), sizeof(struct traffic), 256, NULL);

	if (traffic < 0)
		die("creating the map");

	int filter = load_filter(traffic);
	int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	int sender = socket(AF_INET, SOCK_DGRAM, 0);

	if (receiver < 0 || sender < 0 || bind(receiver, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(receiver, (struct sockaddr *)&address, &address_len) ||
	    connect(sender, (struct sockaddr *)&address, sizeof(address)))
		die("sockets");
	if (setsockopt(receiver, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)))
		die("attaching the filter");

	/* Over loopback a datagram has arrived, or was dropped, by the time send returns. */
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		char text[64] = "";

		if (send(sender, sent[i], strlen(sent[i]), 0) < 0)
			die("send");
		if (recv(receiver, text, sizeof(text) - 1, 0) < 0 && errno != EAGAIN)
			die("recv");
		printf("sent %-10s %s %s\n", sent[i], text[0] ? "received" : "dropped", text);
	}

	for (__u32 letter = 'a'; letter <= 'z'; letter++) {
		struct traffic seen;

		if (bpf_map_lookup_elem(traffic, &letter, &seen) == 0)
			printf("letter %c: %llu datagrams, %llu bytes\n", letter, seen.packets, seen.bytes);
	}

	/* Empty the map, key by key. */
	__u32 key;
	int deleted = 0;

	while (bpf_map_get_next_key(traffic, NULL, &key) == 0)
		if (bpf_map_delete_elem(traffic, &key))
			die("deleting");
		else
			deleted++;
	printf("%d letters deleted, then: %s\n", deleted, strerror(errno));
	return 0;
}
