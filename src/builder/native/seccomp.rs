//! The system call filter of a step, as a classic BPF program.
//!
//! The program decides on the architecture, then on the call's number by binary search over ranges (about seven
//! comparisons), then for few calls on their first argument. A refused call gets EPERM; one that this list is too old
//! to know gets ENOSYS, as does `clone3`, so that C libraries fall back to what they did before. seccompiler, which has
//! one default action per filter, neither hands calls over to a supervisor nor lets 32-bit programs run.

use std::collections::BTreeMap;

use libc::sock_filter;

use super::seccomp_lists as lists;

/// How the owner calls (`chown` and its family) and the identity calls (`setuid` …) are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identities {
    /// By the kernel.
    Real,
    /// Owner calls go to the supervisor, identity calls succeed without effect.
    Supervised,
    /// All succeed without effect.
    Pretended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Refuse(i32),
    Supervise,
    /// Refuse new namespaces.
    Clone,
    /// Allow if the first argument lies in one of the ranges.
    FirstArgument(&'static [(u32, u32)]),
}

/// All namespace flags of clone(2).
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;

const ARCH_X86_64: u32 = 0xc000_003e;
pub(super) const ARCH_I386: u32 = 0x4000_0003;
#[cfg(target_arch = "x86_64")]
const ARCH_HERE: u32 = ARCH_X86_64;
#[cfg(target_arch = "aarch64")]
const ARCH_HERE: u32 = 0xc000_00b7;

/// Offsets in the kernel's struct seccomp_data.
const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
#[cfg(target_endian = "little")]
const FIRST_ARGUMENT_OFFSET: u32 = 16;

/// The bit that marks calls of the x32 architecture on x86-64.
const X32_BIT: u32 = 0x4000_0000;

/// The filter for a step.
pub(super) fn program(identities: Identities) -> Vec<sock_filter> {
    let mut native = table(identities);
    if ARCH_HERE == ARCH_X86_64 {
        native.push((X32_BIT, Action::Refuse(libc::ENOSYS)));
    }
    let native = search(&native);
    let mut program = vec![load(ARCH_OFFSET)];
    // An unconditional jump reaches any distance; conditional ones only 255 instructions.
    program.extend([jump_if(libc::BPF_JEQ, ARCH_HERE, 0, 1), jump(1), jump(1 + native.len())]);
    program.push(load(NUMBER_OFFSET));
    program.extend(native);
    program.extend(foreign(identities));
    program
}

/// For a program of another architecture than the engine's.
#[cfg(target_arch = "x86_64")]
fn foreign(identities: Identities) -> Vec<sock_filter> {
    let compat = search(&compat_table(identities));
    let mut program = vec![jump_if(libc::BPF_JEQ, ARCH_I386, 1, 0), give(Action::Refuse(libc::ENOSYS))];
    program.push(load(NUMBER_OFFSET));
    program.extend(compat);
    program
}

#[cfg(not(target_arch = "x86_64"))]
fn foreign(_identities: Identities) -> Vec<sock_filter> {
    vec![give(Action::Refuse(libc::ENOSYS))]
}

/// What to do from which call number on.
type Table = Vec<(u32, Action)>;

fn table(identities: Identities) -> Table {
    let mut actions: BTreeMap<u32, Action> = BTreeMap::new();
    for list in [lists::ALLOWED, lists::ALLOWED_NEW, lists::ALLOWED_HERE] {
        actions.extend(list.iter().map(|&number| (number as u32, Action::Allow)));
    }
    actions.insert(libc::SYS_clone as u32, Action::Clone);
    actions.insert(libc::SYS_clone3 as u32, Action::Refuse(libc::ENOSYS));
    actions.insert(libc::SYS_socket as u32, Action::FirstArgument(lists::SOCKET_FAMILIES));
    actions.insert(libc::SYS_personality as u32, Action::FirstArgument(lists::PERSONALITIES));
    let as_number = |numbers: &[libc::c_long]| numbers.iter().map(|&number| number as u32).collect::<Vec<_>>();
    emulate(&mut actions, identities, &as_number(lists::OWNER_CALLS), &as_number(lists::IDENTITY_CALLS));
    let last = actions.keys().next_back().copied().unwrap_or_default();
    ranges(&actions, Action::Refuse(libc::EPERM), last)
}

