//! A folder that changes as a Kubernetes volume does: its files are links into a folder that is replaced as a whole.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The content of a ConfigMap, a Secret or a projected token, as the kubelet writes it.
pub(crate) struct KubernetesVolume {
    folder: PathBuf,
    generation: u32,
}

impl KubernetesVolume {
    /// Writes the files into this folder, which is created if it does not exist.
    pub(crate) fn new(folder: &Path, files: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut volume = Self { folder: folder.to_owned(), generation: 0 };
        volume.update(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
        volume
    }

    /// Replaces the contents of the files at once.
    pub(crate) fn update(&mut self, files: &[(&str, &str)]) {
        let name = |generation: u32| format!("..{generation}");
        let old = self.folder.join(name(self.generation));
        self.generation += 1;
        let new = self.folder.join(name(self.generation));
        std::fs::create_dir(&new).unwrap();
        for (file, content) in files {
            std::fs::write(new.join(file), content).unwrap();
        }
        symlink(name(self.generation), self.folder.join("..data_tmp")).unwrap();
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if old.exists() {
            std::fs::remove_dir_all(old).unwrap();
        }
    }
}
