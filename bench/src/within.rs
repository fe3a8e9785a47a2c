// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures calls in this process: steady calls, batches, loads, threads.

use std::{ffi::c_int, hint::black_box, sync::Barrier, thread, time::Instant};

use crate::{
    calls::{ARRAY, Bare, Calls, Function, HASH, Library, new_map},
    measure::{Rounds, pin, rounds},
};

/// Calls per sample of a steady operation, which take about a tenth of a millisecond.
const CALLS: u32 = 400;
/// More elements than one sample deletes.
const ENTRIES: u32 = 1024;

pub const STEADY: [&str; 4] = ["lookup", "update", "delete", "next key"];
pub const BATCHES: [u32; 3] = [1, 100, 10_000];
pub const LOADS: [usize; 3] = [2, 4096, 1_000_000];

/// Takes one sample: nanoseconds per call.
type Sampler = Box<dyn FnMut() -> Result<f64, String>>;

/// The bare call, the bare call in a function, then each library.
pub struct Within<'a> {
    pub libraries: &'a [Library],
    /// The CPUs for threads.
    pub cpus: &'a [usize],
}

/// Times `count` calls, which must all succeed.
#[inline(always)]
fn timed(count: u32, mut call: impl FnMut(u32) -> c_int) -> Result<f64, String> {
    let mut worst = 0;
    let start = Instant::now();
    for i in 0..count {
        worst = worst.min(call(i));
    }
    let took = start.elapsed();
    if worst < 0 {
        return Err(format!("a call failed: {}", std::io::Error::from_raw_os_error(-worst)));
    }
    Ok(took.as_nanos() as f64 / f64::from(count))
}

fn steady<C: Calls>(calls: C, operation: &'static str, fd: c_int) -> Sampler {
    Box::new(move || {
        let mut value = 7u64;
        match operation {
            "lookup" => timed(CALLS, |i| calls.lookup(fd, black_box(&i), &mut value)),
            "update" => timed(CALLS, |i| calls.update(fd, black_box(&i), &value)),
            "delete" => {
                let took = timed(CALLS, |i| calls.delete(fd, black_box(&i)));
                timed(CALLS, |i| Bare.update(fd, &i, &value))?;
                took
            }
            _ => {
                // For a key that does not exist the kernel returns the first one. For the last key it would fail.
                let mut next = 0;
                timed(CALLS, |i| calls.next_key(fd, black_box(&(i + ENTRIES)), &mut next))
            }
        }
    })
}

fn batch<C: Calls>(calls: C, size: u32, fd: c_int) -> Sampler {
    let (mut keys, mut values) = (vec![0u32; size as usize], vec![0u64; size as usize]);
    let count = if size > 1000 { 1 } else { 100 };
    Box::new(move || timed(count, |_| calls.lookup_batch(fd, keys.as_mut_ptr(), values.as_mut_ptr(), size)))
}

fn load<C: Calls>(calls: C, size: usize) -> Sampler {
    const MOV_R0_0: u64 = u64::from_ne_bytes([0xb7, 0, 0, 0, 0, 0, 0, 0]);
    const EXIT: u64 = u64::from_ne_bytes([0x95, 0, 0, 0, 0, 0, 0, 0]);
    let mut insns = vec![MOV_R0_0; size];
    insns[size - 1] = EXIT;
    Box::new(move || {
        let start = Instant::now();
        let fd = calls.load(&insns);
        let took = start.elapsed();
        if fd < 0 {
            return Err(format!("cannot load a program: {}", std::io::Error::from_raw_os_error(-fd)));
        }
        // SAFETY: the descriptor was just opened, and nothing else uses it.
        unsafe { libc::close(fd) };
        Ok(took.as_nanos() as f64)
    })
}

impl Within<'_> {
    fn samplers(&self, bare: Sampler, function: Sampler, library: impl Fn(Library) -> Sampler) -> Vec<Sampler> {
        [bare, function].into_iter().chain(self.libraries.iter().map(|&l| library(l))).collect()
    }

    pub fn steady(&self, operation: &'static str, count: usize) -> Result<Rounds, String> {
        let fd = new_map(HASH, ENTRIES)?;
        timed(ENTRIES, |i| Bare.update(fd, &i, &0))?;
        let mut samplers =
            self.samplers(steady(Bare, operation, fd), steady(Function, operation, fd), |l| steady(l, operation, fd));
        let result = rounds(count, &mut samplers, |sample| sample());
        // SAFETY: the descriptor was opened above.
        unsafe { libc::close(fd) };
        result
    }

    pub fn batch(&self, size: u32, count: usize) -> Result<Rounds, String> {
        // One more element, so that the batch does not reach the end of the map.
        let fd = new_map(ARRAY, size + 1)?;
        let mut samplers = self.samplers(batch(Bare, size, fd), batch(Function, size, fd), |l| batch(l, size, fd));
        let result = rounds(count, &mut samplers, |sample| sample());
        // SAFETY: the descriptor was opened above.
        unsafe { libc::close(fd) };
        result
    }

    pub fn load(&self, size: usize, count: usize) -> Result<Rounds, String> {
        let mut samplers = self.samplers(load(Bare, size), load(Function, size), |l| load(l, size));
        rounds(count, &mut samplers, |sample| sample())
    }

    /// Lookups by several threads at the same time, each pinned to a CPU, on one map or on a map of their own. The result is
    /// the time per call in each thread.
    pub fn threads(&self, threads: usize, one_map: bool, count: usize) -> Result<Rounds, String> {
        let fds: Vec<c_int> =
            (0..if one_map { 1 } else { threads }).map(|_| new_map(HASH, ENTRIES)).collect::<Result<_, _>>()?;
        for &fd in &fds {
            timed(ENTRIES, |i| Bare.update(fd, &i, &0))?;
        }
        let cpus: Vec<usize> = (0..threads).map(|thread| self.cpus[thread % self.cpus.len()]).collect();
        let mut samplers = self.samplers(
            threaded(Bare, cpus.clone(), fds.clone()),
            threaded(Function, cpus.clone(), fds.clone()),
            |l| threaded(l, cpus.clone(), fds.clone()),
        );
        let result = rounds(count, &mut samplers, |sample| sample());
        for fd in fds {
            // SAFETY: the descriptor was opened above.
            unsafe { libc::close(fd) };
        }
        result
    }
}

/// A thread for each of these CPUs, which may be the same.
fn threaded<C: Calls>(calls: C, cpus: Vec<usize>, fds: Vec<c_int>) -> Sampler {
    const EACH: u32 = 20_000;
    Box::new(move || {
        let threads = cpus.len();
        let barrier = Barrier::new(threads);
        let run = |thread: usize| {
            let fd = fds[thread % fds.len()];
            let pinned = pin(cpus[thread]);
            barrier.wait();
            pinned?;
            let mut value = 0u64;
            timed(EACH, |i| calls.lookup(fd, black_box(&(i % ENTRIES)), &mut value))
        };
        let took: Vec<f64> = thread::scope(|scope| {
            let started: Vec<_> = (0..threads)
                .map(|t| {
                    scope.spawn({
                        let run = &run;
                        move || run(t)
                    })
                })
                .collect();
            started.into_iter().map(|t| t.join().expect("a thread does not panic")).collect::<Result<_, String>>()
        })?;
        Ok(took.iter().sum::<f64>() / threads as f64)
    })
}
