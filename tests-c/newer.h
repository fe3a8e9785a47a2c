/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Constants of the kernel that are newer than the oldest kernel headers which
 * these tests support (6.1). They are macros, because those do not conflict with
 * the enumerators of newer headers.
 */
#ifndef NEWER_H
#define NEWER_H

#define BPF_STRUCT_OPS 44
#define BPF_NETFILTER 45
#define BPF_TCX_INGRESS 46
#define BPF_TCX_EGRESS 47
#define BPF_TRACE_UPROBE_MULTI 48
#define BPF_CGROUP_UNIX_CONNECT 49
#define BPF_CGROUP_UNIX_SENDMSG 50
#define BPF_CGROUP_UNIX_RECVMSG 51
#define BPF_CGROUP_UNIX_GETPEERNAME 52
#define BPF_CGROUP_UNIX_GETSOCKNAME 53
#define BPF_NETKIT_PRIMARY 54
#define BPF_NETKIT_PEER 55
#define BPF_TRACE_KPROBE_SESSION 56
#define BPF_TRACE_UPROBE_SESSION 57
#define BPF_TRACE_FSESSION 58
#define BPF_TRACE_FENTRY_MULTI 59
#define BPF_TRACE_FEXIT_MULTI 60
#define BPF_TRACE_FSESSION_MULTI 61

#define BPF_PROG_TYPE_NETFILTER 32

#define BPF_TOKEN_CREATE 36
#define BPF_PROG_STREAM_READ_BY_FD 37
#define BPF_PROG_ASSOC_STRUCT_OPS 38
#define BPF_COMMON_ATTRS (1U << 16)

#ifndef BPF_F_BEFORE
#define BPF_F_BEFORE (1U << 3)
#define BPF_F_AFTER (1U << 4)
#define BPF_F_ID (1U << 5)
#endif
#ifndef BPF_F_LINK /* newer headers have both the enumerator and a macro */
#define BPF_F_LINK (1U << 13)
#endif
#define BPF_F_PATH_FD (1U << 14)
#define BPF_F_TOKEN_FD (1U << 16)

#define BPF_STREAM_STDOUT 1
#define BPF_STREAM_STDERR 2

#define BTF_KIND_DECL_TAG 17
#define BTF_KIND_TYPE_TAG 18
#define BTF_KIND_ENUM64 19

#endif
