/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The running kernel's own type information, /sys/kernel/btf/vmlinux. It is
 * read at the first question and kept. Type information that is malformed, or
 * of a kind unknown here, fails the test that asks.
 */
#ifndef KERNEL_BTF_H
#define KERNEL_BTF_H

#include <stdbool.h>
#include <linux/btf.h>

/* False if this kernel has no type information. The functions below then find nothing. */
bool kernel_has_btf(void);

/* Whether this name occurs in it: of a type, a member or an enumerator. Skips the test if there is no type information. */
bool kernel_knows(const char *name);

/* The id of the first type of that name and kind; 0 if there is none. */
__u32 kernel_btf_id(const char *name, __u32 kind);
/* The size of that type in bytes: of a struct, a union, an enum, an integer or a float. */
__u32 kernel_btf_size(__u32 id);

/* For what walks through types: the type of an id, the name at an offset. The test fails if there is none. */
const struct btf_type *kernel_btf_type(__u32 id);
const char *kernel_btf_name(__u32 name_off);

#endif
