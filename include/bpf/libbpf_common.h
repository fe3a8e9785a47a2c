/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Macros that bpf.h and its users share. Written by hand; bpf.h is generated.
 *
 * The include guard is libbpf's, so a program that also includes libbpf's headers gets these
 * definitions only once.
 */
#pragma GCC system_header /* see bpf.h; also, members omitted from LIBBPF_OPTS are zero on purpose */

#ifndef __LIBBPF_LIBBPF_COMMON_H
#define __LIBBPF_LIBBPF_COMMON_H

#include <string.h>

#include <bpf/libbpf_version.h>

#ifndef LIBBPF_API
#define LIBBPF_API __attribute__((visibility("default")))
#endif

#define LIBBPF_DEPRECATED(msg) __attribute__((deprecated(msg)))

/* LIBBPF_DEPRECATED_SINCE(1, 6, "use ...") deprecates a declaration from that release on. */
#define LIBBPF_DEPRECATED_SINCE(major, minor, msg) \
	__LIBBPF_SINCE_##major##_##minor(LIBBPF_DEPRECATED("since libbpf " #major "." #minor ": " msg))

/* True if the headers are those of this release or a later one. */
#define __LIBBPF_CURRENT_VERSION_GEQ(major, minor) \
	(LIBBPF_MAJOR_VERSION > (major) || (LIBBPF_MAJOR_VERSION == (major) && LIBBPF_MINOR_VERSION >= (minor)))

#define __LIBBPF_SINCE_0_6(mark) mark
#define __LIBBPF_SINCE_0_7(mark) mark
#define __LIBBPF_SINCE_0_8(mark) mark
#define __LIBBPF_SINCE_1_0(mark) mark
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 1)
#define __LIBBPF_SINCE_1_1(mark) mark
#else
#define __LIBBPF_SINCE_1_1(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 2)
#define __LIBBPF_SINCE_1_2(mark) mark
#else
#define __LIBBPF_SINCE_1_2(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 3)
#define __LIBBPF_SINCE_1_3(mark) mark
#else
#define __LIBBPF_SINCE_1_3(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 4)
#define __LIBBPF_SINCE_1_4(mark) mark
#else
#define __LIBBPF_SINCE_1_4(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 5)
#define __LIBBPF_SINCE_1_5(mark) mark
#else
#define __LIBBPF_SINCE_1_5(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 6)
#define __LIBBPF_SINCE_1_6(mark) mark
#else
#define __LIBBPF_SINCE_1_6(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 7)
#define __LIBBPF_SINCE_1_7(mark) mark
#else
#define __LIBBPF_SINCE_1_7(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 8)
#define __LIBBPF_SINCE_1_8(mark) mark
#else
#define __LIBBPF_SINCE_1_8(mark)
#endif
#if __LIBBPF_CURRENT_VERSION_GEQ(1, 9)
#define __LIBBPF_SINCE_1_9(mark) mark
#else
#define __LIBBPF_SINCE_1_9(mark)
#endif

/*
 * LIBBPF_OPTS(TYPE, NAME, .member = value, ...) declares a struct TYPE called NAME, in which sz
 * and the given members are set and everything else is zero. Padding is zeroed too, because the
 * library rejects structs with non-zero bytes after the last member it knows.
 */
#define LIBBPF_OPTS(TYPE, NAME, ...)                                                    \
	struct TYPE NAME = (memset(&NAME, 0, sizeof(NAME)), __SYSBPF_LEFT_OUT_IS_ZERO(  \
			    (struct TYPE){ .sz = sizeof(struct TYPE), __VA_ARGS__ }))

#endif /* __LIBBPF_LIBBPF_COMMON_H */

/*
 * In C++, clang 19 and newer warn about members that a designated initializer omits, even in system
 * headers. This macro is outside the guard because LIBBPF_OPTS_RESET below, which uses it, is.
 */
#ifndef __SYSBPF_LEFT_OUT_IS_ZERO
#define __SYSBPF_LEFT_OUT_IS_ZERO(...) __VA_ARGS__
#if defined(__cplusplus) && defined(__clang__) && defined(__has_warning)
#if __has_warning("-Wmissing-designated-field-initializers")
#undef __SYSBPF_LEFT_OUT_IS_ZERO
#define __SYSBPF_LEFT_OUT_IS_ZERO(...)                                                  \
	_Pragma("clang diagnostic push")                                                \
	_Pragma("clang diagnostic ignored \"-Wmissing-designated-field-initializers\"") \
	__VA_ARGS__                                                                     \
	_Pragma("clang diagnostic pop")
#endif
#endif
#endif

/* Outside the guard: if an older libbpf_common.h of libbpf was included first, it lacks this macro. */
#ifndef LIBBPF_OPTS_RESET
/* LIBBPF_OPTS_RESET(NAME, .member = value, ...) sets NAME again; the values may refer to its old members. */
#define LIBBPF_OPTS_RESET(NAME, ...)                                                    \
	do {                                                                            \
		__typeof__(NAME) NAME##_new = (memset(&NAME##_new, 0, sizeof(NAME)), __SYSBPF_LEFT_OUT_IS_ZERO( \
			(__typeof__(NAME)){ .sz = sizeof(NAME), __VA_ARGS__ }));        \
		memcpy(&NAME, &NAME##_new, sizeof(NAME));                               \
	} while (0)
#endif
