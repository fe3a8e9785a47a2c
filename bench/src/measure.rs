// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds and their statistics. A round measures each subject once, starting with a different one each time. A disturbance
//! longer than a round affects all subjects equally; ratios are taken within rounds.

/// The median of the rounds, and the quartiles.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

pub fn spread(mut values: Vec<f64>) -> Spread {
    assert!(!values.is_empty(), "a measurement has at least one round");
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Spread { median: at(0.5), low: at(0.25), high: at(0.75) }
}

/// The samples of each subject, by round.
pub struct Rounds(pub Vec<Vec<f64>>);

/// Runs the rounds; the first two are not counted.
pub fn rounds<S>(
    count: usize,
    subjects: &mut [S],
    mut measure: impl FnMut(&mut S) -> Result<f64, String>,
) -> Result<Rounds, String> {
    let mut taken = vec![Vec::with_capacity(count); subjects.len()];
    for round in 0..count + 2 {
        for turn in 0..subjects.len() {
            let i = (round + turn) % subjects.len();
            let value = measure(&mut subjects[i])?;
            if round >= 2 {
                taken[i].push(value);
            }
        }
    }
    Ok(Rounds(taken))
}

impl Rounds {
    pub fn spread(&self, subject: usize) -> Spread {
        spread(self.0[subject].clone())
    }

    /// The ratio of one subject to another, within each round.
    pub fn ratio(&self, subject: usize, over: usize) -> Spread {
        spread(self.0[subject].iter().zip(&self.0[over]).map(|(a, b)| a / b).collect())
    }
}

/// Pins the calling thread, and the processes that it starts, to one CPU.
pub fn pin(cpu: usize) -> Result<(), String> {
    // SAFETY: zeros are an empty set, and the CPU number is checked by CPU_SET.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if done == 0 { Ok(()) } else { Err(format!("cannot pin to CPU {cpu}: {}", std::io::Error::last_os_error())) }
}

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    // SAFETY: the call fills the set.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: the number is within the bounds of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}