#[cfg(target_arch = "x86_64")]
fn compat_table(identities: Identities) -> Table {
    let mut actions: BTreeMap<u32, Action> =
        lists::i386::REFUSED.iter().map(|&number| (number, Action::Refuse(libc::EPERM))).collect();
    actions.insert(lists::i386::CLONE, Action::Clone);
    actions.insert(lists::i386::CLONE3, Action::Refuse(libc::ENOSYS));
    actions.insert(lists::i386::SOCKET, Action::FirstArgument(lists::SOCKET_FAMILIES));
    actions.insert(lists::i386::PERSONALITY, Action::FirstArgument(lists::PERSONALITIES));
    emulate(&mut actions, identities, lists::i386::OWNER_CALLS, lists::i386::IDENTITY_CALLS);
    ranges(&actions, Action::Allow, lists::i386::LAST)
}

fn emulate(actions: &mut BTreeMap<u32, Action>, identities: Identities, owner: &[u32], identity: &[u32]) {
    let pretend = Action::Refuse(0);
    let owner_action = match identities {
        Identities::Real => return,
        Identities::Supervised => Action::Supervise,
        Identities::Pretended => pretend,
    };
    actions.extend(owner.iter().map(|&number| (number, owner_action)));
    actions.extend(identity.iter().map(|&number| (number, pretend)));
}

/// Fills the gaps up to `last` with `other`, and what follows with ENOSYS; merges neighbours.
fn ranges(actions: &BTreeMap<u32, Action>, other: Action, last: u32) -> Table {
    let mut table: Table = Vec::new();
    for number in 0..=last {
        let action = actions.get(&number).copied().unwrap_or(other);
        if table.last().map(|(_, before)| *before) != Some(action) {
            table.push((number, action));
        }
    }
    table.push((last + 1, Action::Refuse(libc::ENOSYS)));
    table
}

/// Code that finds the accumulator's range and acts on it.
fn search(table: &[(u32, Action)]) -> Vec<sock_filter> {
    match table {
        [] => Vec::new(),
        [(_, action)] => act(*action),
        _ => {
            let (low, high) = table.split_at(table.len() / 2);
            let below = search(low);
            let mut code = vec![jump_if(libc::BPF_JGE, high[0].0, 0, 1), jump(below.len())];
            code.extend(below);
            code.extend(search(high));
            code
        }
    }
}

fn act(action: Action) -> Vec<sock_filter> {
    match action {
        Action::Clone => vec![
            load(FIRST_ARGUMENT_OFFSET),
            jump_if(libc::BPF_JSET, NAMESPACE_FLAGS, 0, 1),
            give(Action::Refuse(libc::EPERM)),
            give(Action::Allow),
        ],
        Action::FirstArgument(allowed) => {
            let mut code = vec![load(FIRST_ARGUMENT_OFFSET)];
            code.extend(search(&argument_table(allowed)));
            code
        }
        simple => vec![give(simple)],
    }
}

fn argument_table(allowed: &[(u32, u32)]) -> Table {
    let refuse = Action::Refuse(libc::EPERM);
    let mut table = Table::new();
    if allowed.first().is_none_or(|(first, _)| *first > 0) {
        table.push((0, refuse));
    }
    for (first, last) in allowed {
        table.push((*first, Action::Allow));
        if let Some(next) = last.checked_add(1) {
            table.push((next, refuse));
        }
    }
    table
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn jump_if(condition: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    instruction(libc::BPF_JMP | condition | libc::BPF_K, then, otherwise, value)
}

/// Skips `count` instructions when the condition before it did not hold.
fn jump(count: usize) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, count as u32)
}

