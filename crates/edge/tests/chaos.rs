//! Whatever happens to link, server, version and clock, each request has one answer by its deadline.

mod rig;

use std::process::Command;
use std::time::Duration;

use rig::server::{ServerProcess, serve_if_asked};
use rig::{Plan, run};

/// Says that this process is the device.
const DEVICE: &str = "EDGECUT_RIG_DEVICE";

/// Only the process of the server does something here.
#[test]
fn serve() {
    serve_if_asked();
}

/// Only the process of the device does something here.
#[test]
fn device() {
    if std::env::var_os(DEVICE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { requests: 120, side_by_side: 2, phase: Duration::from_millis(200), seed: 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(run(folder.path(), plan, |folder, port| {
        ServerProcess::start(folder, port, &["--exact", "serve", "--nocapture"])
    }));
    println!("{report:?}");
    assert_eq!((report.wrong, report.differing), (0, 0));
    assert_eq!(report.marks.iter().sum::<usize>(), plan.requests);
    // How punctual answers are depends on what else the machine does, and is measured by the command.
    assert!(report.killed >= 1 && report.marks[0] > 0);
    assert!(report.marks[1] + report.marks[2] > 0, "a good link is used");
    assert!(report.stored > 0 && report.stored == report.forwarded && report.waiting == 0);
}

#[test]
fn every_request_is_answered_once_and_nothing_stored_is_lost() {
    let device = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "device", "--nocapture"])
        .env(DEVICE, "1")
        .env(rig::ISA, "scalar")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&device.stdout);
    assert!(device.status.success(), "{said}{}", String::from_utf8_lossy(&device.stderr));
}
