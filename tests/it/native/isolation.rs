//! What a step can't see and can't do.

use super::*;

#[test]
fn without_network_there_is_only_loopback() {
    if is_missing() {
        return;
    }
    let sandbox = Sandbox::new("ip -o link | grep -c .; ip -o link | grep -c 'lo:.*UP'; ls /etc; cat /etc/hostname");
    assert_eq!(sandbox.output(), "1\n1\nhostname\nhosts\nstep\n");
    let mut sandbox = Sandbox::new("cat /proc/net/dev | wc -l; test -e /etc/resolv.conf && echo resolver");
    sandbox.task.network = Network::Default;
    let here = fs_err::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert_eq!(sandbox.output(), format!("{here}\nresolver\n"));
}

#[test]
fn processes_of_the_machine_are_out_of_sight() {
    if is_missing() {
        return;
    }
    let script = "echo $$; ls /proc | grep -c '^[0-9]'; \
                  cat /proc/1/environ /proc/1/mem /proc/1/exe /proc/1/fd/* /proc/1/root/etc/hosts 2>&1 | \
                  grep -cv 'ermission denied'; readlink /proc/1/exe; ls /proc/1/fd | wc -l";
    let output = Sandbox::new(script).output();
    let lines: Vec<_> = output.lines().collect();
    // Its three standard descriptors, the report and the lifeline.
    assert_eq!(lines, ["2", lines[1], "0", "5"]);
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{output}");
}

#[test]
fn kernel_files_are_masked_or_read_only() {
    if is_missing() {
        return;
    }
    let output = Sandbox::new(
        "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; ls -A /sys/firmware | wc -l; \
         for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/power/state /proc/irq/default_smp_affinity; do \
         (echo x > $f) 2>/dev/null && echo \"wrote $f\"; done; \
         mount -t proc proc /tmp 2>/dev/null && echo mounted; mount -t tmpfs t /tmp 2>/dev/null && echo mounted; \
         mount -o remount,rw /proc/sys 2>/dev/null && echo remounted; \
         unshare -U true 2>/dev/null && echo unshared; unshare -m true 2>/dev/null && echo unshared; \
         hostname other 2>/dev/null && echo renamed; date -s @1 2>&1 >/dev/null | grep -c permitted",
    )
    .output();
    assert_eq!(output, "0\n0\n1\n");
}

#[test]
fn devices_work_and_others_cannot_be_used() {
    if is_missing() {
        return;
    }
    let output = Sandbox::new(
        "head -c 4 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo x > /dev/null; echo $(ls /dev); \
         for f in /tmp/null /dev/mine; do mknod $f c 1 3 2>/dev/null; cat $f 2>/dev/null || echo unusable; done; ls /dev/pts /dev/shm",
    );
    let devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(output.output(), format!("4\n3\n{devices}\nunusable\nunusable\n/dev/pts:\nptmx\n\n/dev/shm:\n"));
}

#[test]
fn capabilities_are_dockers_and_privileges_are_not_gained() {
    if is_missing() {
        return;
    }
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
    let expected = |own: &str| {
        format!(
            "CapInh:\t{0}\nCapPrm:\t{own}\nCapEff:\t{own}\nCapBnd:\t00000000a80425fb\nCapAmb:\t{0}\nNoNewPrivs:\t1\nSeccomp:\t2\n",
            "0000000000000000"
        )
    };
    assert_eq!(Sandbox::new(status).output(), expected("00000000a80425fb"));
    if has_single_id() {
        return;
    }
    let mut sandbox = Sandbox::new(status);
    sandbox.task.user = UserIds { uid: 1, gid: 1, groups: vec![] };
    assert_eq!(sandbox.output(), expected("0000000000000000"));
}

#[test]
fn nothing_of_the_engine_is_inherited() {
    if is_missing() {
        return;
    }
    // Descriptor 3 is the directory that ls itself reads.
    let output = Sandbox::new(
        "echo $(ls /proc/self/fd); cat /proc/self/mountinfo | grep -c -v -E ' / / | /(proc|sys|dev|etc)'; cat /proc/self/mountinfo | grep scratch | wc -l",
    );
    assert_eq!(output.output(), "0 1 2 3\n0\n0\n");
}

#[test]
fn a_step_cannot_break_out_by_chroot() {
    if is_missing() {
        return;
    }
    let script = "mkdir /jail; cd /; chroot /jail /nothing 2>/dev/null; \
                  ls -d ../../../../../../../../work ../../../../../home /proc/1/root/home 2>/dev/null; true";
    assert_eq!(Sandbox::new(script).output(), "");
}
