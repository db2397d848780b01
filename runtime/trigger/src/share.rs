//! Width shared out: a trigger's over its partitions, the cores over the triggers. Pure arithmetic.
use crate::spec::Ordering;

/// A partition that wants some of its trigger's width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Records between progress and the end.
    pub backlog: u64,
    /// Attempts in flight.
    pub busy: usize,
    /// Held, or its circuit is open: it needs one for a probe, and more would not help.
    pub is_blocked: bool,
}

/// A trigger that wants some of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    pub wanted: usize,
    /// It has so many in any case.
    pub min: usize,
    /// CPU time of its attempts by their wall time, 0 to 1.
    pub cpu_share: f64,
    /// Twice the weight, twice the share.
    pub weight: f64,
}

/// Shares a trigger's width out over its partitions: one each, so that no record waits for a decision,
/// and under `ordering: key` what is left beyond one for each that has work, by backlog. `ordering:
/// partition` has use for one, and so has a blocked partition, for its probe.
///
/// Where there are more partitions than width the sum is above it. The driver's permits hold the sum, and
/// let through whoever came first.
#[must_use]
pub fn apportion(width: usize, ordering: Ordering, needs: &[Need]) -> Vec<usize> {
    let mut shares = vec![usize::from(width > 0); needs.len()];
    let has_work = |need: &Need| !need.is_blocked && (need.backlog > 0 || need.busy > 0);
    let workers: Vec<usize> =
        needs.iter().enumerate().filter(|(_, need)| has_work(need)).map(|(at, _)| at).collect();
    if ordering == Ordering::Key && width > workers.len() {
        share_rest(width - workers.len(), needs, &workers, &mut shares);
    }
    shares
}

/// By backlog, no partition more than it has records; the largest remainders round up.
fn share_rest(left: usize, needs: &[Need], workers: &[usize], shares: &mut [usize]) {
    let total: u128 = workers.iter().map(|at| u128::from(needs[*at].backlog.max(1))).sum();
    let mut remainders = Vec::new();
    let mut rest = left;
    for at in workers {
        let backlog = u128::from(needs[*at].backlog.max(1));
        let exact = left as u128 * backlog;
        let whole = usize::try_from(exact / total).unwrap_or(left).min(rest);
        shares[*at] += whole;
        rest -= whole;
        remainders.push((std::cmp::Reverse(exact % total), *at));
    }
    remainders.sort_unstable();
    for (_, at) in remainders.into_iter().take(rest) {
        shares[at] += 1;
    }
}

/// Shares the cores out over triggers: all get what they want while it fits; else the CPU-bound ones
/// share by weight, and none gets less than another for wanting less. An I/O-bound trigger may go far
/// beyond the cores. Whoever wants any has at least one.
#[must_use]
pub fn fair_share(cores: f64, claims: &[Claim]) -> Vec<usize> {
    let cpu = |claim: &Claim| clean(claim.cpu_share).min(1.0);
    let demand = |claim: &Claim| claim.wanted as f64 * cpu(claim);
    let weight = |claim: &Claim| clean(claim.weight).max(1e-6);
    let mut order: Vec<usize> = (0..claims.len()).collect();
    // Who is served first is who needs the smallest part of its share.
    order.sort_by(|one, other| {
        let part = |at: usize| demand(&claims[at]) / weight(&claims[at]);
        part(*one).total_cmp(&part(*other))
    });
    let mut left = clean(cores);
    let mut weights: f64 = claims.iter().map(weight).sum();
    let mut widths = vec![0; claims.len()];
    for at in order {
        let claim = &claims[at];
        let fair = left * weight(claim) / weights;
        let granted = demand(claim).min(fair);
        weights -= weight(claim);
        left = (left - granted).max(0.0);
        let width = if demand(claim) <= fair {
            claim.wanted
        } else {
            cpu_bound(granted, cpu(claim)).min(claim.wanted)
        };
        widths[at] = width.max(claim.min.min(claim.wanted)).max(usize::from(claim.wanted > 0));
    }
    widths
}

/// How many attempts of such work keep so many cores busy: at least one, and rather one too many, as the
/// sandbox shares the cores out fairly and nobody can use what a sleeping one leaves.
pub(crate) fn cpu_bound(cores: f64, cpu_share: f64) -> usize {
    let cpu_share = clean(cpu_share).min(1.0);
    let most = clean(cores) / cpu_share.max(1e-6);
    (most - 1e-9).ceil().clamp(1.0, 1e9) as usize
}