fn give(action: Action) -> sock_filter {
    let value = match action {
        Action::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Action::Supervise => libc::SECCOMP_RET_USER_NOTIF,
        _ => libc::SECCOMP_RET_ALLOW,
    };
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn run(program: &[sock_filter], arch: u32, number: u32, argument: u32) -> u32 {
        const JUMP: u32 = libc::BPF_JMP | libc::BPF_K;
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let instruction = program[at];
            let (code, value) = (u32::from(instruction.code), instruction.k);
            at += 1;
            let mut branch = |holds| at += usize::from(if holds { instruction.jt } else { instruction.jf });
            match code {
                _ if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    accumulator = match value {
                        NUMBER_OFFSET => number,
                        ARCH_OFFSET => arch,
                        FIRST_ARGUMENT_OFFSET => argument,
                        _ => panic!("offset {value}"),
                    }
                }
                _ if code == JUMP | libc::BPF_JEQ => branch(accumulator == value),
                _ if code == JUMP | libc::BPF_JGE => branch(accumulator >= value),
                _ if code == JUMP | libc::BPF_JSET => branch(accumulator & value != 0),
                _ if code == libc::BPF_JMP | libc::BPF_JA => at += value as usize,
                _ if code == libc::BPF_RET | libc::BPF_K => return value,
                _ => panic!("code {code}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn errno(number: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | number as u32
    }

    fn native(identities: Identities, number: libc::c_long, argument: u32) -> u32 {
        run(&program(identities), ARCH_HERE, number as u32, argument)
    }

    #[test]
    fn every_listed_call_is_allowed_and_nothing_else() {
        let program = program(Identities::Real);
        let listed: Vec<u32> = [lists::ALLOWED, lists::ALLOWED_NEW, lists::ALLOWED_HERE]
            .concat()
            .into_iter()
            .map(|number| number as u32)
            .collect();
        let special = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_socket, libc::SYS_personality];
        for number in 0..600 {
            if special.contains(&number.into()) {
                continue;
            }
            let expected = match number {
                _ if listed.contains(&number) => ALLOW,
                467.. => errno(libc::ENOSYS),
                _ => errno(libc::EPERM),
            };
            assert_eq!(run(&program, ARCH_HERE, number, 0), expected, "call {number}");
        }
    }

    #[test]
    fn what_a_container_must_not_have_is_refused() {
        for number in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_keyctl,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_pivot_root,
            libc::SYS_fsopen,
            libc::SYS_move_mount,
            libc::SYS_pidfd_getfd,
        ] {
            assert_eq!(native(Identities::Real, number, 0), errno(libc::EPERM), "call {number}");
        }
        assert_eq!(native(Identities::Real, libc::SYS_clone3, 0), errno(libc::ENOSYS));
        assert_eq!(native(Identities::Real, 999_999, 0), errno(libc::ENOSYS));
    }

    #[test]
    fn arguments_decide() {
        let real = |number, argument| native(Identities::Real, number, argument);
        assert_eq!(real(libc::SYS_clone, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(real(libc::SYS_clone, (libc::CLONE_NEWUSER | libc::SIGCHLD) as u32), errno(libc::EPERM));
        for (family, allowed) in [
            (1, true),
            (2, true),
            (10, true),
            (16, true),
            (17, true),
            (12, false),
            (38, false),
            (40, false),
            (46, false),
        ] {
            assert_eq!(real(libc::SYS_socket, family) == ALLOW, allowed, "family {family}");
        }
        for (domain, allowed) in [(0, true), (8, true), (0x20008, true), (u32::MAX, true), (0x40000, false)] {
            assert_eq!(real(libc::SYS_personality, domain) == ALLOW, allowed, "domain {domain:x}");
        }
    }

    #[test]
    fn owners_and_identities_follow_the_mode() {
        assert_eq!(native(Identities::Real, libc::SYS_fchownat, 0), ALLOW);
        assert_eq!(native(Identities::Real, libc::SYS_setuid, 0), ALLOW);
        assert_eq!(native(Identities::Supervised, libc::SYS_fchownat, 0), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(native(Identities::Supervised, libc::SYS_setuid, 0), errno(0));
        assert_eq!(native(Identities::Pretended, libc::SYS_fchownat, 0), errno(0));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn other_architectures_are_held_too() {
        let program = program(Identities::Supervised);
        let compat = |number, argument| run(&program, ARCH_I386, number, argument);
        assert_eq!(compat(4, 0), ALLOW);
        assert_eq!(compat(21, 0), errno(libc::EPERM));
        assert_eq!(compat(120, libc::CLONE_NEWUSER as u32), errno(libc::EPERM));
        assert_eq!(compat(212, 0), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(compat(1000, 0), errno(libc::ENOSYS));
        assert_eq!(run(&program, ARCH_HERE, X32_BIT | 1, 0), errno(libc::ENOSYS));
        assert_eq!(run(&program, 0x1234, 1, 0), errno(libc::ENOSYS));
    }
}
