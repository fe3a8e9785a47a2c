/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the runner that requires C.
 *
 * 1. Definitions of the libc functions through which a library makes system calls.
 *    The executable exports them, so that the dynamic linker binds both libraries to
 *    them. During a guarded call they call interpose.rs, which records the system call
 *    and returns its result. Otherwise they call libc's function.
 *
 * 2. conformance_guard() calls a function of a library. It also returns if the function
 *    accesses unmapped memory, or makes system calls without end. siglongjmp() skips
 *    frames of the library under test and of this file, never frames of Rust code.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RETURNED = 0, DIED = 1, RUNAWAY = 2 };

struct outcome {
	long value;
	int how;
	int signal;
	int error;
	uintptr_t address;
};

/* In interpose.rs. All but on_uname return a result or -errno, as the kernel does. */
#define GIVE_UP INT64_MIN
int64_t conformance_on_syscall(long number, const long *args);
int64_t conformance_on_fcntl(int fd, int command, long argument);
int64_t conformance_on_close(int fd);
int64_t conformance_on_setrlimit(int resource, const uint64_t *limits);
int64_t conformance_on_uname(void *name);

static sigjmp_buf back;
static volatile sig_atomic_t inside;
static struct outcome death;

static void *next(const char *name, void **cache)
{
	if (!*cache) {
		*cache = dlsym(RTLD_NEXT, name);
		if (!*cache)
			abort();
	}
	return *cache;
}
#define NEXT(type, name) ({ static void *cache; (type)next(name, &cache); })

static long settle(int64_t answer)
{
	if (answer == GIVE_UP) {
		inside = 0;
		siglongjmp(back, RUNAWAY);
	}
	if (answer < 0) {
		errno = (int)-answer;
		return -1;
	}
	return (long)answer;
}

/* libc's syscall(), but it returns -errno as the kernel does, and leaves errno unchanged. */
int64_t conformance_next_syscall(long number, const long *a)
{
	long (*real)(long, ...) = NEXT(long (*)(long, ...), "syscall");
	int saved = errno;
	long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	int64_t answer = result == -1 ? -(int64_t)errno : result;

	errno = saved;
	return answer;
}

long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (!inside)
		return NEXT(long (*)(long, ...), "syscall")(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return settle(conformance_on_syscall(number, a));
}

int64_t conformance_next_fcntl(int fd, int command, long argument)
{
	int saved = errno;
	int result = NEXT(int (*)(int, int, ...), "fcntl")(fd, command, argument);
	int64_t answer = result == -1 ? -(int64_t)errno : result;

	errno = saved;
	return answer;
}

int fcntl(int fd, int command, ...)
{
	va_list list;
	long argument;

	va_start(list, command);
	argument = va_arg(list, long);
	va_end(list);
	if (!inside)
		return NEXT(int (*)(int, int, ...), "fcntl")(fd, command, argument);
	return (int)settle(conformance_on_fcntl(fd, command, argument));
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

int64_t conformance_next_close(int fd)
{
	int saved = errno;
	int result = NEXT(int (*)(int), "close")(fd);
	int64_t answer = result == -1 ? -(int64_t)errno : result;

	errno = saved;
	return answer;
}

int close(int fd)
{
	if (!inside)
		return NEXT(int (*)(int), "close")(fd);
	return (int)settle(conformance_on_close(fd));
}

/* struct rlimit has two 64-bit members on 64-bit machines, struct rlimit64 on all. */
_Static_assert(sizeof(long) == 8, "the runner is for 64-bit machines");

int setrlimit(int resource, const void *limits)
{
	if (!inside)
		return NEXT(int (*)(int, const void *), "setrlimit")(resource, limits);
	return (int)settle(conformance_on_setrlimit(resource, limits));
}
int setrlimit64(int resource, const void *limits) __attribute__((alias("setrlimit")));

int prlimit(int pid, int resource, const void *limits, void *old)
{
	if (!inside || !limits || old)
		return NEXT(int (*)(int, int, const void *, void *), "prlimit")(pid, resource, limits, old);
	return (int)settle(conformance_on_setrlimit(resource, limits));
}
int prlimit64(int pid, int resource, const void *limits, void *old) __attribute__((alias("prlimit")));

int conformance_next_uname(void *name)
{
	return NEXT(int (*)(void *), "uname")(name);
}

int uname(void *name)
{
	if (!inside)
		return NEXT(int (*)(void *), "uname")(name);
	return (int)settle(conformance_on_uname(name));
}

static void died(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!inside) {
		/* A fault of the runner itself is not caught. */
		struct sigaction normal = { .sa_handler = SIG_DFL };

		sigaction(signal, &normal, NULL);
		return;
	}
	inside = 0;
	death.signal = signal;
	death.address = (uintptr_t)info->si_addr;
	siglongjmp(back, DIED);
}

void conformance_guard_setup(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
	struct sigaction action = { .sa_sigaction = died, .sa_flags = SA_SIGINFO | SA_NODEFER };

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	/* Resolve libc's functions before the first guarded call. */
	conformance_next_fcntl(-1, 0, 0);
	conformance_next_close(-1);
	conformance_next_syscall(-1, (long[6]){ 0 });
}

void conformance_guard(void *function, const uint64_t *a, int errno_before, struct outcome *out)
{
	typedef long (*any)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

	memset(&death, 0, sizeof(death));
	/* The signal mask need not be saved: SA_NODEFER leaves it unchanged. */
	int how = sigsetjmp(back, 0);

	if (how == RETURNED) {
		errno = errno_before;
		inside = 1;
		long value = ((any)function)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);

		inside = 0;
		out->error = errno;
		out->value = value;
		out->signal = 0;
		out->address = 0;
	} else {
		*out = death;
	}
	out->how = how;
}