fn clean(number: f64) -> f64 {
    if number.is_finite() { number.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need(backlog: u64) -> Need {
        Need { backlog, busy: 0, is_blocked: false }
    }

    fn needs() -> impl Strategy<Value = Vec<Need>> {
        let need = (0_u64..5_000, 0_usize..4, any::<bool>());
        let need = need.prop_map(|(backlog, busy, is_blocked)| Need {
            backlog: backlog.saturating_sub(2_500),
            busy: busy.saturating_sub(2),
            is_blocked: is_blocked && backlog % 3 == 0,
        });
        prop::collection::vec(need, 0..20)
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let claim = (0_usize..64, 0_usize..3, 0.0..=1.0_f64, 1_u8..5);
        let claim = claim.prop_map(|(wanted, min, cpu_share, weight)| Claim {
            wanted,
            min,
            cpu_share,
            weight: f64::from(weight),
        });
        prop::collection::vec(claim, 0..12)
    }

    #[test]
    fn each_has_one_however_narrow_the_trigger_is() {
        let needs = [need(5), need(0), need(5)];
        assert_eq!(apportion(1, Ordering::Key, &needs), [1, 1, 1]);
        assert_eq!(apportion(4, Ordering::Key, &needs), [2, 1, 2]);
        assert_eq!(apportion(4, Ordering::Partition, &needs), [1, 1, 1]);
        assert_eq!(apportion(0, Ordering::Partition, &needs), [0, 0, 0]);
    }

    #[test]
    fn the_rest_goes_by_backlog() {
        let needs = [need(100), need(300)];
        assert_eq!(apportion(10, Ordering::Key, &needs), [3, 7]);
        assert_eq!(apportion(10, Ordering::Partition, &needs), [1, 1]);
    }

    #[test]
    fn a_blocked_partition_keeps_its_probe_and_no_more() {
        let blocked = Need { is_blocked: true, ..need(1_000) };
        assert_eq!(apportion(3, Ordering::Key, &[blocked, need(10)]), [1, 3]);
        assert_eq!(apportion(0, Ordering::Key, &[blocked, need(10)]), [0, 0]);
    }

    #[test]
    fn cores_are_shared_by_weight_and_waiting_costs_none() {
        let claim = |wanted, cpu_share, weight| Claim { wanted, min: 0, cpu_share, weight };
        let widths =
            fair_share(4.0, &[claim(8, 1.0, 1.0), claim(8, 1.0, 3.0), claim(500, 0.0, 1.0)]);
        assert_eq!(widths, [1, 3, 500]);
        let widths = fair_share(4.0, &[claim(1, 1.0, 1.0), claim(8, 1.0, 1.0)]);
        assert_eq!(widths, [1, 3], "what one does not want the other has");
        assert_eq!(fair_share(2.0, &[claim(3, 0.5, 1.0), claim(1, 0.5, 1.0)]), [3, 1]);
        assert_eq!(fair_share(0.0, &[claim(3, 1.0, 1.0), claim(0, 1.0, 1.0)]), [1, 0]);
    }

    proptest! {
        #[test]
        fn a_width_is_never_shared_out_twice(width in 0_usize..64, needs in needs(), key: bool) {
            let ordering = if key { Ordering::Key } else { Ordering::Partition };
            let shares = apportion(width, ordering, &needs);
            let works = |need: &Need| !need.is_blocked && (need.backlog > 0 || need.busy > 0);
            let pairs = || shares.iter().zip(&needs);
            let used: usize = pairs().filter(|(_, need)| works(need)).map(|(share, _)| share).sum();
            let workers = needs.iter().filter(|need| works(need)).count();
            // What is beyond one each is there once, and none of it lies idle that could work.
            let beyond = width > workers && key && workers > 0;
            prop_assert_eq!(used, if beyond { width } else { workers * usize::from(width > 0) });
            for (share, need) in pairs() {
                prop_assert!((*share > 0) == (width > 0));
                prop_assert!(key || *share <= 1);
                prop_assert!(works(need) || *share <= 1);
            }
            prop_assert_eq!(&shares, &apportion(width, ordering, &needs));
        }

        #[test]
        fn cores_are_never_shared_out_twice(cores in 1.0..32.0_f64, claims in claims()) {
            let widths = fair_share(cores, &claims);
            let pairs = || widths.iter().zip(&claims);
            let cpu = |width: usize, claim: &Claim| width as f64 * claim.cpu_share;
            let least: f64 = claims
                .iter()
                .map(|claim| cpu(claim.min.max(1).min(claim.wanted), claim))
                .sum();
            let used: f64 = pairs().map(|(width, claim)| cpu(*width, claim)).sum();
            // One too many each, where what it has of the cores is no whole number.
            let rounding: f64 = claims.iter().map(|claim| claim.cpu_share).sum();
            prop_assert!(used <= cores + least + rounding + 1e-6);
            let wanted: f64 = claims.iter().map(|claim| cpu(claim.wanted, claim)).sum();
            let fits = wanted <= cores;
            for (width, claim) in pairs() {
                prop_assert!(*width <= claim.wanted);
                prop_assert!(*width >= claim.min.min(claim.wanted));
                prop_assert!(claim.wanted == 0 || *width > 0);
                prop_assert!(!fits || *width == claim.wanted);
            }
            // Who is cut short has no less than anybody else, by weight, but for rounding.
            for (width, claim) in pairs().filter(|(width, claim)| **width < claim.wanted) {
                let has = (cpu(*width, claim) + claim.cpu_share) / claim.weight;
                for (other, it) in pairs().filter(|(other, it)| **other > it.min.max(1)) {
                    prop_assert!(cpu(*other - 1, it) / it.weight <= has + 1e-6);
                }
            }
        }
    }
}
