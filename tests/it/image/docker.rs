//! Lines of `docker run`, as README and the pages show them.

use crate::support::repository;

/// The name that stands for the image.
const IMAGES: [&str; 2] = ["IMAGE", "gce-metadata-server"];

/// What a `docker run` line asks for.
#[derive(Debug, Default)]
pub(super) struct DockerRun {
    /// Variables of the container: `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// Mounted files and folders: source, target, whether it is read-only.
    pub(super) volumes: Vec<(String, String, bool)>,
    /// User and group, instead of those of the image.
    pub(super) user: Option<(u32, u32)>,
    /// The arguments after the image.
    pub(super) arguments: Vec<String>,
    /// Kernel parameters of the container's network: name and value.
    pub(super) sysctls: Vec<(String, String)>,
}

impl DockerRun {
    pub(super) fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace().map(|word| word.replace(['"', '\''], ""));
        assert_eq!((words.next().as_deref(), words.next().as_deref()), (Some("docker"), Some("run")), "{line}");
        let mut parsed = Self::default();
        loop {
            let option = words.next().unwrap_or_else(|| panic!("no image: {line}"));
            if IMAGES.contains(&option.as_str()) {
                break;
            }
            let mut value = || words.next().unwrap();
            match option.as_str() {
                "-d" | "-t" | "--rm" | "--read-only" => {}
                // Every container of these tests has no capability, and ports need no publishing in its network.
                "-p" | "--cap-drop" | "--name" | "--network" => _ = value(),
                "-e" => parsed.environment.push(value()),
                "-v" => parsed.volumes.push(volume(&value())),
                "--user" => parsed.user = Some(user(&value())),
                "--sysctl" => {
                    parsed.sysctls.extend(value().split_once('=').map(|(name, value)| (name.into(), value.into())))
                }
                _ => panic!("{option} is unknown here: {line}"),
            }
        }
        parsed.arguments = words.collect();
        parsed
    }
}

fn volume(text: &str) -> (String, String, bool) {
    let (source, target) = text.split_once(':').unwrap();
    let (target, is_read_only) = match target.strip_suffix(":ro") {
        Some(target) => (target, true),
        None => (target, false),
    };
    (source.into(), target.into(), is_read_only)
}

fn user(text: &str) -> (u32, u32) {
    let (user, group) = text.split_once(':').unwrap();
    (user.parse().unwrap(), group.parse().unwrap())
}

/// The lines of a page that run this image, without the clients' ones.
pub(super) fn lines_of_page(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(page)).unwrap().replace("\\\n", " ");
    let lines = text.lines().filter(|line| line.starts_with("docker run "));
    lines.filter(|line| line.split(' ').any(|word| IMAGES.contains(&word))).map(str::to_owned).collect()
}

#[test]
fn options_of_docker_run_are_parsed() {
    let run = DockerRun::parse("docker run -d -p 80:80 -v \"/a\":/b:ro -v /c:/d -e N=V --user 1:2 IMAGE --port 80");
    assert_eq!(run.volumes, [("/a".into(), "/b".into(), true), ("/c".into(), "/d".into(), false)]);
    assert_eq!(
        (run.environment, run.user, run.arguments),
        (vec!["N=V".into()], Some((1, 2)), vec!["--port".into(), "80".into()])
    );
}
