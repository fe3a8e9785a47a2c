/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A scripted kernel. A program linked with script.c exports its own syscall()
 * and uname(); the library calls both through libc and so reaches these. Every
 * bpf(2) call is recorded, and answered by the test. Needs no privileges.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "support.h"

enum { CALLS_MAX = 64, ATTR_MAX = 256 };

struct bpf_call {
	unsigned int cmd;
	unsigned int size;
	unsigned char attr[ATTR_MAX];	/* as it came, before the answer wrote to it */
	const void *common;		/* the common attributes' address; their size and bytes */
	unsigned int common_size;
	unsigned char common_attr[64];
	void *live;			/* where the attribute lay; valid only inside the answer */
};

/* What was called since the last script(). In shared memory: a child's calls are seen by its parent. */
struct recording {
	int count;
	struct bpf_call calls[CALLS_MAX];
	long result[16];		/* for a child's own notes */
};
extern struct recording *recorded;

/* The answer to a call: a value >= 0, or a negative errno. It may write to live. */
typedef long (*answer_fn)(struct bpf_call *call, int number);

/* Forgets all calls, and answers from now on with fn; or with one value. */
void script(answer_fn fn);
void script_value(long value);

/* What uname() says the release is; NULL for the truth. */
extern const char *fake_release;

static inline struct bpf_call *last_call(void)
{
	return &recorded->calls[recorded->count - 1];
}

__u32 u32_at(const void *bytes, size_t offset);
__u64 u64_at(const void *bytes, size_t offset);
/* Counts the calls of one command. */
int count_of(unsigned int cmd);
/* Runs fn in a child, where the library has not yet remembered anything; fails the test if it does not end with 0. */
void in_child(void (*fn)(void));
/* In a child: ends it with a message unless the condition holds. */
#define child_check(condition) do { \
	if (!(condition)) { \
		printf("# %s:%d: in the child: %s\n", __FILE__, __LINE__, #condition); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

#endif
