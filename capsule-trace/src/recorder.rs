//! Capsule's own processes, as what the recorded program may lay hands on.
//!
//! Signals between other processes are everyday and are not recorded. One that reaches a recorder is an attack on the record.

use capsule_core::Pid;

/// Whether a call's argument names one of `recorders`, or their process group (`kill(2)`), or everybody.
pub(crate) fn is_named(argument: u64, recorders: &[Pid]) -> bool {
    // The kernel takes the lower half.
    let named = (argument & 0xffff_ffff) as u32;
    names(recorders).any(|name| name == named)
}

/// Every number by which a call names one of `recorders`: its pid, its process group, everybody.
pub(crate) fn names(recorders: &[Pid]) -> impl Iterator<Item = u32> {
    let everybody = (!recorders.is_empty()).then_some(u32::MAX);
    recorders.iter().flat_map(|recorder| [recorder.0, recorder.0.wrapping_neg()]).chain(everybody)
}

/// Whether a signal is sent to one of `recorders`; signal 0 only asks whether it is there.
pub(crate) fn is_sent(process: u64, signal: u64, recorders: &[Pid]) -> bool {
    signal & 0xffff_ffff != 0 && is_named(process, recorders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_a_recorder_its_group_or_everybody_is_sent_to_it() {
        let recorders = [Pid(100), Pid(101)];
        for process in [100_u64, 101, (-100_i64) as u64, (-100_i32) as u32 as u64, u64::MAX] {
            assert!(is_sent(process, 9, &recorders), "{process}");
        }
        for (process, signal) in [(100, 0), (102, 9), (0, 15), ((-102_i64) as u64, 9)] {
            assert!(!is_sent(process, signal, &recorders), "{process} {signal}");
        }
        assert!(!is_sent(u64::MAX, 9, &[]));
    }
}
