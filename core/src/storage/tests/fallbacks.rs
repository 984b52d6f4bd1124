//! Gets the tests of the real file system.
//! Gives them a system that lacks calls, by strace: old kernels, strict sandboxes, poor file systems.

use std::process::Command;

/// A system without openat2, flags of renameat2, copies in the
/// kernel, and gaps.
const POOR: [&str; 4] = [
    "inject=openat2:error=ENOSYS",
    "inject=renameat2:error=EINVAL",
    "inject=copy_file_range:error=EOPNOTSUPP",
    "inject=fallocate:error=EOPNOTSUPP",
];

const TESTS: [&str; 6] = [
    "a_recording_goes_from_one_folder_to_the_other_whole",
    "links_folders_and_pipes_are_never_followed_nor_listed",
    "a_second_opener_is_told_that_the_file_is_held_until_the_first_lets_go",
    "a_front_is_put_before_the_rest_on_the_same_file_system_too",
    "a_commit_to_another_file_system_copies_and_tidies_up",
    "recoveries_that_race_take_each_leftover_once",
];

/// Runs tests of `os.rs` in a process of their own, in which the system answers as `inject` says.
fn run_with(inject: &[&str], tests: &[&str]) {
    let mut strace = Command::new("strace");
    // Only calls that are traced are injected into; the trace itself is of no interest.
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    for inject in inject {
        strace.args(["-e", inject]);
    }
    strace.arg(std::env::current_exe().unwrap()).arg("--exact");
    strace.args(tests.iter().map(|test| format!("storage::tests::os::{test}")));
    let output = strace.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains(&format!("{} passed", tests.len())), "{text}");
}

#[test]
fn a_system_without_newer_calls_keeps_the_same_promises() {
    let races = [&TESTS[..], &["of_racing_renames_to_one_name_exactly_one_wins"]].concat();
    run_with(&POOR, &races);
}

#[test]
fn a_file_system_without_links_still_records() {
    let without_links = [&POOR[..], &["inject=linkat:error=EPERM"]].concat();
    run_with(&without_links, &TESTS);
}
