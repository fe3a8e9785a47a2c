/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Functions for programs written before libbpf 1.0. Written by hand; the include guard is libbpf's.
 */
#pragma GCC system_header /* see bpf.h */

#ifndef __LIBBPF_LEGACY_BPF_H
#define __LIBBPF_LEGACY_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf_common.h>

/* The older name of LIBBPF_OPTS. */
#define DECLARE_LIBBPF_OPTS LIBBPF_OPTS

#ifdef __cplusplus
extern "C" {
#endif

/* Features of libbpf 1.0 that programs could enable in earlier releases. All of them are always on now. */
enum libbpf_strict_mode {
	LIBBPF_STRICT_ALL = 0xffffffff,
	LIBBPF_STRICT_NONE = 0x00,
	LIBBPF_STRICT_CLEAN_PTRS = 0x01,
	LIBBPF_STRICT_DIRECT_ERRS = 0x02,
	LIBBPF_STRICT_SEC_NAME = 0x04,
	LIBBPF_STRICT_NO_OBJECT_LIST = 0x08,
	LIBBPF_STRICT_AUTO_RLIMIT_MEMLOCK = 0x10,
	LIBBPF_STRICT_MAP_DEFINITIONS = 0x20,

	__LIBBPF_STRICT_LAST,
};

/*
 * Does nothing.
 *
 * @param mode  ignored
 * @return 0
 */
LIBBPF_API int libbpf_set_strict_mode(enum libbpf_strict_mode mode);

/*
 * The error code of a function that returned a pointer. Call it immediately after the failing
 * function: for NULL, the error code is taken from errno.
 *
 * @param ptr  the pointer that the function returned
 * @return 0 for a valid pointer; otherwise the negative error code, also in errno
 */
LIBBPF_API long libbpf_get_error(const void *ptr);

/*
 * Functions for objects, which libbpf provides: programs that use them are linked against libbpf
 * as well as this library.
 */
struct btf;
struct btf_ext;
struct bpf_map;
struct bpf_program;

LIBBPF_API struct btf *libbpf_find_kernel_btf(void);
LIBBPF_API enum bpf_prog_type bpf_program__get_type(const struct bpf_program *prog);
LIBBPF_API enum bpf_attach_type bpf_program__get_expected_attach_type(const struct bpf_program *prog);
LIBBPF_API const char *bpf_map__get_pin_path(const struct bpf_map *map);
LIBBPF_API const void *btf__get_raw_data(const struct btf *btf, __u32 *size);
LIBBPF_API const void *btf_ext__get_raw_data(const struct btf_ext *btf_ext, __u32 *size);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* __LIBBPF_LEGACY_BPF_H */
