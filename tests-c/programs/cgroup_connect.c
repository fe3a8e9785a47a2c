// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A firewall for one cgroup: its processes may not connect to one port. The
 * program is attached to a cgroup created for this run, first with bpf_link_create() and then
 * with bpf_prog_attach(), and a child in that cgroup tries to connect. Only loopback is used.
 *
 *     cc cgroup_connect.c $(pkg-config --cflags --libs libbpf)
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALLOWED, DENIED, VERDICTS };

static char cgroup_path[4096];

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void remove_cgroup(void)
{
	rmdir(cgroup_path);
}

static int make_cgroup(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;

	while (mounts && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "cgroup2")) {
			snprintf(cgroup_path, sizeof(cgroup_path), "%s/connect-XXXXXX", entry->mnt_dir);
			break;
		}
	if (mounts)
		endmntent(mounts);
	if (!cgroup_path[0]) {
		fprintf(stderr, "no cgroup v2 hierarchy is mounted\n");
		exit(1);
	}
	if (!mkdtemp(cgroup_path))
		die(cgroup_path);
	atexit(remove_cgroup);

	int fd = open(cgroup_path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		die(cgroup_path);
	return fd;
}

static int load_firewall(int verdicts, in_port_t port)
{
	const struct bpf_insn firewall[] = {
		/* r6 = 1, or 0 for the forbidden port (both in network order) */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_6, .imm = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_1,
		  .off = offsetof(struct bpf_sock_addr, user_port) },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_7, .imm = port, .off = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_6, .imm = 0 },
		/* verdicts[1 - r6] += 1 */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_7, .imm = DENIED },
		{ .code = BPF_ALU64 | BPF_SUB | BPF_X, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_6 },
		{ .code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_7, .off = -4 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = verdicts },
		{ .code = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .imm = 0, .off = 2 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD },
		/* 1 allows the connection, 0 rejects it with EPERM */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_6 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static char log[1 << 16];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT, .log_buf = log,
		    .log_size = sizeof(log));
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "one_port_less", "GPL", firewall,
			       sizeof(firewall) / sizeof(firewall[0]), &opts);

	if (fd < 0) {
		fprintf(stderr, "%s", log);
		die("loading the firewall");
	}
	return fd;
}

static int listener(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)address, len) || listen(fd, 8) ||
	    getsockname(fd, (struct sockaddr *)address, &len))
		die("listening");
	return fd;
}

/* A child joins the cgroup and connects to both. */
static void try_from_cgroup(const char *when, const struct sockaddr_in to[2])
{
	static const char *const names[] = { "open port", "forbidden port" };

	fflush(stdout);

	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		char path[sizeof(cgroup_path) + 16];

		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup_path);
		FILE *procs = fopen(path, "w");

		if (!procs || fprintf(procs, "0\n") < 0 || fclose(procs))
			die("joining the cgroup");
		for (int i = 0; i < 2; i++) {
			int fd = socket(AF_INET, SOCK_STREAM, 0);
			int err = connect(fd, (const struct sockaddr *)&to[i], sizeof(to[i])) ? errno : 0;

			printf("%s, %s: %s\n", when, names[i], err ? strerror(err) : "connected");
			close(fd);
		}
		fflush(stdout);
		_exit(0);
	}
	int status;

	if (waitpid(child, &status, 0) < 0 || status)
		die("the child in the cgroup failed");
}

static void show_attached(const char *when, int cgroup)
{
	__u32 ids[4], count = 4, flags = 0;

	if (bpf_prog_query(cgroup, BPF_CGROUP_INET4_CONNECT, 0, &flags, ids, &count))
		die("querying the cgroup");
	printf("%s: %u programs attached, flags %u\n", when, count, flags);
}

int main(void)
{
	struct sockaddr_in to[2];
	int open_port = listener(&to[0]), forbidden = listener(&to[1]);
	int cgroup = make_cgroup();
	int verdicts = bpf_map_create(BPF_MAP_TYPE_ARRAY, "verdicts", sizeof(__u32), sizeof(__u64), VERDICTS, NULL);

	if (verdicts < 0)
		die("creating the map");

	int firewall = load_firewall(verdicts, to[1].sin_port);

	try_from_cgroup("before", to);

	int link = bpf_link_create(firewall, cgroup, BPF_CGROUP_INET4_CONNECT, NULL);

	if (link < 0)
		die("attaching as a link");
	show_attached("with a link", cgroup);
	try_from_cgroup("with a link", to);
	if (bpf_link_detach(link))
		die("detaching the link");
	close(link);
	show_attached("link detached", cgroup);

	if (bpf_prog_attach(firewall, cgroup, BPF_CGROUP_INET4_CONNECT, BPF_F_ALLOW_OVERRIDE))
		die("attaching without a link");
	show_attached("attached without a link", cgroup);
	try_from_cgroup("attached without a link", to);
	if (bpf_prog_detach2(firewall, cgroup, BPF_CGROUP_INET4_CONNECT))
		die("detaching");
	try_from_cgroup("detached", to);
	printf("detached twice: %s\n",
	       bpf_prog_detach2(firewall, cgroup, BPF_CGROUP_INET4_CONNECT) ? strerror(errno) : "worked");

	for (__u32 verdict = ALLOWED; verdict < VERDICTS; verdict++) {
		__u64 count;

		if (bpf_map_lookup_elem(verdicts, &verdict, &count))
			die("reading the verdicts");
		printf("%s: %llu\n", verdict == ALLOWED ? "allowed" : "denied", count);
	}
	close(open_port);
	close(forbidden);
	return 0;
}
