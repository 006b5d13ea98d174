"""What to do where a wall cannot be built, by the system call that failed."""

_REMEDIES = {
    "unshare": (
        "There are no user namespaces for this user here. On a host: sysctl user.max_user_namespaces=10000 and "
        "kernel.unprivileged_userns_clone=1; Ubuntu 23.10 and later: the AppArmor profile in deploy/sandbox. In a "
        "container: the seccomp profile in deploy/sandbox, systempaths=unconfined and hostUsers: false; or gVisor"
    ),
    "clone": "Namespaces are not allowed here. In a container: the seccomp profile in deploy/sandbox",
    "mount": (
        "Mounting is not allowed here. In a container: the seccomp profile in deploy/sandbox and "
        "systempaths=unconfined (Docker) or procMount: Unmasked (Kubernetes); the kernel needs overlayfs"
    ),
    "pivot_root": "pivot_root is not allowed here. In a container: the seccomp profile in deploy/sandbox",
}


def remedy(call: str | None) -> str:
    return _REMEDIES.get(call or "", "See docs/security.md for what the sandbox needs of a host")
