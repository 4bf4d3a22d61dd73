//! Which system calls a step may make: the rules of Docker's default profile (moby/profiles, `seccomp/default.json`,
//! as of 2026) for a container with the default capabilities. Data only; [`super::seccomp`] makes a filter of it.

use libc::c_long;

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Allowed on every architecture.
pub(super) const ALLOWED: &[c_long] = calls![
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_chroot SYS_clock_adjtime
    SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect SYS_copy_file_range
    SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve
    SYS_execveat SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark
    SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr
    SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv
    SYS_getcpu SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer
    SYS_getpeername SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid
    SYS_getrlimit SYS_get_robust_list SYS_getrusage SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid
    SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch
    SYS_io_cancel SYS_ioctl SYS_io_destroy SYS_io_getevents SYS_ioprio_get SYS_ioprio_set
    SYS_io_setup SYS_io_submit SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
    SYS_lgetxattr SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr
    SYS_madvise SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock
    SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive
    SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock
    SYS_munlockall SYS_munmap SYS_name_to_handle_at SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2
    SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl
    SYS_pread64 SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev
    SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv
    SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr SYS_renameat SYS_renameat2
    SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo
    SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_getaffinity
    SYS_sched_getattr SYS_sched_getparam SYS_sched_get_priority_max SYS_sched_get_priority_min
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam
    SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendfile
    SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid
    SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid SYS_setrlimit SYS_set_robust_list
    SYS_setsid SYS_setsockopt SYS_set_tid_address SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget
    SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync
    SYS_sync_file_range SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete
    SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime
    SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice
    SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// The C library's headers leave this one out.
const IO_PGETEVENTS: c_long = if cfg!(target_arch = "x86_64") { 333 } else { 292 };

/// Allowed, of the numbers that are the same on every architecture and newer than the C library's headers:
/// cachestat, fchmodat2, map_shadow_stack, futex_wake, futex_wait, futex_requeue, statmount, listmount, mseal,
/// setxattrat, getxattrat, listxattrat, removexattrat.
pub(super) const ALLOWED_NEW: &[c_long] =
    &[IO_PGETEVENTS, 451, 452, 453, 454, 455, 456, 457, 458, 462, 463, 464, 465, 466];

/// Allowed, of the old calls that newer architectures never had, and of the architecture's own.
#[cfg(target_arch = "x86_64")]
pub(super) const ALLOWED_HERE: &[c_long] = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create SYS_epoll_ctl_old
    SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat SYS_getdents SYS_getpgrp SYS_get_thread_area
    SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_modify_ldt SYS_open SYS_pause SYS_pipe
    SYS_poll SYS_readlink SYS_rename SYS_rmdir SYS_select SYS_set_thread_area SYS_signalfd SYS_stat SYS_symlink
    SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork
];

/// See above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const ALLOWED_HERE: &[c_long] = &[];

/// Socket families that may be opened, as ranges: all but the obsolete ones, AF_ALG and AF_VSOCK.
pub(super) const SOCKET_FAMILIES: &[(u32, u32)] =
    &[(0, 11), (13, 18), (21, 22), (24, 24), (26, 33), (35, 36), (39, 39), (41, 45)];

/// Execution domains: Linux, Linux 32-bit, both with old uname, and the question for the present one.
pub(super) const PERSONALITIES: &[(u32, u32)] =
    &[(0, 0), (8, 8), (0x20000, 0x20000), (0x20008, 0x20008), (0xffff_ffff, 0xffff_ffff)];

/// The calls that the single-id mode hands to the owner emulation.
#[cfg(target_arch = "x86_64")]
pub(super) const OWNER_CALLS: &[c_long] = calls![SYS_chown SYS_lchown SYS_fchown SYS_fchownat];
/// See above.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OWNER_CALLS: &[c_long] = calls![SYS_fchown SYS_fchownat];

/// The calls that the single-id mode pretends to make: there is only one id to change to.
pub(super) const IDENTITY_CALLS: &[c_long] = calls![
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid
    SYS_setgroups SYS_capset
];

/// The rules for 32-bit programs on x86-64. Their numbers are those of the i386 table.
#[cfg(target_arch = "x86_64")]
pub(super) mod i386 {
    /// Refused: what the 64-bit list leaves out and a container must not have.
    pub(in super::super) const REFUSED: &[u32] = &[
        21,  // mount
        22,  // umount
        25,  // stime
        51,  // acct
        52,  // umount2
        79,  // settimeofday
        86,  // uselib
        87,  // swapon
        88,  // reboot
        101, // ioperm
        103, // syslog
        110, // iopl
        112, // idle
        113, // vm86old
        115, // swapoff
        121, // setdomainname
        127, // create_module
        128, // init_module
        129, // delete_module
        130, // get_kernel_syms
        131, // quotactl
        134, // bdflush
        135, // sysfs
        74,  // sethostname
        149, // _sysctl
        166, // vm86
        167, // query_module
        169, // nfsservctl
        217, // pivot_root
        253, // lookup_dcookie
        264, // clock_settime
        274, // mbind
        275, // get_mempolicy
        276, // set_mempolicy
        283, // kexec_load
        286, // add_key
        287, // request_key
        288, // keyctl
        294, // migrate_pages
        310, // unshare
        317, // move_pages
        336, // perf_event_open
        338, // fanotify_init
        342, // open_by_handle_at
        346, // setns
        349, // kcmp
        350, // finit_module
        357, // bpf
        374, // userfaultfd
        404, // clock_settime64
        425, // io_uring_setup
        426, // io_uring_enter
        427, // io_uring_register
        428, // open_tree
        429, // move_mount
        430, // fsopen
        431, // fsconfig
        432, // fsmount
        433, // fspick
        438, // pidfd_getfd
        440, // process_madvise
        442, // mount_setattr
        443, // quotactl_fd
        450, // set_mempolicy_home_node
        459, // lsm_get_self_attr
        460, // lsm_set_self_attr
        461, // lsm_list_modules
        467, // open_tree_attr
    ];
    pub(in super::super) const CLONE: u32 = 120;
    pub(in super::super) const CLONE3: u32 = 435;
    pub(in super::super) const PERSONALITY: u32 = 136;
    pub(in super::super) const SOCKET: u32 = 359;
    /// lchown, fchown, chown, and the same with 32-bit ids, fchownat.
    pub(in super::super) const OWNER_CALLS: &[u32] = &[16, 95, 182, 198, 207, 212, 298];
    /// set*id and setgroups with 16- and 32-bit ids, capset.
    pub(in super::super) const IDENTITY_CALLS: &[u32] =
        &[23, 46, 70, 71, 81, 138, 139, 164, 170, 185, 203, 204, 206, 208, 210, 213, 214, 215, 216];
    /// The newest call of the table; newer ones do not exist, as far as a step is told.
    pub(in super::super) const LAST: u32 = 466;
}
