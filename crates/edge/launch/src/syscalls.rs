//! Filters of system calls (SEC-130, security 9.1): a deny-list for `standard`, an allow-list for `strict`, both with EPERM.
//!
//! `clone3` answers ENOSYS, so that C libraries turn to `clone`, whose flags a filter can read. What runs in another mode of
//! the processor (32-bit programs) is killed: their calls have other numbers.

use std::collections::BTreeMap;

use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID,
    CLONE_NEWUSER, CLONE_NEWUTS, ENOSYS, EPERM, TIOCSTI,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use crate::bounds::Syscalls;

type Number = libc::c_long;
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that have the same number everywhere, and that not every libc names.
const IO_URING_SETUP: Number = 425;
const IO_URING_ENTER: Number = 426;
const IO_URING_REGISTER: Number = 427;
const OPEN_TREE: Number = 428;
const MOVE_MOUNT: Number = 429;
const FSOPEN: Number = 430;
const FSCONFIG: Number = 431;
const FSMOUNT: Number = 432;
const FSPICK: Number = 433;
const PIDFD_OPEN: Number = 434;
const CLONE3: Number = 435;
const CLOSE_RANGE: Number = 436;
const OPENAT2: Number = 437;
const PIDFD_GETFD: Number = 438;
const FACCESSAT2: Number = 439;
const EPOLL_PWAIT2: Number = 441;
const MOUNT_SETATTR: Number = 442;
const QUOTACTL_FD: Number = 443;
const LANDLOCK_CREATE_RULESET: Number = 444;
const LANDLOCK_ADD_RULE: Number = 445;
const LANDLOCK_RESTRICT_SELF: Number = 446;
const FUTEX_WAITV: Number = 449;
const FCHMODAT2: Number = 452;

/// `standard`: what administers the host, looks into other processes, or widens the kernel's surface for nothing that
/// components do.
const DENIED: &[Number] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    IO_URING_SETUP,
    IO_URING_ENTER,
    IO_URING_REGISTER,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    MOUNT_SETATTR,
    MOVE_MOUNT,
    OPEN_TREE,
    FSOPEN,
    FSCONFIG,
    FSMOUNT,
    FSPICK,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    PIDFD_GETFD,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    QUOTACTL_FD,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// The second set of numbers that x86-64 kernels may answer: those of x32 programs.
#[cfg(target_arch = "x86_64")]
const X32: Number = 0x4000_0000;
/// Denied calls that have a number of their own there: ptrace, kexec_load, process_vm_readv, process_vm_writev.
#[cfg(target_arch = "x86_64")]
const X32_DENIED: [Number; 4] = [521, 528, 539, 540];
/// And `ioctl`, which is denied by argument.
#[cfg(target_arch = "x86_64")]
const X32_IOCTL: Number = 514;

/// `strict`: what interpreters and ordinary programs use.
const ALLOWED: &[Number] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    CLOSE_RANGE,
    libc::SYS_connect,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    EPOLL_PWAIT2,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    FACCESSAT2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    FUTEX_WAITV,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getitimer,
    libc::SYS_getpeername,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_kill,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_ADD_RULE,
    LANDLOCK_RESTRICT_SELF,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    OPENAT2,
    PIDFD_OPEN,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_prlimit64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_seccomp,
    libc::SYS_sendfile,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_setpgid,
    libc::SYS_setpriority,
    libc::SYS_setrlimit,
    libc::SYS_setsid,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_socketpair,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_sysinfo,
    libc::SYS_tee,
    libc::SYS_tgkill,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_alarm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_eventfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getdents,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getpgrp,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_inotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Flags of `clone` that make namespaces; a namespace of one's own brings back the powers of root inside it.
const NAMESPACES: [libc::c_int; 7] =
    [CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS];

/// Families of sockets that components use; the others reach seldom tested parts of the kernel.
const FAMILIES: [libc::c_int; 4] = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK];

/// Types into the terminal of whoever started the core, in two ways.
const TIOCLINUX: u64 = 0x541C;

