/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_token_create: from a BPF file system that delegates, in a user namespace; and its errors. */
#include "support.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The numbers of the fsopen(2) family, which are the same on every architecture. */
enum { MOVE_MOUNT = 429, FSOPEN = 430, FSCONFIG = 431, FSMOUNT = 432 };
enum { SET_STRING = 1, CMD_CREATE = 6 };

static void no_such_command(int fd)
{
	assert_fails(EINVAL, bpf_token_create(fd, NULL));
}

TEST(only_a_delegating_bpffs_is_accepted)
{
	COVERS(bpf_token_create);
	const int wild[] = { -1, 9999, wild_fd() };
	LIBBPF_OPTS(bpf_token_create_opts, opts);
	LIBBPF_OPTS(bpf_token_create_opts, flags, .flags = 1);
	char *dir = mount_own("bpf", NULL);

	if (!dir)
		skip_test("cannot mount a bpf file system: %s", strerror(errno));
	int bpffs = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (!kernel_knows("BPF_TOKEN_CREATE")) {
		no_such_command(bpffs);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(wild); i++)
			assert_fails(EBADF, bpf_token_create(i < 2 ? wild[i] : wild_fd(), NULL));
		assert_fails(EINVAL, bpf_token_create(bpffs, &flags));
		assert_fails(EINVAL, bpf_token_create(null, NULL));
		/* Mounted in the initial user namespace, in which there are no tokens. */
		assert_fails(EOPNOTSUPP, bpf_token_create(bpffs, &opts));
	}
	close(null);
	close(bpffs);
	unmount_own(dir);
}

static void send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		_exit(100);
}

static int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) == 1 && (c = CMSG_FIRSTHDR(&msg)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

enum { STEP_OK = 0, STEP_NAMESPACE = 10, STEP_OPEN, STEP_RECEIVE, STEP_DIR, STEP_UNTOKENED, STEP_TOKEN, STEP_MAP, STEP_PROG, STEP_BTF };

/*
 * In user and mount namespaces of its own, without any privilege outside them:
 * opens a context for a BPF file system and sends it to the parent, which
 * configures the delegation and mounts it; with the directory that is sent back
 * creates a token, and with that a map, a BTF object and a program.
 */
static int unprivileged_side(int socket, char *btf, size_t btf_size)
{
	struct bpf_insn insns[] = { MOV_IMM(0, 0), EXIT() };
	int context, dir_fd, token, fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return STEP_NAMESPACE;
	context = syscall(FSOPEN, "bpf", 0);
	if (context < 0)
		return STEP_OPEN;
	send_fd(socket, context);
	fd = receive_fd(socket);
	if (fd < 0)
		return STEP_RECEIVE;
	dir_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return STEP_DIR;
	if (bpf_map_create(BPF_MAP_TYPE_HASH, "m", 4, 4, 1, NULL) != -EPERM)
		return STEP_UNTOKENED;
	token = bpf_token_create(dir_fd, NULL);
	if (token < 3 || !(fcntl(token, F_GETFD) & FD_CLOEXEC))
		return STEP_TOKEN;
	LIBBPF_OPTS(bpf_map_create_opts, map, .map_flags = BPF_F_TOKEN_FD, .token_fd = token);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "m", 4, 4, 1, &map);
	if (fd < 3)
		return STEP_MAP;
	LIBBPF_OPTS(bpf_prog_load_opts, prog, .prog_flags = BPF_F_TOKEN_FD, .token_fd = token);
	fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "p", "GPL", insns, ARRAY_SIZE(insns), &prog);
	if (fd < 3)
		return STEP_PROG;
	LIBBPF_OPTS(bpf_btf_load_opts, btf_opts, .btf_flags = BPF_F_TOKEN_FD, .token_fd = token);
	fd = bpf_btf_load(btf, btf_size, &btf_opts);
	return fd < 3 ? STEP_BTF : STEP_OK;
}

TEST(a_token_delegates_to_an_unprivileged_process)
{
	COVERS(bpf_token_create);
	char blob[512];
	size_t size = small_btf(blob, sizeof(blob));
	int pair[2], status, context, dir_fd;

	if (!kernel_knows("BPF_TOKEN_CREATE")) {
		no_such_command(-1);
		skip_test("this kernel has no BPF_TOKEN_CREATE (EINVAL, as expected)");
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fflush(stdout);
	pid_t child = fork();

	if (!child) {
		close(pair[0]);
		_exit(unprivileged_side(pair[1], blob, size));
	}
	/* The parent notes what the child called. */
	note_call("bpf_token_create");
	close(pair[1]);
	context = receive_fd(pair[0]);
	if (context >= 0) {
		static const char *const options[] = { "delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs" };

		for (size_t i = 0; i < ARRAY_SIZE(options); i++)
			syscall(FSCONFIG, context, SET_STRING, options[i], "any", 0);
		syscall(FSCONFIG, context, CMD_CREATE, NULL, NULL, 0);
		dir_fd = syscall(FSMOUNT, context, 1 /* close-on-exec */, 0);
		if (dir_fd >= 0) {
			send_fd(pair[0], dir_fd);
			close(dir_fd);
		}
		close(context);
	}
	close(pair[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == STEP_NAMESPACE)
		skip_test("cannot create a user namespace");
	assert_int_equal(WEXITSTATUS(status), STEP_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(only_a_delegating_bpffs_is_accepted),
		T(a_token_delegates_to_an_unprivileged_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
