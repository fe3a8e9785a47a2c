/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A scripted kernel. A program linked with script.c exports its own syscall()
 * and uname(), which the library calls instead of libc's. Every bpf(2) call is
 * recorded, and answered by the test. No privileges are required.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "support.h"

enum { CALLS_MAX = 64, ATTR_MAX = 256 };

struct bpf_call {
	unsigned int cmd;
	unsigned int size;
	unsigned char attr[ATTR_MAX];	/* as sent, before the answer modified it */
	const void *common;		/* address, size and bytes of the common attributes */
	unsigned int common_size;
	unsigned char common_attr[64];
	void *live;			/* the attribute itself; valid only in the answer */
};

/* The calls since the last script(). In shared memory, so that a parent sees the calls of its child. */
struct recording {
	int count;
	struct bpf_call calls[CALLS_MAX];
	long result[16];		/* for a child's own notes */
};
extern struct recording *recorded;

/* Answers a call: returns a value >= 0, or a negative errno, and may write to live. */
typedef long (*answer_fn)(struct bpf_call *call, int number);

/* Forgets all calls, and has later ones answered by fn, or with one value. */
void script(answer_fn fn);
void script_value(long value);

/* The release that uname() returns; NULL for the real one. */
extern const char *fake_release;

static inline struct bpf_call *last_call(void)
{
	return &recorded->calls[recorded->count - 1];
}

__u32 u32_at(const void *bytes, size_t offset);
__u64 u64_at(const void *bytes, size_t offset);
/* The number of calls of one command. */
int count_of(unsigned int cmd);
/* Runs fn in a child, in which the library has no state yet. Fails the test unless its exit status is 0. */
void in_child(void (*fn)(void));
/* In a child: prints a message and exits unless the condition holds. */
#define child_check(condition) do { \
	if (!(condition)) { \
		printf("# %s:%d: in the child: %s\n", __FILE__, __LINE__, #condition); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

#endif
