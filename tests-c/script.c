/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See script.h. */
#define CALLS_ARE_NOT_NOTED
#include "script.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

/* Overrides the weak definition in support.c. */
bool kernel_is_scripted = true;

struct recording *recorded;
const char *fake_release;
static answer_fn answer;
static long constant;

__attribute__((constructor)) static void share_recording(void)
{
	recorded = mmap(NULL, sizeof(*recorded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (recorded == MAP_FAILED)
		abort();
}

void script(answer_fn fn)
{
	memset(recorded, 0, sizeof(*recorded));
	answer = fn;
}

void script_value(long value)
{
	script(NULL);
	constant = value;
}

/* The real system call. */
static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#elif defined(__riscv)
	register long a7 __asm__("a7") = nr;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
#elif defined(__s390x__)
	register long r1 __asm__("1") = nr;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;
	register long r6 __asm__("6") = e;
	register long r7 __asm__("7") = f;

	__asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory");
	return r2;
#else
	/* On other architectures only bpf(2) may be called, which the script answers. */
	(void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
	fprintf(stderr, "system call %ld cannot be passed on, on this architecture\n", nr);
	abort();
#endif
}

long syscall(long nr, ...)
{
	va_list args;
	long a[6], ret;

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);

	if (nr == SYS_bpf) {
		struct bpf_call *call;
		int number = recorded->count;

		if (number == CALLS_MAX) {
			fprintf(stderr, "more than %d bpf(2) calls in one test\n", CALLS_MAX);
			abort();
		}
		recorded->count++;
		call = &recorded->calls[number];
		call->cmd = a[0];
		call->size = a[2];
		memcpy(call->attr, (void *)a[1], call->size < ATTR_MAX ? call->size : ATTR_MAX);
		call->live = (void *)a[1];
		if (call->cmd & BPF_COMMON_ATTRS) {
			call->common = (void *)a[3];
			call->common_size = a[4];
			if (call->common)
				memcpy(call->common_attr, call->common,
				       call->common_size < sizeof(call->common_attr) ? call->common_size : sizeof(call->common_attr));
		}
		ret = answer ? answer(call, number) : constant;
	} else {
		ret = raw(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (ret < 0 && ret >= -4095) {
		errno = -ret;
		return -1;
	}
	return ret;
}

int uname(struct utsname *name)
{
	memset(name, 0, sizeof(*name));
	strcpy(name->sysname, "Linux");
	if (fake_release) {
		snprintf(name->release, sizeof(name->release), "%s", fake_release);
		return 0;
	}
	/* Any recent release, for tests that do not depend on it. */
	strcpy(name->release, "6.18.0");
	return 0;
}

__u32 u32_at(const void *bytes, size_t offset)
{
	__u32 value;

	memcpy(&value, (const char *)bytes + offset, sizeof(value));
	return value;
}

__u64 u64_at(const void *bytes, size_t offset)
{
	__u64 value;

	memcpy(&value, (const char *)bytes + offset, sizeof(value));
	return value;
}

int count_of(unsigned int cmd)
{
	int count = 0;

	for (int i = 0; i < recorded->count; i++)
		count += recorded->calls[i].cmd == cmd;
	return count;
}

void in_child(void (*fn)(void))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status)
		fail_msg("the child ended with status 0x%x", status);
}