/// Filters the calling thread for good. Needs `no_new_privs`.
pub(crate) fn restrict(left: Syscalls, no_network: bool) -> Result<(), String> {
    let programs = programs(left, no_network).map_err(|error| error.to_string())?;
    programs.iter().try_for_each(|program| apply_filter(program)).map_err(|error| error.to_string())
}

fn programs(left: Syscalls, no_network: bool) -> Result<[BpfProgram; 2], BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let no = SeccompAction::Errno(EPERM.cast_unsigned());
    let list = match left {
        Syscalls::Standard => SeccompFilter::new(denied(no_network)?, SeccompAction::Allow, no, arch)?,
        Syscalls::Strict => SeccompFilter::new(allowed(no_network)?, no, SeccompAction::Allow, arch)?,
    };
    let absent = Rules::from([(CLONE3, Vec::new())]);
    // The newest filter has the word where two refuse, so this one comes last.
    let absent = SeccompFilter::new(absent, SeccompAction::Allow, SeccompAction::Errno(ENOSYS.cast_unsigned()), arch)?;
    Ok([list.try_into()?, absent.try_into()?])
}

fn argument(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value)
}

fn flag(bit: libc::c_int) -> u64 {
    u64::from(bit.cast_unsigned())
}

fn families(no_network: bool) -> &'static [libc::c_int] {
    if no_network { &FAMILIES[..1] } else { &FAMILIES }
}

fn denied(no_network: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, Vec::new())).collect();
    let foreign = families(no_network).iter().map(|family| argument(0, SeccompCmpOp::Ne, flag(*family)));
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(foreign.collect::<Result<_, _>>()?)?]);
    let made = |bit| SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(bit), bit)?]);
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(|bit| made(flag(*bit))).collect::<Result<_, _>>()?);
    let asked = |request| SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, request)?]);
    rules.insert(libc::SYS_ioctl, vec![asked(TIOCSTI)?, asked(TIOCLINUX)?]);
    #[cfg(target_arch = "x86_64")]
    {
        let doubled: Rules = rules.iter().map(|(number, chain)| (number | X32, chain.clone())).collect();
        rules.insert(X32_IOCTL | X32, rules[&libc::SYS_ioctl].clone());
        rules.extend(doubled);
        rules.extend(X32_DENIED.map(|number| (number | X32, Vec::new())));
    }
    Ok(rules)
}

