//! Runs the commands of README.md and of every page, in order, in an empty folder.

use super::markdown::{Block, Note, Page};
use super::reader::Reader;
use crate::support::repository;
use std::collections::BTreeSet;
use std::process::Command;

/// Follows a page from its first block to its last.
fn follow(page: &str) {
    let reader = Reader::new();
    for block in Page::read(page).blocks {
        reader.follow(&block).unwrap_or_else(|why| panic!("{page}:{}:\n{why}", block.line));
    }
}

macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[test]
            fn $name() {
                follow($page);
            }
        )*

        const FOLLOWED: &[&str] = &[$($page),*];
    };
}

pages! {
    the_commands_of_admin_work: "docs/admin.md",
    the_commands_of_readme_work: "README.md",
    the_commands_of_assertions_work: "docs/assertions.md",
    the_commands_of_capture_work: "docs/capture.md",
    the_commands_of_clients_work: "docs/clients.md",
    the_commands_of_config_work: "docs/config.md",
    the_commands_of_doctor_work: "docs/doctor.md",
    the_commands_of_faults_work: "docs/faults.md",
    the_commands_of_exec_work: "docs/exec.md",
    the_commands_of_deploy_work: "docs/deploy.md",
    the_commands_of_journal_work: "docs/journal.md",
    the_commands_of_kubernetes_work: "docs/kubernetes.md",
    the_commands_of_metrics_work: "docs/metrics.md",
    the_commands_of_migrating_from_go_work: "docs/migrating-from-go.md",
    the_commands_of_mtls_work: "docs/mtls.md",
    the_commands_of_oslogin_work: "docs/oslogin.md",
    the_commands_of_pkcs11_work: "docs/pkcs11.md",
    the_commands_of_preemption_work: "docs/preemption.md",
    the_commands_of_page_work: "docs/page.md",
    the_commands_of_readiness_work: "docs/readiness.md",
    the_commands_of_reference_http_work: "docs/reference-http.md",
    the_commands_of_scenarios_work: "docs/scenarios.md",
    the_commands_of_security_work: "docs/security.md",
    the_commands_of_simulation_file_work: "docs/simulation-file.md",
    the_commands_of_testing_work: "docs/testing.md",
    the_commands_of_tokens_work: "docs/tokens.md",
    the_commands_of_tpm_work: "docs/tpm.md",
    the_commands_of_troubleshooting_work: "docs/troubleshooting.md",
}

#[test]
fn every_page_with_commands_is_followed() {
    for (page, block) in super::blocks() {
        let followed = !block.is_commands() || FOLLOWED.contains(&page.as_str());
        assert!(followed, "{page}:{}: add the page to pages! in tests/it/docs/commands.rs", block.line);
    }
}

/// Runs the commands after `<!-- network: NAME -->`, each name of a page in a network of its own that has the files of the page.
#[test]
#[ignore = "needs root, and the packages that scripts/test installs"]
fn the_commands_that_need_a_network_of_their_own_work() {
    let mut count = 0;
    for page in super::pages() {
        let blocks = Page::read(&page).blocks;
        let network = |block: &Block| match &block.note {
            Some(Note::Network(name)) => Some(name.clone()),
            _ => None,
        };
        for name in blocks.iter().filter_map(network).collect::<BTreeSet<_>>() {
            let reader = Reader::in_network();
            for block in &blocks {
                if let Some(Note::Copy(path)) = &block.note {
                    reader.write(path.rsplit('/').next().unwrap(), &block.text);
                } else if matches!(block.note, Some(Note::File(_))) || network(block).as_ref() == Some(&name) {
                    let followed = reader.follow(block);
                    followed.unwrap_or_else(|why| panic!("{page}:{}: network {name}:\n{why}", block.line));
                }
            }
            count += 1;
        }
    }
    assert!(count >= 4, "networks: {count}");
}

/// Runs the pages' programs in this language, which see the VM of the built-in sample.
fn run_programs(language: &str, extension: &str, interpreter: &[&str]) {
    let mut count = 0;
    // Files are programs that the page's commands run.
    let is_program =
        |block: &Block| block.language == language && !matches!(block.note, Some(Note::Copy(_) | Note::File(_)));
    for (page, block) in super::blocks().into_iter().filter(|(_, block)| is_program(block)) {
        let reader = Reader::new();
        let exports = reader.run("gce-metadata-server --admin 0").unwrap();
        reader.run(&exports).unwrap();
        let program = reader.write(&format!("program.{extension}"), &block.text);
        let modules = repository("target/clients/node/node_modules");
        let command = format!("NODE_PATH={} {} {}", modules.display(), interpreter.join(" "), program.display());
        let printed = reader.run(&command).unwrap_or_else(|why| panic!("{page}:{}:\n{why}", block.line));
        // The documented output is the comment at the end.
        let output = block.text.lines().last().unwrap_or_default().split_once("# ").map(|(_, output)| output);
        let output = output.filter(|_| language == "python");
        assert!(output.is_none_or(|output| printed.trim_end() == output), "{page}:{}: {printed}", block.line);
        count += 1;
    }
    assert!(count > 0, "{language}");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_python_programs_of_the_pages_run() {
    // Functions named test_… are run too.
    let run =
        "import runpy, sys; [value() for name, value in runpy.run_path(sys.argv[1]).items() if name[:5] == 'test_']";
    let python = repository("target/clients/venv/bin/python").display().to_string();
    run_programs("python", "py", &[&python, "-c", &format!("\"{run}\"")]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_node_programs_of_the_pages_run() {
    assert!(Command::new("node").arg("--version").output().unwrap().status.success());
    run_programs("js", "js", &["node"]);
}
