"""Gets the name of a system call.
Gives commands that run a server and make its n-th call of that name fail, hang or be its last. strace
keeps a count for each thread."""


def inject(calls, what, log, when="1"):
    """A wrapper for a server: `what` happens at the calls that `when` names ("3", "3+" from there on).
    The process is the server itself; strace stands beside it."""
    names = calls if isinstance(calls, str) else ",".join(calls)
    # Not with --seccomp-bpf: strace 6.1 then miscounts, and `when` comes never.
    words = ["strace", "-D", "-f", "-qq", "-o", log, "-e", f"trace={names}"]
    return [*words, "-e", f"inject={names}:{what}:when={when}"]