fn allowed(no_network: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    let ours = |family: &libc::c_int| SeccompRule::new(vec![argument(0, SeccompCmpOp::Eq, flag(*family))?]);
    rules.insert(libc::SYS_socket, families(no_network).iter().map(ours).collect::<Result<_, _>>()?);
    let any = NAMESPACES.iter().fold(0, |all, bit| all | flag(*bit));
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(any), 0)?])?]);
    let typing = vec![argument(1, SeccompCmpOp::Ne, TIOCSTI)?, argument(1, SeccompCmpOp::Ne, TIOCLINUX)?];
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(typing)?]);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a filter answers for a call, by the rules of classic BPF.
    fn answer(program: &BpfProgram, number: i64, arguments: [u64; 6]) -> u32 {
        let arch = match std::env::consts::ARCH {
            "x86_64" => 0xC000_003E,
            "aarch64" => 0xC000_00B7,
            _ => 0xC000_00F3,
        };
        let mut data = [0u8; 64];
        data[0..4].copy_from_slice(&u32::try_from(number).unwrap().to_ne_bytes());
        data[4..8].copy_from_slice(&u32::to_ne_bytes(arch));
        for (index, argument) in arguments.into_iter().enumerate() {
            data[16 + index * 8..24 + index * 8].copy_from_slice(&argument.to_ne_bytes());
        }
        let (mut at, mut accumulator) = (0, 0u32);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match step.code {
                0x20 => {
                    let from = step.k as usize;
                    accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => accumulator &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += jump(accumulator == step.k),
                0x25 => at += jump(accumulator > step.k),
                0x35 => at += jump(accumulator >= step.k),
                0x06 => return step.k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    const ALLOW: u32 = 0x7FFF_0000;
    const REFUSE: u32 = 0x0005_0000 | EPERM as u32;
    const ABSENT: u32 = 0x0005_0000 | ENOSYS as u32;

    /// Security 9.1, 9.2: the answers of both filters, by call and argument; the stricter of two filters wins.
    #[test]
    fn calls_are_answered_as_the_profile_says() {
        let inet = AF_INET as u64;
        let thread = 0x003D_0F00;
        for (number, arguments, standard, strict) in [
            (libc::SYS_read, [0; 6], ALLOW, ALLOW),
            (libc::SYS_execve, [0; 6], ALLOW, ALLOW),
            (libc::SYS_clone, [thread, 0, 0, 0, 0, 0], ALLOW, ALLOW),
            (libc::SYS_clone, [thread | flag(CLONE_NEWUSER), 0, 0, 0, 0, 0], REFUSE, REFUSE),
            (libc::SYS_clone, [flag(CLONE_NEWNET), 0, 0, 0, 0, 0], REFUSE, REFUSE),
            (CLONE3, [0; 6], ABSENT, ABSENT),
            (libc::SYS_socket, [AF_UNIX as u64, 1, 0, 0, 0, 0], ALLOW, ALLOW),
            (libc::SYS_socket, [inet, 1, 0, 0, 0, 0], ALLOW, REFUSE),
            (libc::SYS_socket, [libc::AF_PACKET as u64, 3, 0, 0, 0, 0], REFUSE, REFUSE),
            (libc::SYS_socket, [libc::AF_ALG as u64, 5, 0, 0, 0, 0], REFUSE, REFUSE),
            (libc::SYS_ioctl, [0, TIOCSTI, 0, 0, 0, 0], REFUSE, REFUSE),
            (libc::SYS_ioctl, [0, 0x5413, 0, 0, 0, 0], ALLOW, ALLOW),
            (libc::SYS_bpf, [0; 6], REFUSE, REFUSE),
            (libc::SYS_perf_event_open, [0; 6], REFUSE, REFUSE),
            (libc::SYS_keyctl, [0; 6], REFUSE, REFUSE),
            (libc::SYS_userfaultfd, [0; 6], REFUSE, REFUSE),
            (IO_URING_SETUP, [0; 6], REFUSE, REFUSE),
            (libc::SYS_ptrace, [0; 6], REFUSE, REFUSE),
            (libc::SYS_mount, [0; 6], REFUSE, REFUSE),
            (libc::SYS_unshare, [0; 6], REFUSE, REFUSE),
            (libc::SYS_setns, [0; 6], REFUSE, REFUSE),
            (libc::SYS_personality, [0; 6], ALLOW, REFUSE),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_ptrace | X32, [0; 6], REFUSE, REFUSE),
            #[cfg(target_arch = "x86_64")]
            (521 | X32, [0; 6], REFUSE, REFUSE),
        ] {
            for (left, expected) in [(Syscalls::Standard, standard), (Syscalls::Strict, strict)] {
                let programs = programs(left, left == Syscalls::Strict).unwrap();
                // An error number is a lower word than permission; of two errors the newest filter's counts.
                let [list, absent] = programs.each_ref().map(|program| answer(program, number, arguments));
                let got = if absent == ALLOW { list } else { absent };
                assert_eq!(got, expected, "{left:?} {number} {arguments:x?}");
            }
        }
        let programs = programs(Syscalls::Standard, true).unwrap();
        assert_eq!(answer(&programs[0], libc::SYS_socket, [inet, 1, 0, 0, 0, 0]), REFUSE, "no network for standard");
    }

    /// No call stands on both lists.
    #[test]
    fn the_lists_do_not_contradict() {
        let both: Vec<_> = DENIED.iter().filter(|number| ALLOWED.contains(number)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
