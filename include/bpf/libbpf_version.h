/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The release of libbpf whose functions a program can use.
 *
 * If libbpf's own headers are further down the include path, a program that includes libbpf.h
 * gets that one, so this header uses the version of those headers. The include guard is
 * libbpf's too.
 */
#pragma GCC system_header /* see bpf.h */

#ifndef __LIBBPF_VERSION_H

#if defined(__has_include_next) && !defined(__SYSBPF_VERSION_LOOKED_FURTHER)
#define __SYSBPF_VERSION_LOOKED_FURTHER
#if __has_include_next(<bpf/libbpf_version.h>)
#include_next <bpf/libbpf_version.h>
#endif
#endif

#ifndef __LIBBPF_VERSION_H
#define __LIBBPF_VERSION_H

#define LIBBPF_MAJOR_VERSION 1
#define LIBBPF_MINOR_VERSION 7

#endif
#endif /* __LIBBPF_VERSION_H */
