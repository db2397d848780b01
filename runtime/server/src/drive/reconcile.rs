//! What must be started, told or ended so that what runs is what is wanted. Pure: looks at two maps.
use log_contract::{CursorName, TopicId, TriggerName};
use std::collections::BTreeMap;

/// What a running trigger cannot change: another one is another membership.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) source: TopicId,
    pub(super) cursor: CursorName,
}

/// Two that are equal want the same of a trigger's feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) identity: Identity,
    pub(super) fingerprint: Fingerprint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) identity: Identity,
    pub(super) fingerprint: Fingerprint,
    /// It was told to end and still has something out.
    pub(super) is_ending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start(TriggerName),
    /// Its feeds go by other orders from now on.
    Tell(TriggerName),
    End(TriggerName),
}

/// Stable: once the actions are done, there are none. A trigger is started only when nothing of its
/// name and nothing with its cursor runs any more.
pub(super) fn reconcile(
    desired: &BTreeMap<TriggerName, Desired>,
    running: &BTreeMap<TriggerName, Running>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (name, now) in running {
        let wanted = desired.get(name).filter(|wanted| wanted.identity == now.identity);
        match wanted {
            _ if now.is_ending => (),
            None => actions.push(Action::End(name.clone())),
            Some(wanted) if wanted.fingerprint != now.fingerprint => {
                actions.push(Action::Tell(name.clone()));
            }
            Some(_) => (),
        }
    }
    let missing: Vec<_> = desired.iter().filter(|(name, _)| !running.contains_key(*name)).collect();
    if missing.is_empty() {
        return actions;
    }
    let taken: std::collections::BTreeSet<_> =
        running.values().map(|now| &now.identity.cursor).collect();
    let free = missing.into_iter().filter(|(_, wanted)| !taken.contains(&wanted.identity.cursor));
    actions.extend(free.map(|(name, _)| Action::Start(name.clone())));
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> TriggerName {
        TriggerName::parse(&format!("t{n}")).expect("a name")
    }

    /// Applies actions as the supervisor does.
    fn apply(
        desired: &BTreeMap<TriggerName, Desired>,
        running: &mut BTreeMap<TriggerName, Running>,
        actions: Vec<Action>,
    ) {
        for action in actions {
            match action {
                Action::Start(name) => {
                    let Desired { identity, fingerprint } = desired[&name].clone();
                    let started = Running { identity, fingerprint, is_ending: false };
                    let before = running.insert(name, started);
                    assert!(before.is_none(), "nothing of the name runs when it starts");
                }
                Action::Tell(name) => {
                    let now = running.get_mut(&name).expect("who is told runs");
                    assert_eq!(now.identity, desired[&name].identity);
                    now.fingerprint = desired[&name].fingerprint;
                }
                Action::End(name) => {
                    running.get_mut(&name).expect("who is ended runs").is_ending = true;
                }
            }
        }
    }

    #[test]
    fn what_runs_comes_to_be_what_is_wanted_and_stays_so() {
        let mut seed = 11_u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        let mut running = BTreeMap::new();
        for _ in 0..3_000 {
            // Cursors are one per trigger, as the catalogue sees to; here trigger n has n or n + 10.
            let mut desired = BTreeMap::new();
            for n in (0..6).filter(|_| below(3) > 0).collect::<Vec<_>>() {
                let cursor = format!("c{}", n + 10 * below(2));
                let cursor = CursorName::parse(&cursor).expect("a name");
                let identity = Identity { source: TopicId(below(2)), cursor };
                let fingerprint = Fingerprint(below(3));
                desired.insert(name(n), Desired { identity, fingerprint });
            }
            let actions = reconcile(&desired, &running);
            apply(&desired, &mut running, actions);
            assert_eq!(reconcile(&desired, &running), [], "asked twice, it answers once");
            let cursors: std::collections::BTreeSet<_> =
                running.values().map(|now| now.identity.cursor.clone()).collect();
            assert_eq!(cursors.len(), running.len(), "no cursor runs twice");
            if below(2) == 0 {
                running.retain(|_, now| !now.is_ending);
                let actions = reconcile(&desired, &running);
                apply(&desired, &mut running, actions);
                assert_eq!(running.len(), desired.len());
                for (name, wanted) in &desired {
                    let now = &running[name];
                    assert!(!now.is_ending && now.identity == wanted.identity);
                    assert_eq!(now.fingerprint, wanted.fingerprint);
                }
            }
        }
    }
}
