# SPDX-License-Identifier: MIT OR Apache-2.0
"""A typical bcc script: counts this process's getppid calls in a hash map."""

import os

from bcc import BPF

PROGRAM = """
BPF_HASH(calls, u32, u64);
BPF_ARRAY(total, u64, 1);

TRACEPOINT_PROBE(syscalls, sys_enter_getppid)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    int zero = 0;

    if (pid == OUR_PID) {
        u64 *sum = total.lookup(&zero);
        calls.increment(pid % 1);
        if (sum)
            *sum += 1;
    }
    return 0;
}
"""

bpf = BPF(text=PROGRAM.replace("OUR_PID", str(os.getpid())))
for _ in range(5):
    os.getppid()
for key, count in bpf["calls"].items():
    print(f"calls[{key.value}] = {count.value}")
print(f"total = {bpf['total'][0].value}")
bpf["calls"].clear()
print(f"{len(list(bpf['calls'].keys()))} left after clearing")
