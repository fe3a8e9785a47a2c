/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The running kernel's own type information, /sys/kernel/btf/vmlinux. It is
 * read on first use and kept. Malformed type information, or a kind that is
 * unknown here, fails the test.
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

/* To iterate over types: the type with an id, and the name at an offset. The test fails if it does not exist. */
const struct btf_type *kernel_btf_type(__u32 id);
const char *kernel_btf_name(__u32 name_off);

#endif
